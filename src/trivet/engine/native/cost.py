"""What a call of a native session costs, measured with the worst of several kinds of rows, up to the largest calls on the loop."""

import time
from collections.abc import Iterator

import numpy as np

from trivet.engine.batch import Batch
from trivet.engine.native.views import Session
from trivet.errors import TooLarge, TrivetError

__all__ = ["Cost", "measure"]

SIZES = (16, 256, 4096)
"""Rows of the calls that are timed, beside a single one. No larger call runs on the event loop."""

HEAVY_S = 0.005
"""A call of this time runs in a thread, and so does any larger one: they are not timed."""

FILLS = (1.0, -1.0, 1e6, 1e-40)
"""Beside the canned row and random ones. Trees take other ways for them, and processors take longest for the tiniest."""


class Cost:
    """The cost of a call as a line: seconds a call plus seconds a row.

    Args:
        call_s: seconds a call.
        row_s: seconds a row.
        most_rows: the largest call that was timed; None sets no limit.
    """

    __slots__ = ("call_s", "most_rows", "row_s")

    def __init__(self, call_s: float, row_s: float, *, most_rows: int = SIZES[-1]) -> None:
        self.call_s = call_s
        self.row_s = row_s
        self.most_rows = most_rows

    def rows_within(self, seconds: float) -> int:
        """The most rows of a call that is expected to end within a time, of those that were timed."""
        if self.call_s + self.row_s > seconds:
            return 0
        rows = int((seconds - self.call_s) / self.row_s) if self.row_s > 0 else self.most_rows
        return min(rows, self.most_rows)


def measure(session: Session) -> Cost:
    """Time the worst of several kinds of rows in calls of growing size; of each call the fastest of a few rounds.

    Raises:
        TrivetError: the session refuses its canned row.
    """
    call_s = _quickest(session, session.canned, rounds=5)
    if call_s <= HEAVY_S:
        call_s = max(call_s, _slowest(session, 1))
    row_s, most, slowest = call_s, 1, call_s
    for rows in SIZES:
        # A slow one is not timed with more rows: that would take long, and much memory.
        if slowest > HEAVY_S or row_s * rows > 16 * HEAVY_S:
            break
        try:
            slowest = _slowest(session, rows)
        except TooLarge:
            break
        slope = max(0.0, slowest - call_s) / rows
        # The line lies above all that was timed.
        row_s, most = slope if most == 1 else max(row_s, slope), rows
    return Cost(call_s, row_s, most_rows=most)


def _slowest(session: Session, rows: int) -> float:
    """Seconds of the slowest kind of rows; kinds that the session refuses do not count.

    Raises:
        TooLarge: a call may not have so many.
    """
    slowest = 0.0
    for batch in _batches(session.canned, rows):
        try:
            slowest = max(slowest, _quickest(session, batch, rounds=2))
        except TooLarge:
            raise
        except TrivetError:
            continue
        if slowest > HEAVY_S:
            break
    return slowest


def _quickest(session: Session, batch: Batch, *, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        session.run(batch)
        best = min(best, time.perf_counter() - start)
    return best


def _batches(canned: Batch, rows: int) -> Iterator[Batch]:
    """The canned row repeated, random numbers around it, and the same number everywhere."""
    columns = [canned.numpy(index)[:1].repeat(rows, axis=0) for index in range(len(canned.columns))]
    yield Batch(canned.schema, list(columns), rows)
    random = np.random.default_rng(0)
    yield Batch(canned.schema, [_varied(each, random) for each in columns], rows)
    for fill in FILLS:
        if any(each.dtype.kind == "f" for each in columns):
            yield Batch(canned.schema, [_filled(each, fill) for each in columns], rows)


def _varied(column: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if column.dtype.kind == "f":
        return (column + random.normal(0, 3, column.shape)).astype(column.dtype)
    if column.dtype.kind in "iu":
        return random.integers(0, 2, column.shape).astype(column.dtype)
    return column


def _filled(column: np.ndarray, fill: float) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return np.full_like(column, fill) if column.dtype.kind == "f" else column
