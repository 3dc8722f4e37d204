"""The OpenAI-compatible endpoints of language models, which are not supported yet."""

from wallaroo.object import LANGUAGE_MODELS, absent

__all__ = ["OpenaiConfig"]

OpenaiConfig = absent("OpenaiConfig is", fix=LANGUAGE_MODELS)
