"""Which waiting requests share a call: pure policy, no I/O."""

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

__all__ = ["Sized", "gather", "patience_s"]


class Sized(Protocol):
    """Something that waits and has a size."""

    @property
    def rows(self) -> int:
        """How many records."""

    @property
    def nbytes(self) -> int:
        """About how many bytes it holds."""

    @property
    def joins(self) -> bool:
        """Whether it may share a call with others."""

    @property
    def form(self) -> Hashable:
        """What a model sees of it beside its rows. Only requests of one form share a call."""


T = TypeVar("T", bound=Sized)


def gather(
    first: T, next_waiting: Callable[[int], T | None], *, max_rows: int, max_bytes: int
) -> tuple[list[T], T | None]:
    """Take waiting requests, in order, as long as they have one form, and rows and bytes stay within the limits.

    Args:
        first: goes in whatever its size, so that a large request travels too, alone. One that does not join goes alone.
        next_waiting: given how many rows the call has so far, takes one more from the queue, or gives None when nothing waits.
        max_rows: rows that the call may hold.
        max_bytes: bytes that the call may hold.

    Returns:
        What shares the call, and the one that was taken from the queue but no longer fits (it begins the next call).
    """
    taken = [first]
    rows, nbytes = first.rows, first.nbytes
    while first.joins and rows < max_rows and nbytes < max_bytes:
        item = next_waiting(rows)
        if item is None:
            break
        rows += item.rows
        nbytes += item.nbytes
        if not item.joins or rows > max_rows or nbytes > max_bytes or item.form != first.form:
            return taken, item
        taken.append(item)
    return taken, None


def patience_s(rows: int, *, target_rows: int, waited_s: float, delay_s: float) -> float:
    """How much longer a call waits for more rows: until it has as many as configured, or its first request has waited enough.

    Args:
        rows: that the call has.
        target_rows: at which it goes.
        waited_s: how long its first request has been waiting already, in the queue too.
        delay_s: how long a request may wait for others.

    Returns:
        Seconds; 0 means that the call goes as it is.
    """
    return 0.0 if rows >= target_rows else max(0.0, delay_s - waited_s)
