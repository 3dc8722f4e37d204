"""Tags, which are not supported yet."""

from wallaroo.object import absent

__all__ = ["Tag"]

Tag = absent("tags are")
