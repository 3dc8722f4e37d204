"""What a builder is told."""
