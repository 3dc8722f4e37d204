"""Tags, which are not supported yet."""

from wallaroo.object import LABELS, absent

__all__ = ["Tag"]

Tag = absent("tags are", fix=LABELS)
