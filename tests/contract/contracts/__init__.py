"""One suite for each protocol between parts, to be subclassed by every implementation."""
