"""Let requests share a call of the model."""

from trivet import DynamicBatchingConfig

__all__ = ["DynamicBatchingConfig"]
