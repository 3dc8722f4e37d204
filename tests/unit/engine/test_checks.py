"""Validations: what they see, what they say of each row, and what is found out before a pipeline serves."""

import math
import subprocess
import sys
import textwrap

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.domain.pipeline import Validation
from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Checks
from trivet.engine.checks.validations import check_validations
from trivet.errors import Conflict, Invalid
from trivet_tests.hostile.validations import stream

INPUTS = parse_schema("tensor: float32[3]; age: int64?; name: string; half: float16; any: float64[]")
OUTPUTS = parse_schema("dense_1: float32[1]; label: int64; grid: float32[2,2]")


def validation(name, expression):
    return Validation(name=name, expression=expression.meta.serialize(format="json"))


def checks_of(**expressions):
    return Checks([validation(name, expression) for name, expression in expressions.items()], INPUTS, OUTPUTS)


def answer(scores, labels=None):
    rows = len(scores)
    columns = [
        np.array(scores, np.float32).reshape(rows, 1),
        np.array(labels or [0] * rows, np.int64),
        np.arange(4 * rows, dtype=np.float32).reshape(rows, 2, 2),
    ]
    return Batch(OUTPUTS, columns, rows)


def request(rows=2, **columns):
    """A request's columns; those that a test does not care about are made up."""
    usual = {
        "tensor": [[0.0, 1.0, 2.0]] * rows,
        "age": [40] * rows,
        "name": ["anna"] * rows,
        "half": np.array([0.5] * rows, np.float16),
        "any": [[1.0]] * rows,
    }
    return {
        name: values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, INPUTS.field(name).type)
        for name, values in {**usual, **columns}.items()
    }


def test_each_row_is_judged_and_the_verdicts_are_counted():
    checks = checks_of(
        fraud=pl.col("out.dense_1").list.get(0) > 0.9,
        old=pl.col("in.age") > 65,
        both=(pl.col("in.age") > 65) & (pl.col("out.dense_1").list.get(0) > 0.9),
    )
    found = checks.evaluate(request(3, age=[30, 70, 90]), answer([0.95, 0.1, 0.99]))
    assert list(found.columns) == list(checks.names) == ["both", "fraud", "old"]
    assert {name: verdicts.tolist() for name, verdicts in found.columns.items()} == {
        "fraud": [True, False, True],
        "old": [False, True, True],
        "both": [False, False, True],
    }
    assert found.count.tolist() == [1, 1, 3]
    assert found.count.dtype == np.uint32
    assert all(verdicts.dtype == np.bool_ for verdicts in found.columns.values())


def test_null_is_not_an_anomaly():
    checks = checks_of(
        missing=pl.col("in.age") > 65,
        beyond=pl.col("in.any").list.get(5) > 0,
        no_number=pl.col("in.name").cast(pl.Int64) > 0,
        by_nothing=pl.col("in.age") // pl.col("out.label") > 0,
    )
    found = checks.evaluate(request(age=[None, None]), answer([0.5, 0.5]))
    assert [verdicts.any() for verdicts in found.columns.values()] == [False] * 4
    assert found.count.tolist() == [0, 0]


def test_null_is_an_anomaly_where_a_validation_says_so():
    found = checks_of(unknown=pl.col("in.age").is_null()).evaluate(request(age=[None, 1]), answer([0.5, 0.5]))
    assert found.columns["unknown"].tolist() == [True, False]


def test_an_optional_column_that_was_not_sent_is_null():
    sent = request()
    del sent["age"]
    checks = checks_of(unknown=pl.col("in.age").is_null(), old=pl.col("in.age") > 65)
    found = checks.evaluate(sent, answer([0.5, 0.5]))
    assert {name: verdicts.tolist() for name, verdicts in found.columns.items()} == {
        "unknown": [True, True],
        "old": [False, False],
    }


def test_lists_of_every_kind_are_lists():
    checks = checks_of(
        fixed=pl.col("in.tensor").list.get(2) > 1.5,
        summed=pl.col("in.tensor").list.sum() == 3,
        nested=pl.col("out.grid").list.get(1).list.get(1) == 7,
        ragged=pl.col("in.any").list.len() == 1,
        half=pl.col("in.half") == 0.5,
    )
    found = checks.evaluate(request(), answer([0.5, 0.5]))
    assert {name: verdicts.tolist() for name, verdicts in found.columns.items()} == {
        "fixed": [True, True],
        "summed": [True, True],
        "nested": [False, True],
        "ragged": [True, True],
        "half": [True, True],
    }


def test_columns_have_the_schemas_types_however_they_were_sent():
    checks = checks_of(
        same=(pl.col("in.tensor").list.get(1) == pl.lit(0.1, dtype=pl.Float32)) & (pl.col("in.age") == 3)
    )
    sent = request(
        tensor=pa.chunked_array([pa.array([[0.0, 0.1, 0.2]], pa.list_(pa.float64()))] * 2),
        age=pa.array([3.0, 4.0], pa.float32()),
    )
    assert checks.evaluate(sent, answer([0.5, 0.5])).columns["same"].tolist() == [True, False]


def test_slices_of_a_request_are_judged_as_they_are():
    whole = request(4, tensor=[[float(row)] * 3 for row in range(4)])
    checks = checks_of(late=pl.col("in.tensor").list.get(0) > 2.5)
    sliced = {name: column.slice(2, 2) for name, column in whole.items()}
    assert checks.evaluate(sliced, answer([0.5, 0.5])).columns["late"].tolist() == [False, True]


def test_a_request_without_rows_has_no_verdicts():
    found = checks_of(fraud=pl.col("out.label") > 0).evaluate(
        {name: column.slice(0, 0) for name, column in request().items()}, answer([])
    )
    assert found.count.tolist() == found.columns["fraud"].tolist() == []


@settings(max_examples=60)
@given(scores=st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_a_row_is_judged_the_same_whatever_is_sent_beside_it(scores):
    checks = checks_of(high=pl.col("out.dense_1").list.get(0) > 0.9, low=pl.col("out.dense_1").list.max() < -0.9)
    together = checks.evaluate(request(len(scores)), answer(scores))
    alone = [checks.evaluate(request(1), answer([score])) for score in scores]
    assert together.count.tolist() == [one.count[0] for one in alone]
    # polars holds NaN to be greater than any number.
    assert together.columns["high"].tolist() == [score > 0.9 or math.isnan(score) for score in scores]


def refusal(*validations):
    with pytest.raises((Invalid, Conflict)) as caught:
        Checks(validations, INPUTS, OUTPUTS)
    return caught.value


def test_a_missing_column_fails_before_anything_is_served():
    error = refusal(validation("fraud", pl.col("out.dense_2").list.get(0) > 0.9))
    assert error.what == "validation 'fraud' uses 'out.dense_2', which does not exist"
    assert error.fix.startswith("known are in.tensor, in.age")


def test_an_expression_that_is_not_a_condition_is_refused():
    error = refusal(validation("score", pl.col("out.dense_1").list.get(0) * 2))
    assert error.what == "validation 'score' is not a condition"
    assert error.why == "it returns Float32 for each row"


def test_types_that_cannot_be_compared_are_refused():
    error = refusal(
        validation("fine", pl.col("in.age") > 1), validation("wrong", pl.col("in.tensor") + pl.col("in.name") > 3)
    )
    assert error.what == "validation 'wrong' cannot be evaluated"
    assert error.why
    assert "in.name is string" in error.fix
    assert "in.tensor is list" in error.fix


def test_an_expression_that_is_not_allowed_is_refused_by_its_name():
    error = refusal(validation("mean", pl.col("in.age") > pl.col("in.age").mean()))
    assert error.what == "validation 'mean' cannot be used"
    assert error.why.startswith("a validation may not use polars' Mean: it uses other rows")


def test_two_validations_of_one_name_are_refused():
    one = validation("fraud", pl.col("in.age") > 1)
    assert refusal(one, one).what == "two validations are called 'fraud'"


def test_the_reserved_name_is_left_out_with_a_warning(caplog):
    checks = checks_of(count=pl.col("in.age") > 1, old=pl.col("in.age") > 65)
    assert checks.names == ["old"]
    assert "the name 'count' is reserved" in caplog.text


def test_an_expression_is_checked_without_knowing_the_columns():
    check_validations([validation("v", pl.col("out.whatever") > 1)])
    with pytest.raises(Invalid):
        check_validations([Validation(name="v", expression='{"AnonymousFunction":{}}')])


def test_polars_is_imported_on_use_and_its_absence_has_a_fix():
    program = """
        import sys
        import trivet.engine.checks.checks
        from trivet.domain.pipeline import Validation
        from trivet.engine.checks.validations import check_validations
        assert "polars" not in sys.modules
        sys.modules["polars"] = None
        from trivet.errors import Unsupported
        try:
            check_validations([Validation(name="v", expression='{"Column":"in.x"}')])
        except Unsupported as error:
            print(error.what, "|", error.fix)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == "validations need polars | pip install 'trivet[validations]'\n"


def test_a_hostile_list_is_refused_before_polars_is_imported():
    program = """
        import sys
        from trivet.domain.pipeline import Validation
        from trivet.engine.checks.validations import check_validations
        from trivet.errors import Invalid
        try:
            check_validations([Validation(name="v", expression=sys.argv[1])])
        except Invalid as error:
            print(error.why.partition(":")[0], "|", {"polars"} & set(sys.modules))
    """
    bomb = stream(pa.array(["z" * 100_000] * 10), compression="zstd")
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), bomb],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout == "a validation may not use a compressed list | set()\n"
