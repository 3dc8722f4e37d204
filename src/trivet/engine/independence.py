"""Compares a model's answers to rows that are asked alone, together, in another order and beside others.

Requests share a call only where this finds no difference: see `trivet.domain.version.batching_of`.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from trivet.domain.version import Independence
from trivet.engine.batch import Batch, concat
from trivet.engine.made_up_rows import KINDS, Kind, made_up
from trivet.engine.served import Runner, predict
from trivet.errors import Invalid, ModelFailed, TrivetError
from trivet_worker.tensors import fixed_shape

__all__ = ["NOISE", "compare_rows"]

NOISE = {pa.float16(): 1e-2, pa.float32(): 1e-4, pa.float64(): 1e-5}
"""Differences up to this, relative to the largest number of the row's answer, come of rounding: the order of a sum depends on
how many rows are multiplied at once. A double counts as a sum of floats, which is what many models compute with."""

SMALL = 0.01
"""No number is expected to be more exact than those of a row whose answer is this fraction of the column's largest."""

ROWS = 4
CROWD = 29
CROWD_WITHIN_S = 0.05
QUICK_S = 1.5
MOST_S = 20.0
MOST_BYTES = 2**28
MOST_SHOWN = 60

Answer: TypeAlias = list["_Value"]
"""One row's answer, by column."""


class _Dependent(Exception):
    """Its message says what was found."""


class _Over(Exception):
    """The time is up."""


async def compare_rows(
    runner: Runner, template: Batch, given: Sequence[Batch] = (), *, quick_s: float = QUICK_S, most_s: float = MOST_S
) -> Independence:
    """Find out whether a model answers each row as if it were alone.

    Rows of a kind that the model refuses prove nothing; another kind is tried then. It takes one kind to prove it, and all
    that were answered have to agree.

    Args:
        runner: of one model. It must not join requests, and nothing else may send it any.
        template: a row; lists of made-up rows get its lengths.
        given: rows that its author gave: they are tried first.
        quick_s: after this long no further kind is tried, if one was compared.
        most_s: after this long it is given up.
    """
    if template.nbytes * (CROWD + ROWS) > MOST_BYTES:
        return _unproved(f"a row of {template.nbytes} bytes is too large to be compared with others")
    comparison = _Comparison(runner, deadline=time.monotonic() + most_s)
    started = time.monotonic()
    compared = 0
    refusal: TrivetError | None = None
    same = False
    try:
        async with asyncio.timeout(most_s):
            for rows in _rounds(template.slice(0, 1), given):
                if compared and time.monotonic() - started > quick_s:
                    break
                try:
                    separated = await comparison.round(rows)
                except (Invalid, ModelFailed) as error:
                    refusal = error
                    continue
                compared += separated
                same = same or not separated
    except _Dependent as found:
        return _unproved(str(found))
    except (_Over, TimeoutError):
        if not compared:
            return _unproved(f"{most_s:g} s were not enough to compare the answers to a few rows")
    except TrivetError as error:
        return _unproved(f"a row could not be compared: {error.message}")
    if compared:
        kinds = "one kind" if compared == 1 else f"{compared} kinds"
        return Independence(proved=True, reason=f"rows of {kinds} got the same answers alone and beside others")
    if same:
        return _unproved("all rows that were tried got the same answer, which shows nothing")
    assert refusal is not None
    return _unproved(f"the model refuses the rows that were tried: {refusal.message}")


def _unproved(reason: str) -> Independence:
    return Independence(proved=False, reason=reason)


def _rounds(template: Batch, given: Sequence[Batch]) -> Iterator[tuple[Batch, Batch]]:
    """Rows to compare, and others to put beside them."""
    random = np.random.default_rng(1)
    own = [rows for rows in given if rows.rows]
    if own:
        together = concat(own)
        if together.rows > 1:
            yield together.slice(0, min(ROWS, together.rows)), together
        near = next(kind for kind in KINDS if kind.near)
        yield _made_up(own[0].slice(0, 1), near, random)
    for kind in KINDS:
        yield _made_up(template, kind, random)


def _made_up(template: Batch, kind: Kind, random: np.random.Generator) -> tuple[Batch, Batch]:
    rows = made_up(template, ROWS + CROWD, kind, random)
    return rows.slice(0, ROWS), rows.slice(ROWS, CROWD)


class _Comparison:
    """Asks one model, again and again."""

    def __init__(self, runner: Runner, *, deadline: float) -> None:
        self._runner = runner
        self._deadline = deadline

    async def round(self, kind: tuple[Batch, Batch]) -> bool:
        """Compare the answers to some rows.

        Returns:
            Whether the rows had different answers, as they must for a difference to show.

        Raises:
            _Dependent: an answer changed.
            TrivetError: the model refuses them.
        """
        rows, others = kind
        rows, alone = await self._alone(rows)
        started = time.monotonic()
        together = await self._ask(rows)
        if time.monotonic() - started > CROWD_WITHIN_S:
            others = others.slice(0, min(others.rows, ROWS))
        same = _Same(self._runner.output_schema, [*alone, *together])
        same.check(together, await self._ask(rows), "rows that were sent twice got two answers")
        same.check(alone, together, "the answer to a row changes with the rows beside it")
        order = list(reversed(range(rows.rows)))
        turned = await self._ask(_take(rows, order))
        same.check(alone, [turned[place] for place in order], "the answer to a row changes with the order of the rows")
        # Each row stands between others, and one stands there twice.
        places = [others.rows // 3 + index for index in range(rows.rows)]
        beside = concat(
            [others.slice(0, places[0]), rows, rows.slice(0, 1), others.slice(places[0], others.rows - places[0])]
        )
        crowd = await self._ask(beside)
        same.check(alone, [crowd[place] for place in places], "the answer to a row changes with the rows beside it")
        same.check(alone[:1], [crowd[places[-1] + 1]], "the answer to a row changes if it is sent twice")
        same.check(alone[:1], await self._ask(rows.slice(0, 1)), "a row that was sent again got another answer")
        return any(same.difference(alone[0], other) for other in alone[1:])

    async def _alone(self, rows: Batch) -> tuple[Batch, list[Answer]]:
        """Those of the rows that the model answers alone, and its answers.

        Raises:
            TrivetError: it answers fewer than two of them.
        """
        answers: dict[int, Answer] = {}
        refusal: TrivetError | None = None
        for index in range(rows.rows):
            row = rows.slice(index, 1)
            try:
                (answers[index],) = await self._ask(row)
            except (Invalid, ModelFailed) as error:
                refusal = error
                continue
            if len(answers) == 1:
                same = _Same(self._runner.output_schema, [answers[index]])
                same.check([answers[index]], await self._ask(row), "a row that was sent twice got two answers")
        if len(answers) < 2:
            raise refusal or Invalid("there is one row only")
        return _take(rows, list(answers)), list(answers.values())

    async def _ask(self, batch: Batch) -> list[Answer]:
        # An answer that comes at once gives a timeout no chance.
        if time.monotonic() > self._deadline:
            raise _Over
        return _rows_of(await predict(self._runner, batch))


def _take(batch: Batch, indices: Sequence[int]) -> Batch:
    return concat([batch.slice(index, 1) for index in indices])


class _Value:
    """A value apart from its floating-point numbers, and these."""

    __slots__ = ("numbers", "rest", "shown")

    def __init__(self, value: Any) -> None:
        self.shown = value
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f":
            self.rest: Any = value.shape
            self.numbers = np.asarray(value, np.float64).ravel()
            return
        numbers: list[float] = []
        self.rest = _without_floats(value.tolist() if isinstance(value, np.ndarray | np.generic) else value, numbers)
        self.numbers = np.array(numbers, np.float64)


def _without_floats(value: Any, found: list[float]) -> Any:
    if isinstance(value, float):
        found.append(value)
        return float
    if isinstance(value, list):
        return [_without_floats(item, found) for item in value]
    if isinstance(value, dict):
        return {name: _without_floats(item, found) for name, item in value.items()}
    return value


def _rows_of(answer: Batch) -> list[Answer]:
    columns: list[Any] = []
    for index in range(len(answer.schema)):
        # The array of a list of any length depends on the lists beside it; the list does not.
        values = None if fixed_shape(answer.schema.field(index).type) is None else answer.numpy(index)
        columns.append(answer.arrow(index).to_pylist() if values is None or values.dtype == object else values)
    return [[_Value(value) for value in row] for row in zip(*columns, strict=True)]


class _Same:
    """Tells rounding from another answer.

    Args:
        schema: of the answers.
        answers: some of them, for the size of their numbers.
    """

    def __init__(self, schema: pa.Schema, answers: Sequence[Answer]) -> None:
        self._names = schema.names
        self._noise = [max(_noise_of(field.type), default=max(NOISE.values())) for field in schema]
        self._least = [
            SMALL * max(_largest(answer[index].numbers) for answer in answers) for index in range(len(schema))
        ]

    def check(self, expected: Sequence[Answer], found: Sequence[Answer], what: str) -> None:
        """Compare the answers to the same rows.

        Raises:
            _Dependent: they differ: what was found.
        """
        for one, other in zip(expected, found, strict=True):
            differs = self.difference(one, other)
            if differs is not None:
                raise _Dependent(f"{what}: {differs}")

    def difference(self, one: Answer, other: Answer) -> str | None:
        """Where two answers differ, or None."""
        for index, (first, second) in enumerate(zip(one, other, strict=True)):
            if first.rest == second.rest and self._alike(index, first.numbers, second.numbers):
                continue
            return f"{self._names[index]!r} is {_shown(first)} and {_shown(second)}"
        return None

    def _alike(self, index: int, first: np.ndarray, second: np.ndarray) -> bool:
        size = max(_largest(first), _largest(second), self._least[index])
        return bool(np.allclose(first, second, rtol=0.0, atol=self._noise[index] * size, equal_nan=True))


def _noise_of(type_: pa.DataType) -> Iterator[float]:
    """The noise of each floating-point type in a type."""
    if type_ in NOISE:
        yield NOISE[type_]
    for index in range(type_.num_fields):
        yield from _noise_of(type_.field(index).type)


def _largest(numbers: np.ndarray) -> float:
    finite = np.abs(numbers[np.isfinite(numbers)])
    return float(finite.max()) if finite.size else 0.0


def _shown(value: _Value) -> str:
    text = str(value.shown).replace("\n", "")
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
