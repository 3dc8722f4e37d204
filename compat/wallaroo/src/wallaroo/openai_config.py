"""The OpenAI-compatible endpoints of language models, which are not supported yet."""

from wallaroo.object import absent

__all__ = ["OpenaiConfig"]

OpenaiConfig = absent("OpenaiConfig is")
