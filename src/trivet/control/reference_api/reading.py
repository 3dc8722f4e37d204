"""Fields of bodies that have no model of their own."""

from typing import Any, TypeAlias, TypeVar

from trivet.errors import Invalid

__all__ = ["Document", "field", "optional"]

Document: TypeAlias = dict[str, Any]
T = TypeVar("T")
WORDS = {str: "text", int: "number", list: "list", dict: "object"}


def field(body: Document, name: str, kind: type[T]) -> T:
    """A field that must be there.

    Raises:
        Invalid: it is not, or is something else.
    """
    value = optional(body, name, kind)
    if value is None:
        raise Invalid(f"{name!r} is missing", fix=f"send {name!r}, a {WORDS[kind]}", path=name)
    return value


def optional(body: Document, name: str, kind: type[T]) -> T | None:
    """A field that may be missing, or null.

    Raises:
        Invalid: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Invalid(f"{name!r} is no {WORDS[kind]}", why=f"it is {value!r:.80}", fix="see /docs", path=name)
    return value
