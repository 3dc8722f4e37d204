"""What the control API does, whichever route is used. Each use case is handed the caller, and checks it first."""
