"""Rows cannot make a native call take more memory than allowed, by the bounds that its graph was proved to keep."""

import asyncio

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from trivet.domain.memory_bounds import MemoryBounds
from trivet.engine.batch import Batch
from trivet.engine.limits import EngineLimits
from trivet.engine.native.cost import measure
from trivet.engine.native.graphs.harmless import examine
from trivet.engine.native.runner import NativeRunner
from trivet.engine.native.session import NativeSession
from trivet.engine.served import predict
from trivet.errors import TooLarge

FLOAT, STRING = TensorProto.FLOAT, TensorProto.STRING


@pytest.fixture
def widening(write_model):
    """Answers each row of 2 with 1000 sums: 4000 bytes a row."""
    weights = helper.make_tensor("w", FLOAT, [2, 1000], np.ones(2000, np.float32))
    path = write_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (FLOAT, ["N", 2])},
        {"y": (FLOAT, ["N", 1000])},
        [weights],
    )
    bounds = examine(path).bounds
    assert bounds == MemoryBounds(row_bytes=4000)
    return lambda most: NativeSession(path, bounds=bounds, most_bytes=most)


def rows_of(session, count):
    return Batch(session.input_schema, [np.arange(2 * count, dtype=np.float32).reshape(count, 2)], count)


def test_a_call_with_too_many_rows_is_refused_before_it_runs(widening) -> None:
    session = widening(40_000)
    assert session.run(rows_of(session, 10)).rows == 10
    with pytest.raises(TooLarge) as caught:
        session.run(rows_of(session, 11))
    assert caught.value.what == "a call of 11 rows may take too much memory"
    assert caught.value.why == "by its shapes the model may take 44,000 bytes for it, and the limit is 40,000"
    assert caught.value.reason == "call_too_large"


def asked(session, *, joins, rows, most_answer=2**30):
    async def ask():
        limits = EngineLimits(native_call_bytes=most_answer)
        runner = NativeRunner(session, cost=measure(session), limits=limits)
        runner.joins = joins
        try:
            return await predict(runner, rows_of(session, rows))
        finally:
            runner.close()

    return asyncio.run(ask())


def test_a_request_of_independent_rows_is_answered_in_several_calls(widening) -> None:
    session = widening(40_000)
    with pytest.raises(TooLarge, match="a call of 300 rows may take too much memory"):
        asked(session, joins=False, rows=300)
    answer = asked(session, joins=True, rows=300)
    assert answer.numpy(0)[:, 0].tolist() == [4.0 * index + 1 for index in range(300)]
    with pytest.raises(TooLarge, match="the model's answer is too large"):
        asked(session, joins=True, rows=300, most_answer=400_000)


def test_the_sizes_of_rows_count_where_they_differ(write_model) -> None:
    path = write_model(
        [helper.make_node("Add", ["x", "x"], ["y"])], {"x": (FLOAT, ["N", "M"])}, {"y": (FLOAT, ["N", "M"])}
    )
    bounds = examine(path).bounds
    assert bounds == MemoryBounds(element_bytes=4)
    session = NativeSession(path, bounds=bounds, most_bytes=4000)
    batch = Batch(session.input_schema, [pa.array([[1.0] * 500, [2.0] * 500], session.input_schema.field(0).type)], 2)
    assert session.run(batch).rows == 2
    longer = Batch(session.input_schema, [pa.array([[1.0] * 1001], session.input_schema.field(0).type)], 1)
    with pytest.raises(TooLarge, match="a call of 1 row may take too much memory"):
        session.run(longer)


def test_the_length_of_texts_counts(write_model) -> None:
    path = write_model(
        [helper.make_node("Concat", ["x", "x"], ["y"], axis=1)],
        {"x": (STRING, ["N", 1])},
        {"y": (STRING, ["N", 2])},
    )
    bounds = examine(path).bounds
    assert bounds.element_bytes > 0
    session = NativeSession(path, bounds=bounds, most_bytes=100_000)
    kind = session.input_schema.field(0).type
    assert session.run(Batch(session.input_schema, [pa.array([["a" * 1000]], kind)], 1)).rows == 1
    with pytest.raises(TooLarge):
        session.run(Batch(session.input_schema, [pa.array([["ä" * 100_000]], kind)], 1))


def test_the_answers_of_single_calls_count_together(write_model) -> None:
    path = write_model([helper.make_node("Identity", ["x"], ["y"])], {"x": (FLOAT, [1, 100])}, {"y": (FLOAT, [1, 100])})
    session = NativeSession(path, bounds=examine(path).bounds, most_bytes=4000)
    batch = Batch(session.input_schema, [np.zeros((11, 100), np.float32)], 11)
    assert session.run(batch.slice(0, 10)).rows == 10
    with pytest.raises(TooLarge, match="the model's answer is too large"):
        session.run(batch)
