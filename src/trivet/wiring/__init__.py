"""The one place that chooses concrete parts and composes them."""
