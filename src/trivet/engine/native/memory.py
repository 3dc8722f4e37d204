"""Bounds the memory of a native call before it starts: rows decide how many there are and, for some graphs, how large each is."""

import sys
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from trivet.domain.memory_bounds import MemoryBounds
from trivet.errors import TooLarge

__all__ = ["CallMemory", "too_large_answer"]

Feeds: TypeAlias = dict[str, np.ndarray]
SessionCall: TypeAlias = Callable[[Feeds], list[np.ndarray]]


class CallMemory:
    """The limit on the memory of one session's calls.

    Args:
        bounds: of its graph; None sets no limit.
        most_bytes: what a call may take by these bounds. A call of one row of fixed size is always allowed: it was proved small.

    Attributes:
        most_rows: that a call may have.
    """

    def __init__(self, bounds: MemoryBounds | None, *, most_bytes: int) -> None:
        self._bounds = bounds
        self._most_bytes = most_bytes
        self.most_rows = sys.maxsize
        if bounds is not None and bounds.row_bytes:
            self.most_rows = max(1, (most_bytes - bounds.call_bytes) // bounds.row_bytes)

    def too_many(self, rows: int) -> TooLarge:
        """The error of a call that has more than `most_rows`."""
        assert self._bounds is not None
        return self._too_large(rows, self._bounds.call_bytes + rows * self._bounds.row_bytes)

    def watched(self, call: SessionCall) -> SessionCall:
        """The calls of one request: each is checked for the sizes of its rows, and all for what their answers hold."""
        bounds = self._bounds
        if bounds is None:
            return call
        held = 0

        def checked(feeds: Feeds) -> list[np.ndarray]:
            nonlocal held
            if bounds.element_bytes:
                rows = max(len(each) if each.ndim else 1 for each in feeds.values())
                taken = bounds.call_bytes + rows * bounds.row_bytes + _elements(feeds) * bounds.element_bytes
                if taken > self._most_bytes:
                    raise self._too_large(rows, taken)
            answers = call(feeds)
            held += sum(np.asarray(each).nbytes for each in answers)
            if held > self._most_bytes:
                raise too_large_answer(self._most_bytes)
            return answers

        return checked

    def _too_large(self, rows: int, taken: int) -> TooLarge:
        return TooLarge(
            f"a call of {rows} row{'s' if rows > 1 else ''} may take too much memory",
            why=f"by its shapes the model may take {taken:,} bytes for it, and the limit is {self._most_bytes:,}",
            fix=f"send {'fewer or ' if rows > 1 else ''}shorter rows, or raise TRIVET_NATIVE_CALL_MIB",
            reason="call_too_large",
        )


def too_large_answer(most_bytes: int) -> TooLarge:
    """The error of a request whose answer is larger than a call may be."""
    return TooLarge(
        "the model's answer is too large",
        why=f"it has more than {most_bytes:,} bytes",
        fix="send fewer rows, or raise TRIVET_NATIVE_CALL_MIB",
        reason="call_too_large",
    )


def _elements(feeds: Feeds) -> int:
    """How many elements a call has; a text counts its bytes as well."""
    return sum(each.size + (_text_bytes(each) if each.dtype == object else 0) for each in feeds.values())


def _text_bytes(texts: np.ndarray) -> int:
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts.ravel().tolist())
