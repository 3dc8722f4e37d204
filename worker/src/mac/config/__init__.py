"""The configuration of a builder."""
