"""Lists that notebooks show as tables."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from trivet.sdk.lists import Shown

__all__ = ["Shown", "matching"]

T = TypeVar("T")


def matching(things: Iterable[T], term: str | None, texts: Callable[[Any], Iterable[str]]) -> list[T]:
    """The items with a text that contains a term; all of them without a term."""
    wanted = (term or "").lower()
    return [each for each in things if any(wanted in text.lower() for text in texts(each))]
