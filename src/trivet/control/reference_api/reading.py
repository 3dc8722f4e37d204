"""Fields of bodies without a pydantic model."""

from typing import Any, TypeAlias, TypeVar

from trivet.errors import Invalid

__all__ = ["Document", "field", "optional"]

Document: TypeAlias = dict[str, Any]
T = TypeVar("T")
WORDS = {str: "text", int: "number", list: "list", dict: "object"}


def field(body: Document, name: str, kind: type[T]) -> T:
    """A required field.

    Raises:
        Invalid: it is missing, or has another type.
    """
    value = optional(body, name, kind)
    if value is None:
        raise Invalid(f"{name!r} is missing", fix=f"send {name!r}, a {WORDS[kind]}", path=name)
    return value


def optional(body: Document, name: str, kind: type[T]) -> T | None:
    """A field that can be missing, or null.

    Raises:
        Invalid: it has another type.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Invalid(f"{name!r} is not a {WORDS[kind]}", why=f"it is {value!r:.80}", fix="see /docs", path=name)
    return value
