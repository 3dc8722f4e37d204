"""Finds the rows that make a call fail: the call is repeated with halves of its rows, within bounds."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar, cast

from trivet.errors import Invalid, ModelFailed, TrivetError

__all__ = ["Attempt", "Part", "answer_apart", "at_row", "decode_apart", "is_of_rows", "name_row", "row_of"]

T = TypeVar("T")

MOST_CALLS: Final = 2000
MOST_S: Final = 10.0
# An error is not delayed for longer in order to name its row.
NAMING_S: Final = 1.0
ROW_AT: Final = re.compile(r"\[(\d+)\]")
ROW_IN_TEXT: Final = re.compile(r"row \d+ ")

Attempt: TypeAlias = Callable[[int, int], T | Awaitable[T]]
"""What is tried with the rows from a start, so many of them. It raises where they fail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part(Generic[T]):
    """Consecutive rows of those that are tried, and their outcome: the result of one call, or the error of each of them."""

    start: int
    rows: int
    result: T | TrivetError

    @property
    def error(self) -> TrivetError | None:
        """Why each of the rows failed."""
        return self.result if isinstance(self.result, TrivetError) else None

    @property
    def outcome(self) -> T:
        """What came of rows that did not fail."""
        assert not isinstance(self.result, TrivetError)
        return self.result


def is_of_rows(error: TrivetError) -> bool:
    """Whether other rows may be answered where these failed. A worker that ended, a queue that is full and a deadline are
    not the rows' fault.
    """
    return isinstance(error, Invalid | ModelFailed)


def at_row(error: TrivetError, row: int) -> TrivetError:
    """The same error, about one row of a request.

    Args:
        error: of a call that had this row alone, or whose path begins with another number.
        row: its index in the request.
    """
    at = ROW_AT.match(error.path or "")
    within = (error.path or "")[at.end() if at else 0 :]
    joint = "." if within and within[0] not in ".[" else ""
    begun = ROW_IN_TEXT.match(error.what)
    what = f"row {row} {error.what[begun.end() :]}" if begun else error.what
    named = type(error)(what, why=error.why, fix=error.fix, path=f"[{row}]{joint}{within}", reason=error.reason)
    named.trace = error.trace
    return named


def row_of(error: TrivetError) -> int | None:
    """The row that an error's path begins with."""
    at = ROW_AT.match(error.path or "")
    return None if at is None else int(at[1])


def _together(error: TrivetError, first: int, last: int) -> TrivetError:
    """The error of each row of a call that was not repeated any more."""
    return type(error)(
        f"the rows {first} to {last} failed together, and were not tried one by one",
        why=error.message,
        fix="send them in requests of their own",
        path=f"[{first}]",
        reason="not_tried_alone",
    )


def _halving(
    rows: Sequence[int], *, may_go_on: Callable[[int], bool]
) -> Generator[tuple[int, int], T | TrivetError, list[Part[T]]]:
    """Yields which rows to try, receives the outcome of each try, and returns the parts in the order of their rows.

    Args:
        rows: the index of each row in the request, at least one.
        may_go_on: whether another try is allowed after so many.
    """
    parts: list[Part[T]] = []
    waiting: list[tuple[int, int, TrivetError | None]] = [(0, len(rows), None)]
    tries = 0
    while waiting:
        start, count, before = waiting.pop()
        if before is not None and not may_go_on(tries):
            parts.append(Part(start=start, rows=count, result=_together(before, rows[start], rows[start + count - 1])))
            continue
        outcome = yield start, count
        tries += 1
        if isinstance(outcome, TrivetError) and count > 1:
            half = count // 2
            waiting += [(start + half, count - half, outcome), (start, half, outcome)]
        elif isinstance(outcome, TrivetError):
            parts.append(Part(start=start, rows=1, result=at_row(outcome, rows[start])))
        else:
            parts.append(Part(start=start, rows=count, result=outcome))
    return parts


def _within(until: float) -> Callable[[int], bool]:
    return lambda tries: tries < MOST_CALLS and time.monotonic() < until


def decode_apart(decode: Callable[[int, int], T], rows: Sequence[int], *, most_s: float = MOST_S) -> list[Part[T]]:
    """Decode a request's rows, those apart that are wrong.

    Raises:
        TrivetError: the request cannot be decoded, for another reason than its rows.
    """
    # Each row costs little, so that the time is the only limit.
    until = time.monotonic() + most_s
    steps: Generator[tuple[int, int], T | TrivetError, list[Part[T]]] = _halving(
        rows, may_go_on=lambda _tries: time.monotonic() < until
    )
    try:
        asked = next(steps)
        while True:
            try:
                outcome: T | TrivetError = decode(*asked)
            except TrivetError as error:
                if not is_of_rows(error):
                    raise
                outcome = error
            asked = steps.send(outcome)
    except StopIteration as end:
        return cast(list[Part[T]], end.value)


async def answer_apart(attempt: Attempt[T], rows: Sequence[int], *, most_s: float = MOST_S) -> list[Part[T]]:
    """Try all rows; where a try fails, try its halves, one after the other. After some time or very many tries, the rows that
    remain have the error of their last try.

    Args:
        attempt: a call of a model, or of validations.
        rows: the index of each row in the request.
        most_s: for how long tries may begin.

    Raises:
        TrivetError: a try failed for another reason than its rows.
    """
    steps: Generator[tuple[int, int], T | TrivetError, list[Part[T]]] = _halving(
        rows, may_go_on=_within(time.monotonic() + most_s)
    )
    try:
        asked = next(steps)
        while True:
            asked = steps.send(await _outcome(attempt, *asked))
    except StopIteration as end:
        return cast(list[Part[T]], end.value)


async def name_row(attempt: Attempt[T], rows: int, error: TrivetError, *, most_s: float = NAMING_S) -> TrivetError:
    """The error of the first row that fails alone; the given error if there is none, or if it takes too long.

    The tries have together at most as many rows as the request.

    Args:
        attempt: the call that failed.
        rows: of the request.
        error: of the call with all of them.
        most_s: how long it may take.
    """
    try:
        async with asyncio.timeout(most_s):
            return await _first_failing(attempt, rows) or error
    except (TimeoutError, TrivetError):
        return error


async def _first_failing(attempt: Attempt[T], rows: int) -> TrivetError | None:
    start, found = 0, None
    while rows > 1:
        outcome = await _outcome(attempt, start, rows // 2)
        if isinstance(outcome, TrivetError):
            rows, found = rows // 2, outcome
        else:
            start, rows, found = start + rows // 2, rows - rows // 2, None
    if found is None:
        # All that is known of it is that the rows before it are answered.
        outcome = await _outcome(attempt, start, 1)
        found = outcome if isinstance(outcome, TrivetError) else None
    return None if found is None else at_row(found, start)


async def _outcome(attempt: Attempt[T], start: int, rows: int) -> T | TrivetError:
    try:
        # A native model answers at once: other requests go on between two tries.
        await asyncio.sleep(0)
        made = attempt(start, rows)
        return await made if isinstance(made, Awaitable) else made
    except TrivetError as error:
        if not is_of_rows(error):
            raise
        return error
