"""Which waiting requests share a call: pure policy, no I/O."""

from collections.abc import Callable
from typing import Protocol, TypeVar

__all__ = ["Sized", "gather"]


class Sized(Protocol):
    """Something that waits and has a size."""

    @property
    def rows(self) -> int:
        """How many records."""

    @property
    def nbytes(self) -> int:
        """About how many bytes its columns hold."""


T = TypeVar("T", bound=Sized)


def gather(
    first: T, next_waiting: Callable[[], T | None], *, max_rows: int, max_bytes: int
) -> tuple[list[T], T | None]:
    """Take what waits, in order, as long as rows and bytes stay within the limits.

    Args:
        first: goes in whatever its size: a large request travels alone, never not at all.
        next_waiting: takes one more from the queue, or gives None when nothing waits.
        max_rows: rows that the call may hold.
        max_bytes: bytes of columns that the call may hold.

    Returns:
        What shares the call, and the one that was taken from the queue but no longer fits (it begins the next call).
    """
    taken = [first]
    rows, nbytes = first.rows, first.nbytes
    while rows < max_rows and nbytes < max_bytes:
        item = next_waiting()
        if item is None:
            break
        rows += item.rows
        nbytes += item.nbytes
        if rows > max_rows or nbytes > max_bytes:
            return taken, item
        taken.append(item)
    return taken, None
