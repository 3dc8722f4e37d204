"""What the control API does, whichever route asks for it."""
