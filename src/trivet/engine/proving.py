"""Compares a model with its converted file, row by row: which rows each refuses, the shapes of the answers, and their values."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trivet.domain.proof import Refused
from trivet.domain.schema import format_schema
from trivet.engine.batch import Batch, concat
from trivet.engine.served import Runner, is_refusal, predict
from trivet.errors import TrivetError

__all__ = ["Answers", "Compared", "NotEqual", "answers_of", "batches_of", "compare_files", "refused_by"]

AT_ONCE = 256
FEWEST = 64
SIZES = (1, 2, 3, 17)
FLOAT32_MOST = float(np.finfo(np.float32).max)


class NotEqual(Exception):
    """Its message says how the converted file answers otherwise, as a clause."""


@dataclass(slots=True)
class Answers:
    """What the original says.

    Attributes:
        given: rows that it answered, with the answers and the kind of the rows.
        refused: rows that it refused.
    """

    given: list[tuple[str, Batch, Batch]] = field(default_factory=list)
    refused: list[Batch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Compared:
    """How many rows were equal, and the largest difference."""

    rows: int
    largest: float


async def answers_of(own: Runner, rows: Sequence[tuple[str, Batch]], *, limit_s: float) -> Answers:
    """Ask the original.

    Args:
        own: the original.
        rows: by kind. A kind whose share of the time is over is left after its first rows.
        limit_s: how long this may take, about.

    Raises:
        NotEqual: it answers no row.
        TrivetError: it failed otherwise than by refusing rows.
    """
    answers = Answers()
    for kind, batch in rows:
        until = time.monotonic() + limit_s / len(rows)
        start, size = 0, FEWEST
        while start < batch.rows and (start == 0 or time.monotonic() < until):
            piece = batch.slice(start, min(size, batch.rows - start))
            await _ask(own, kind, piece, answers)
            start, size = start + piece.rows, AT_ONCE
    if not answers.given:
        raise NotEqual("the model refuses every row that was made up")
    kind, batch, _ = answers.given[0]
    start = 0
    for size in SIZES:
        if start + size <= batch.rows:
            await _ask(own, kind, batch.slice(start, size), answers)
            start += size
    return answers


async def _ask(own: Runner, kind: str, batch: Batch, answers: Answers) -> None:
    """Ask for rows together; where they are refused, for each half."""
    try:
        answers.given.append((kind, batch, await predict(own, batch)))
    except TrivetError as error:
        if not is_refusal(error):
            raise
        if batch.rows == 1:
            answers.refused.append(batch)
            return
        half = batch.rows // 2
        await _ask(own, kind, batch.slice(0, half), answers)
        await _ask(own, kind, batch.slice(half, batch.rows - half), answers)


def refused_by(answers: Answers) -> Refused:
    """The numbers that the original refuses, as a rule that says the same about every row that was tried.

    Raises:
        NotEqual: no rule does.
    """
    if not answers.refused:
        return Refused()
    refused = [_magnitudes(batch) for batch in answers.refused]
    given = [_magnitudes(batch) for _, batch, _ in answers.given]
    nan = any(has_nan.any() for has_nan, _ in refused)
    if nan and any(has_nan.any() for has_nan, _ in given):
        raise NotEqual("the model refuses some rows with NaN, and answers others")
    beyond = [float(most.min()) for has_nan, most in refused if not has_nan.any()]
    largest = max(float(most.max()) for _, most in given)
    if not beyond:
        return Refused(nan=nan)
    for limit in (float("inf"), np.nextafter(FLOAT32_MOST, np.inf)):
        if largest < limit <= min(beyond):
            return Refused(nan=nan, beyond=float(limit))
    raise NotEqual("the model refuses rows that its converted file would answer")


def _magnitudes(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """For each row whether it has NaN, and its largest magnitude."""
    nan, most = np.zeros(batch.rows, dtype=bool), np.zeros(batch.rows)
    for index in range(len(batch.columns)):
        values = batch.numpy(index)
        if values.dtype.kind == "f":
            rows = np.abs(values.reshape(batch.rows, -1).astype(np.float64))
            nan |= np.isnan(rows).any(axis=1)
            most = np.maximum(most, np.nan_to_num(rows, nan=0.0, posinf=np.inf).max(axis=1, initial=0.0))
    return nan, most


async def compare_files(own: Runner, converted: Runner, answers: Answers, *, tolerance: float) -> Compared:
    """Ask the converted file for what the original answered, in the same calls.

    Raises:
        NotEqual: it takes or gives other columns, refuses a row, or answers otherwise.
    """
    for which, expected, actual in (
        ("takes", own.input_schema, converted.input_schema),
        ("gives", own.output_schema, converted.output_schema),
    ):
        if [(each.name, each.type) for each in expected] != [(each.name, each.type) for each in actual]:
            raise NotEqual(f"the converted file {which} {format_schema(actual)}, not {format_schema(expected)}")
    scales = [_scale(answers, index) for index in range(len(own.output_schema))]
    rows, largest = 0, 0.0
    for kind, batch, expected in answers.given:
        try:
            actual = await predict(converted, batch)
        except TrivetError as error:
            raise NotEqual(f"the converted file refuses a row ({kind}): {error.why or error.message}") from error
        for index, each in enumerate(own.output_schema):
            found = _differs(expected.numpy(index), actual.numpy(index), scale=scales[index], tolerance=tolerance)
            if isinstance(found, str):
                raise NotEqual(f"the converted file answers otherwise ({kind} rows): {each.name!r} {found}")
            largest = max(largest, found)
        rows += batch.rows
    return Compared(rows, largest)


def _scale(answers: Answers, index: int) -> float:
    """The size of a column's usual numbers: the mean of their magnitudes."""
    kind = answers.given[0][0]
    usual = concat([answer for each, _, answer in answers.given if each == kind]).numpy(index)
    if usual.dtype.kind != "f":
        return 1.0
    finite = np.abs(usual[np.isfinite(usual)].astype(np.float64))
    return (float(finite.mean()) if finite.size else 0.0) or 1.0


def _differs(expected: np.ndarray, actual: np.ndarray, *, scale: float, tolerance: float) -> str | float:
    """How one column differs, as a clause; else the largest relative difference."""
    if expected.shape != actual.shape:
        return f"has the shape {list(actual.shape)}, not {list(expected.shape)}"
    if expected.dtype != actual.dtype:
        return f"is {actual.dtype}, not {expected.dtype}"
    if expected.dtype.kind != "f":
        same = np.asarray(expected == actual)
        return 0.0 if same.all() else _shown(expected, actual, ~same)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        equal = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
        size = np.maximum(np.abs(expected.astype(np.float64)), scale)
        off = np.where(equal, 0.0, np.abs(expected.astype(np.float64) - actual.astype(np.float64)) / size)
    wrong = ~(off <= tolerance)
    if wrong.any():
        return _shown(expected, actual, wrong)
    return float(off.max(initial=0.0))


def _shown(expected: np.ndarray, actual: np.ndarray, wrong: np.ndarray) -> str:
    place = next(_places(wrong))
    count = int(wrong.reshape(len(wrong), -1).any(axis=1).sum())
    return f"is {actual[place]!s}, not {expected[place]!s}, and {count} of {len(wrong)} rows differ"


def _places(wrong: np.ndarray) -> Iterator[tuple[int, ...]]:
    yield from zip(*np.nonzero(wrong), strict=True)


def batches_of(table: pa.Table, schema: pa.Schema) -> list[tuple[str, Batch]]:
    """Rows by their kind, in the order in which the kinds come.

    Args:
        table: the rows, with a last column that says their kind.
        schema: of the rows without it.
    """
    kinds = table.column(-1)
    found = []
    for each in kinds.unique().to_pylist():
        rows = table.filter(pc.equal(kinds, each)).select(schema.names).combine_chunks()
        parts = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in rows.to_batches())
        found += [(each, Batch.of_record_batch(part)) for part in parts]
    return found
