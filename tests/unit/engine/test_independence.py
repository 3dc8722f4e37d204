"""Comparing the answers to rows alone, together, in another order and beside others."""

import asyncio
import itertools
import time
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.independence import compare_rows
from trivet.engine.limits import EngineLimits
from trivet.engine.made_up_rows import KINDS, made_up
from trivet.engine.native.cost import measure
from trivet.engine.native.runner import NativeRunner
from trivet.engine.native.session import NativeSession
from trivet.errors import Invalid, ModelFailed

INPUTS = pa.schema([pa.field("x", pa.list_(pa.float32(), 3), nullable=False)])
OUTPUTS = pa.schema([pa.field("y", pa.float32(), nullable=False)])
ONNX_CASES = ("ccfraud", "house_rf", "house_gbr", "multi_io")


class Function:
    """A runner whose model is a function of the input's first column."""

    capacity = 1
    joins = False

    def __init__(self, function, *, inputs=INPUTS, outputs=OUTPUTS):
        self.input_schema, self.output_schema = inputs, outputs
        self.calls = 0
        self._function = function

    def predict(self, batch):
        self.calls += 1
        values = self._function(batch.numpy(0))
        if self.output_schema.field(0).type == pa.float32():
            return Batch(self.output_schema, [np.asarray(values, np.float32)], batch.rows)
        array = pa.array(list(values), self.output_schema.field(0).type)
        return Batch(self.output_schema, [array], batch.rows)


def found(runner, *given, **limits):
    return asyncio.run(compare_rows(runner, canned_batch(runner.input_schema), given, **limits))


def softmax(x):
    powers = np.exp(x[:, 0] - x[:, 0].max())
    return powers / powers.sum()


def first_of_its_kind(x):
    return [x[i, 0] * (not any((x[i] == x[j]).all() for j in range(i))) for i in range(len(x))]


def cumulating():
    count = itertools.count()
    return lambda x: x.sum(axis=1) + next(count)


def filling_gaps(x):
    rows = np.array([np.nan if each is None else each for each in x.tolist()], float)
    known = rows[~np.isnan(rows)]
    return np.where(np.isnan(rows), known.mean() if len(known) else 0.0, rows)


DEPENDENT = {
    "softmax": softmax,
    "normalised by the mean": lambda x: ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)).sum(axis=1),
    "rank": lambda x: x[:, 0].argsort().argsort(),
    "sum so far": lambda x: x[:, 0].cumsum(),
    "shuffled in a fixed way": lambda x: np.random.default_rng(len(x)).permutation(x.sum(axis=1)),
    "number of rows": lambda x: x.sum(axis=1) + len(x),
    "place of the row": lambda x: x.sum(axis=1) + np.arange(len(x)),
    "duplicates": first_of_its_kind,
}

INDEPENDENT = {
    "sum": lambda x: x.sum(axis=1),
    "layers": lambda x: np.tanh(x @ np.full((3, 50), 0.3, np.float32)).sum(axis=1),
    "sometimes not a number": lambda x: np.where(x[:, 0] > 0, x[:, 1], np.nan),
    "classes": lambda x: (x.sum(axis=1) > 0.5) * 1.0,
    "rounding": lambda x: x.sum(axis=1) * (1 + 1e-6 * len(x)),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_a_model_whose_rows_depend_on_each_other_is_found(name):
    result = found(Function(DEPENDENT[name]))
    assert not result.proved
    assert result.reason.startswith(("the answer to a row changes", "rows that were sent twice"))


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_model_that_answers_row_by_row_is_proved(name):
    result = found(Function(INDEPENDENT[name]))
    assert result.proved, result.reason
    assert result.reason.endswith("got the same answers alone and beside others")


@pytest.mark.parametrize(
    "function", [cumulating(), lambda x: np.random.default_rng().random(len(x))], ids=["counting", "random"]
)
def test_random_and_stateful_answers_prove_nothing(function):
    result = found(Function(function))
    assert not result.proved
    assert result.reason.startswith("a row that was sent twice got two answers: 'y' is ")


def test_a_shuffle_is_not_proved():
    random = np.random.default_rng(3)
    assert not found(Function(lambda x: random.permutation(x.sum(axis=1)))).proved


def test_gaps_that_other_rows_fill_are_found():
    inputs = pa.schema([pa.field("x", pa.float32())])
    assert not found(Function(filling_gaps, inputs=inputs)).proved


def test_equal_answers_prove_nothing():
    result = found(Function(lambda x: np.ones(len(x))))
    assert (result.proved, result.reason) == (
        False,
        "all rows that were tried got the same answer, which shows nothing",
    )


def refusing(x):
    raise ModelFailed("never seen such rows")


def test_a_model_that_refuses_all_rows_is_not_proved():
    result = found(Function(refusing))
    assert result.reason == "the model refuses the rows that were tried: never seen such rows"
    assert not result.proved


def test_the_rows_of_the_author_are_tried_first():
    known = {"red": 1.0, "green": 2.0, "blue": 3.0}
    inputs = pa.schema([pa.field("x", pa.string(), nullable=False)])

    def lookup(x):
        if not set(x) <= set(known):
            raise Invalid(f"unknown colours: {sorted(set(x) - set(known))}")
        return [known[name] for name in x]

    batch = Batch.of_record_batch(pa.record_batch([pa.array(["red", "green"])], schema=inputs))
    assert not found(Function(lookup, inputs=inputs)).proved
    assert found(Function(lookup, inputs=inputs), batch).reason == (
        "rows of one kind got the same answers alone and beside others"
    )


def test_a_single_example_row_is_varied():
    inputs = pa.schema([pa.field("x", pa.list_(pa.float32(), 2), nullable=False)])

    def picky(x):
        if x.min() < 80:
            raise Invalid("too small")
        return x.sum(axis=1)

    example = Batch(inputs, [np.array([[100, 200]], np.float32)], 1)
    assert found(Function(picky, inputs=inputs), example).proved


@pytest.mark.parametrize(
    ("type_", "function"),
    [
        (pa.string(), lambda x: [f"row of {row[0]:.3f}" for row in x]),
        (pa.list_(pa.float64()), lambda x: [row.tolist() for row in x]),
        (pa.struct([("a", pa.float32()), ("b", pa.string())]), lambda x: [{"a": row[0], "b": "t"} for row in x]),
    ],
    ids=["text", "list", "struct"],
)
def test_answers_of_any_type_are_compared(type_, function):
    outputs = pa.schema([pa.field("y", type_)])
    assert found(Function(function, outputs=outputs)).proved
    assert not found(Function(lambda x: function(x - x.mean()), outputs=outputs)).proved


def test_a_slow_model_is_given_up_after_its_time():
    def slow(x):
        time.sleep(0.02)
        return x.sum(axis=1)

    runner = Function(slow)
    result = found(runner, most_s=0.05)
    assert result.reason == "0.05 s were not enough to compare the answers to a few rows"
    assert not result.proved
    assert runner.calls <= 4


def test_a_slow_model_is_proved_by_its_first_kind_of_rows():
    def slow(x):
        time.sleep(0.002)
        return x.sum(axis=1)

    assert found(Function(slow), quick_s=0.0).reason.startswith("rows of one kind ")


def test_a_model_with_a_quick_answer_is_compared_with_few_calls():
    runner = Function(INDEPENDENT["sum"])
    assert found(runner).proved
    # Less than two seconds for a model that takes a millisecond.
    assert runner.calls < 150


TYPES = [
    *(pa.bool_(), pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(4)),
    *(pa.date32(), pa.date64(), pa.timestamp("ms"), pa.timestamp("us", "UTC"), pa.duration("ns")),
    *(pa.decimal128(5, 2), pa.decimal128(2, 2), pa.decimal256(50, 3)),
    *(
        pa.list_(pa.float32(), 3),
        pa.list_(pa.list_(pa.bool_(), 3), 2),
        pa.list_(pa.list_(pa.int64())),
        pa.list_(pa.string()),
    ),
    pa.struct([("a", pa.int32()), ("b", pa.list_(pa.string()))]),
    pa.large_list(pa.struct([("a", pa.float32())])),
]


@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_rows_of_every_type_and_kind_are_made_up(type_):
    schema = pa.schema([pa.field("x", type_)])
    for ones, kind in itertools.product((False, True), KINDS):
        rows = made_up(canned_batch(schema, ones=ones), 9, kind, np.random.default_rng(1))
        rows.record_batch().validate(full=True)
        assert rows.rows == len(rows.record_batch()) == 9
        again = made_up(rows.slice(1, 1), 9, kind, np.random.default_rng(1))
        again.record_batch().validate(full=True)


def session_found(path):
    session = NativeSession(path)
    runner = NativeRunner(session, cost=measure(session), limits=EngineLimits())
    try:
        return asyncio.run(compare_rows(runner, session.canned))
    finally:
        runner.close()


def graph(folder, nodes, outputs=1):
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "rows",
        [value("x", TensorProto.FLOAT, ["rows", 3])],
        [value("y", TensorProto.FLOAT, ["rows", outputs])],
    )
    path = folder / "model.onnx"
    onnx.save_model(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("axis", "proved"), [(0, False), (1, True)])
def test_a_native_softmax_over_rows_is_found(tmp_path, axis, proved):
    path = graph(tmp_path, [helper.make_node("Softmax", ["x"], ["y"], axis=axis)], outputs=3)
    assert session_found(path).proved is proved


def test_a_native_mean_over_rows_is_found(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    assert not session_found(graph(tmp_path, nodes, outputs=3)).proved


@pytest.mark.conformance
@pytest.mark.parametrize("name", ONNX_CASES)
def test_each_onnx_model_of_the_conformance_cases_is_proved(conformance: Path, name):
    assert {path.stem for path in (conformance / "onnx").glob("*.onnx")} == set(ONNX_CASES)
    result = session_found(conformance / "onnx" / f"{name}.onnx")
    assert result.proved, result.reason


def test_the_native_model_of_the_benchmarks_is_proved(benchmark_model):
    assert session_found(benchmark_model).proved
