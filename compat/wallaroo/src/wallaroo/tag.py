"""Tags, which are not there yet."""

from wallaroo.object import absent

__all__ = ["Tag"]

Tag = absent("tags are")
