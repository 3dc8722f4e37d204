"""Continuous batching of language models, which is not supported yet."""

from wallaroo.object import absent

__all__ = ["ContinuousBatchingConfig"]

ContinuousBatchingConfig = absent(
    "ContinuousBatchingConfig is", fix="use DynamicBatchingConfig: requests share calls of the model"
)
