"""A model and its converted file, compared: which rows each refuses, shapes before values, and numbers within a tolerance."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trivet.domain.proof import Refused
from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.proving import Answers, Compared, NotEqual, answers_of, batches_of, compare_files, refused_by
from trivet.errors import ModelFailed, Unavailable

INPUTS = parse_schema("x: float64[2]")
FLOAT32_MOST = float(np.finfo(np.float32).max)


class Function:
    """A runner that answers with a function of the first column."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], gives: str = "y: float64") -> None:
        self.function = function
        self.input_schema = INPUTS
        self.output_schema = parse_schema(gives)
        self.capacity = 1
        self.calls: list[int] = []

    def predict(self, batch: Batch) -> Batch:
        self.calls.append(batch.rows)
        return Batch(self.output_schema, [self.function(batch.numpy(0))], batch.rows)


def sums(rows: np.ndarray) -> np.ndarray:
    return rows.sum(axis=1)


def strict(rows: np.ndarray) -> np.ndarray:
    if not np.isfinite(rows).all():
        raise ModelFailed("ValueError: Input X contains NaN.")
    return sums(rows)


def rows(*values: tuple[float, float], kind: str = "middle") -> tuple[str, Batch]:
    return kind, Batch(INPUTS, [np.array(values, dtype=np.float64)], len(values))


MIDDLE = rows(*((float(each), 1.0) for each in range(40)))
BEYOND = rows((math.nan, 1.0), (1.0, 1.0), (math.inf, 1.0), (-math.inf, 2.0), kind="extreme")


def asked(runner: Any, *given: tuple[str, Batch], limit_s: float = 60.0) -> Answers:
    return asyncio.run(answers_of(runner, given, limit_s=limit_s))


def compared(own: Any, converted: Any, answers: Answers, *, tolerance: float = 1e-5) -> Compared:
    return asyncio.run(compare_files(own, converted, answers, tolerance=tolerance))


def test_equal_answers_are_counted_with_their_largest_difference() -> None:
    own = Function(sums)
    answers = asked(own, MIDDLE)
    found = compared(own, Function(lambda each: sums(each) * (1 + 1e-7)), answers)
    assert found.rows == 40 + 1 + 2 + 3 + 17
    assert found.largest == pytest.approx(1e-7, rel=0.01)


def test_rows_are_asked_in_calls_of_several_sizes() -> None:
    own, converted = Function(sums), Function(sums)
    compared(own, converted, asked(own, MIDDLE))
    assert own.calls == converted.calls == [40, 1, 2, 3, 17]


@pytest.mark.parametrize(
    ("converted", "gives", "says"),
    [
        (lambda each: sums(each)[:, None], "y: float64[1]", "the converted file gives y: float64[1], not y: float64"),
        (sums, "z: float64", "the converted file gives z: float64, not y: float64"),
        (lambda each: sums(each) + (each[:, 0] == 7), "y: float64", "'y' is 9.0, not 8.0, and 1 of 40 rows differ"),
        (lambda each: sums(each) * 1.001, "y: float64", "40 of 40 rows differ"),
        (lambda each: np.where(each[:, 0] == 3, np.nan, sums(each)), "y: float64", "'y' is nan, not 4.0"),
    ],
    ids=["shape", "name", "one row", "all rows", "nan"],
)
def test_another_answer_is_a_difference(converted: Any, gives: str, says: str) -> None:
    own = Function(sums)
    with pytest.raises(NotEqual) as caught:
        compared(own, Function(converted, gives), asked(own, MIDDLE))
    assert says in str(caught.value)


def test_classes_are_compared_exactly() -> None:
    own = Function(lambda each: each[:, 0].astype(np.int64), "y: int64")
    off = Function(lambda each: each[:, 0].astype(np.int64) + (each[:, 0] == 39), "y: int64")
    with pytest.raises(NotEqual, match="'y' is 40, not 39, and 1 of 40 rows differ"):
        compared(own, off, asked(own, MIDDLE), tolerance=0.5)


def test_small_numbers_are_held_against_the_usual_ones() -> None:
    own = Function(lambda each: np.where(each[:, 0] == 5, 0.0, 10.0))
    near = Function(lambda each: np.where(each[:, 0] == 5, 1e-6, 10.0))
    found = compared(own, near, asked(own, MIDDLE))
    assert found.largest == pytest.approx(1e-6 / 10.0, rel=0.1)


def test_what_a_model_refuses_becomes_a_rule() -> None:
    answers = asked(Function(strict), MIDDLE, BEYOND)
    assert refused_by(answers) == Refused(nan=True, beyond=math.inf)
    assert len(answers.refused) == 3
    assert sum(batch.rows for kind, batch, _ in answers.given if kind == "extreme") == 1


def test_a_limit_of_float32_is_found() -> None:
    def narrow(each: np.ndarray) -> np.ndarray:
        if (np.abs(each) > FLOAT32_MOST).any():
            raise ModelFailed("ValueError: Input X contains infinity or a value too large for dtype('float32').")
        return sums(np.nan_to_num(each))

    large = rows((1e39, 0.0), (FLOAT32_MOST, 0.0), (math.inf, 0.0), (math.nan, 0.0), kind="extreme")
    found = refused_by(asked(Function(narrow), MIDDLE, large))
    assert not found.nan
    assert found.beyond is not None
    assert FLOAT32_MOST < found.beyond < FLOAT32_MOST * (1 + 1e-9)


def test_a_model_that_refuses_nothing_has_no_rule() -> None:
    assert refused_by(asked(Function(sums), MIDDLE, BEYOND)) == Refused()


def test_refused_rows_without_a_rule_are_a_difference() -> None:
    def picky(each: np.ndarray) -> np.ndarray:
        if (each[:, 0] == 7).any():
            raise ModelFailed("ValueError: Found unknown categories [7]")
        return sums(each)

    answers = asked(Function(picky), MIDDLE)
    with pytest.raises(NotEqual, match="the model refuses rows that its converted file would answer"):
        refused_by(answers)


def test_nan_that_is_refused_in_one_column_only_is_a_difference() -> None:
    def half(each: np.ndarray) -> np.ndarray:
        if np.isnan(each[:, 0]).any():
            raise ModelFailed("ValueError: Input X contains NaN.")
        return each[:, 0]

    answers = asked(Function(half), MIDDLE, rows((math.nan, 1.0), (1.0, math.nan), kind="missing"))
    with pytest.raises(NotEqual, match="refuses some rows with NaN, and answers others"):
        refused_by(answers)


def test_a_row_that_only_the_converted_file_refuses_is_a_difference() -> None:
    own = Function(sums)
    answers = asked(own, MIDDLE, BEYOND)
    with pytest.raises(NotEqual, match=r"the converted file refuses a row \(extreme\): ValueError"):
        compared(own, Function(strict), answers)


def test_a_model_that_refuses_all_rows_proves_nothing() -> None:
    def never(each: np.ndarray) -> np.ndarray:
        raise ModelFailed("ValueError: no")

    with pytest.raises(NotEqual, match="the model refuses every row that was made up"):
        asked(Function(never), MIDDLE)


def test_an_ended_worker_does_not_count_as_a_refusal() -> None:
    def ended(each: np.ndarray) -> np.ndarray:
        raise Unavailable("the worker ended")

    with pytest.raises(Unavailable):
        asked(Function(ended), MIDDLE)


def test_each_kind_gets_its_first_rows_however_slow_the_model_is() -> None:
    many = [("middle", Batch(INPUTS, [np.ones((1000, 2))], 1000)), BEYOND]
    answers = asked(Function(sums), *many, limit_s=0.0)
    assert [(kind, batch.rows) for kind, batch, _ in answers.given[:2]] == [("middle", 64), ("extreme", 4)]


def test_rows_are_divided_by_their_kind() -> None:
    schema = pa.schema([*INPUTS, pa.field("kind", pa.string())])
    lists = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 2)
    table = pa.Table.from_arrays([lists, pa.array(["b", "a", "b"])], schema=schema)
    found = batches_of(table, INPUTS)
    assert [(kind, batch.numpy(0).tolist()) for kind, batch in found] == [
        ("b", [[1.0, 2.0], [5.0, 6.0]]),
        ("a", [[3.0, 4.0]]),
    ]
    assert found[0][1].schema == INPUTS
