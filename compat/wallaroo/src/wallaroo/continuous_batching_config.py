"""Continuous batching of language models, which is not there yet."""

from wallaroo.object import absent

__all__ = ["ContinuousBatchingConfig"]

ContinuousBatchingConfig = absent("ContinuousBatchingConfig is", fix="DynamicBatchingConfig is there")
