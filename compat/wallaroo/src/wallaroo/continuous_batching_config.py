"""Continuous batching of language models, which is not supported yet."""

from wallaroo.object import absent

__all__ = ["ContinuousBatchingConfig"]

ContinuousBatchingConfig = absent("ContinuousBatchingConfig is", fix="DynamicBatchingConfig is there")
