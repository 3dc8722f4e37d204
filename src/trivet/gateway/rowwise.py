"""Answers a request row by row where some of its rows fail: each of those gets an error of its own, beside the others' answers.

The others are answered as a request of them alone would be. A model whose answer to a row depends on the rest of the call sees
only them, and may see them in several calls.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from trivet.engine.batch import Batch, concat
from trivet.engine.checks.checks import Anomalies
from trivet.engine.checks.timed import TimedChecks
from trivet.engine.failing_rows import Attempt, Part, answer_apart, at_row, decode_apart, is_of_rows, row_of
from trivet.engine.served import Runner
from trivet.errors import TooLarge, TrivetError
from trivet.gateway.allowance import Allowance
from trivet.gateway.answer import Answer, Inputs
from trivet.gateway.offloading import offloaded

__all__ = ["RowAnswers", "RowwiseExchange", "SentRows", "answer_rows", "check_slice"]

MOST_ROWS: Final = 100_000
# Rows that are right by themselves, and have other columns than the rows before them.
MOST_ODD_ROWS: Final = 100

T = TypeVar("T")
BodyT = TypeVar("BodyT")
BodyT_contra = TypeVar("BodyT_contra", contravariant=True)
ContentT_co = TypeVar("ContentT_co", covariant=True)


class SentRows(Protocol):
    """The rows of a request, before they are decoded."""

    @property
    def rows(self) -> int:
        """How many."""

    def decode(self, rows: Sequence[int], allowance: Allowance) -> Inputs:
        """Decode the rows with these indices. Raises as `Exchange.read` does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowAnswers:
    """What the rows of a request are answered.

    Attributes:
        sent: the rows.
        answered: the indices of those that did not fail.
        answer: their answer; None if all rows failed.
        errors: of the others, by index.
        time_ms: when, in milliseconds since 1970.
        allowance: what the request may still become.
    """

    sent: Any
    answered: Sequence[int]
    answer: Answer[Any] | None
    errors: Mapping[int, TrivetError]
    time_ms: int
    allowance: Allowance


@dataclass(frozen=True, kw_only=True, slots=True)
class RowwiseExchange(Generic[BodyT_contra, ContentT_co]):
    """How a request is read and answered row by row: in the place of an `Exchange`.

    Attributes:
        split: the rows of a body. It raises for what is wrong with all of them.
        write: encodes the answers.
        content_type: of the answer.
    """

    split: Callable[[BodyT_contra, Allowance], SentRows]
    write: Callable[[RowAnswers], ContentT_co]
    content_type: bytes


async def answer_rows(
    exchange: RowwiseExchange[BodyT, Any],
    body: BodyT,
    allowance: Allowance,
    *,
    runner: Runner,
    checks: TimedChecks | None,
) -> RowAnswers:
    """Answer the rows of a request that do not fail, and find the errors of the others.

    Raises:
        TrivetError: the request is wrong as a whole, or cannot be answered for a reason other than its rows.
    """
    started = time.perf_counter_ns()
    sent = await offloaded(partial(exchange.split, body, allowance))
    if sent.rows > MOST_ROWS:
        raise TooLarge(
            f"the request has {sent.rows} rows",
            why=f"with on_error=null it may have {MOST_ROWS}",
            fix="send fewer rows at once",
        )
    found = _Found(sent, allowance)
    inputs = await offloaded(found.decoded)
    decoded = time.perf_counter_ns()
    answered: list[int] = []
    batches: list[Batch] = []
    anomalies: list[Anomalies] = []
    if inputs is not None:
        async for rows, outputs, checked in _outputs(runner, checks, inputs, found, started_ns=started):
            answered += rows
            batches.append(outputs)
            if checked is not None:
                anomalies.append(checked)
    answer = None
    time_ms = time.time_ns() // 1_000_000
    elapsed = (decoded - started, time.perf_counter_ns() - decoded)
    if inputs is not None and batches:
        if len(answered) < len(found.rows):
            inputs = await offloaded(partial(found.decode, answered))
        answer = Answer(inputs, concat(batches), time_ms, elapsed, _joined(anomalies) if anomalies else None)
    return RowAnswers(
        sent=sent, answered=answered, answer=answer, errors=found.errors, time_ms=time_ms, allowance=allowance
    )


def check_slice(
    checks: TimedChecks,
    arrays: Mapping[str, pa.Array],
    outputs: Batch,
    start: int,
    rows: int,
    *,
    started_ns: int,
) -> Anomalies | Awaitable[Anomalies]:
    """What validations find in some of a request's rows. Raises as `TimedChecks.evaluate` does."""
    given = {name: array.slice(start, rows) for name, array in arrays.items()}
    return checks.evaluate(given, outputs.slice(start, rows), started_ns=started_ns)


class _Found:
    """What is found of a request's rows.

    Attributes:
        rows: the indices of those that can be decoded.
        errors: of those that failed, by index.
    """

    def __init__(self, sent: SentRows, allowance: Allowance) -> None:
        self.rows: Sequence[int] = range(sent.rows)
        self.errors: dict[int, TrivetError] = {}
        self._sent = sent
        self._allowance = allowance

    def decode(self, rows: Sequence[int]) -> Inputs:
        """Decode the rows with these indices."""
        # What an earlier try made of them is not held any more.
        self._allowance.decode_again()
        return self._sent.decode(rows, self._allowance)

    def decoded(self) -> Inputs | None:
        """Find the rows that can be decoded together. Returns what they become; None if there are none."""
        whole = self.rows
        try:
            return self.decode(whole)
        except TrivetError as error:
            if not is_of_rows(error):
                raise
        parts = decode_apart(lambda start, rows: self.decode(whole[start : start + rows]) is not None, whole)
        good = [row for part in self._without_errors(parts, whole) for row in range(part.start, part.start + part.rows)]
        self.rows = good
        for left in reversed(range(MOST_ODD_ROWS)):
            if not good:
                break
            try:
                return self.decode(good)
            except TrivetError as error:
                index = row_of(error)
                if not left or not is_of_rows(error) or index is None or index >= len(good):
                    raise
                odd = good.pop(index)
                self.errors[odd] = at_row(error, odd)
        return None

    async def kept(self, attempt: Attempt[T], rows: Sequence[int]) -> list[Part[T]]:
        """The parts of some rows that do not fail."""
        return self._without_errors(await answer_apart(attempt, rows), rows)

    def _without_errors(self, parts: Sequence[Part[T]], rows: Sequence[int]) -> list[Part[T]]:
        kept: list[Part[T]] = []
        for part in parts:
            if part.error is None:
                kept.append(part)
            else:
                self.errors |= dict.fromkeys(rows[part.start : part.start + part.rows], part.error)
        return kept


async def _outputs(
    runner: Runner, checks: TimedChecks | None, inputs: Inputs, found: _Found, *, started_ns: int
) -> AsyncIterator[tuple[Sequence[int], Batch, Anomalies | None]]:
    """Rows that do not fail, a few at a time, with their outputs and what validations find in them."""
    batch = inputs.batch
    arrays = {} if checks is None else inputs.arrays()

    def predict(start: int, rows: int) -> Batch | Awaitable[Batch]:
        return runner.predict(batch if rows == batch.rows else batch.slice(start, rows))

    for part in await found.kept(predict, found.rows):
        rows = found.rows[part.start : part.start + part.rows]
        if checks is None:
            yield rows, part.outcome, None
            continue
        own = {name: array.slice(part.start, part.rows) for name, array in arrays.items()}
        check = partial(check_slice, checks, own, part.outcome, started_ns=started_ns)
        for checked in await found.kept(check, rows):
            outputs = part.outcome.slice(checked.start, checked.rows)
            yield rows[checked.start : checked.start + checked.rows], outputs, checked.outcome


def _joined(found: Sequence[Anomalies]) -> Anomalies:
    columns = {name: np.concatenate([each.columns[name] for each in found]) for name in found[0].columns}
    return Anomalies(np.concatenate([each.count for each in found]), columns)
