"""Where a native session runs, whom it keeps waiting, and that everyone gets their own rows."""

import asyncio
import threading

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from trivet.engine.batch import Batch
from trivet.engine.limits import EngineLimits
from trivet.engine.native.cost import Cost, measure
from trivet.engine.native.runner import NativeRunner
from trivet.engine.native.session import NativeSession
from trivet.engine.served import predict
from trivet.errors import DeadlineExceeded, ModelFailed, Overloaded

QUICK = Cost(1e-6, 1e-9)
SLOW = Cost(1.0, 1.0)


@pytest.fixture
def picky(write_model):
    """Answers `table[x]` and refuses an `x` beyond 999: a call with one bad row fails as a whole."""
    table = helper.make_tensor("table", TensorProto.INT64, [1000], list(range(0, 3000, 3)))
    path = write_model(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        {"x": (TensorProto.INT64, ["N"])},
        {"y": (TensorProto.INT64, ["N"])},
        [table],
    )
    return NativeSession(path)


@pytest.fixture
def slow(write_model):
    """Multiplies large matrices in turn: between two operators it can be stopped."""
    square = helper.make_tensor("square", TensorProto.FLOAT, [600, 600], np.full(360_000, 1e-4, np.float32))
    nodes = [helper.make_node("Tile", ["x", "repeats"], ["t0"])]
    repeats = helper.make_tensor("repeats", TensorProto.INT64, [2], [600, 600])
    nodes += [helper.make_node("MatMul", [f"t{index}", "square"], [f"t{index + 1}"]) for index in range(200)]
    zero, one = (helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in (("zero", 0), ("one", 1)))
    nodes += [helper.make_node("Slice", ["t200", "zero", "one", "zero"], ["y"])]
    path = write_model(
        nodes,
        {"x": (TensorProto.FLOAT, [1, 1])},
        {"y": (TensorProto.FLOAT, [1, 600])},
        [square, repeats, zero, one],
    )
    return NativeSession(path)


def batch_of(session, values, dtype=np.int64):
    return Batch(session.input_schema, [np.array(values, dtype)], len(values))


async def outcome(runner, batch):
    try:
        return (await predict(runner, batch)).numpy(0).tolist()
    except (ModelFailed, Overloaded, DeadlineExceeded) as error:
        return type(error)


def test_the_cost_of_a_call_says_how_many_rows_run_at_once():
    assert Cost(0.002, 0.001).rows_within(0.001) == 0
    assert Cost(0.0001, 0.0001).rows_within(0.001) == 9
    assert Cost(0.0001, 0.0).rows_within(0.001) == 4096
    assert Cost(0.0001, 0.0, most_rows=16).rows_within(0.001) == 16


def test_a_quick_model_is_measured_as_quick(picky):
    cost = measure(picky)
    assert cost.call_s > 0
    assert cost.row_s >= 0


def test_quick_calls_run_on_the_event_loop_and_slow_ones_do_not(picky):
    async def main(cost):
        runner = NativeRunner(picky, cost=cost, limits=EngineLimits())
        answer = runner.predict(batch_of(picky, [1]))
        at_once = isinstance(answer, Batch)
        if not at_once:
            answer = await answer
        runner.close()
        return at_once, runner.inline, answer.numpy(0).tolist()

    assert asyncio.run(main(QUICK)) == (True, True, [3])
    assert asyncio.run(main(SLOW)) == (False, False, [3])


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    turns=st.lists(
        st.lists(st.lists(st.integers(0, 999) | st.just(5000), min_size=1, max_size=20), min_size=1, max_size=8),
        min_size=1,
        max_size=4,
    ),
    cost=st.sampled_from([QUICK, SLOW, Cost(1e-4, 1e-4)]),
)
def test_everyone_gets_their_own_rows_or_their_own_error(picky, turns, cost):
    async def main():
        runner = NativeRunner(picky, cost=cost, limits=EngineLimits())
        found = [
            await asyncio.gather(*(outcome(runner, batch_of(picky, values)) for values in requests))
            for requests in turns
        ]
        runner.close()
        return found

    expected = [
        [ModelFailed if 5000 in values else [3 * value for value in values] for values in requests]
        for requests in turns
    ]
    assert asyncio.run(main()) == expected


def test_a_caller_who_gives_up_does_not_harm_the_others(picky):
    async def main():
        runner = NativeRunner(picky, cost=QUICK, limits=EngineLimits())
        await asyncio.gather(*(outcome(runner, batch_of(picky, [number])) for number in range(3)))
        tasks = [asyncio.create_task(outcome(runner, batch_of(picky, [number]))) for number in range(5)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        runner.close()
        return answers

    answers = asyncio.run(main())
    assert [answers[index] for index in (0, 1, 3, 4)] == [[0], [3], [9], [12]]


def test_a_call_over_its_deadline_is_stopped(slow):
    async def main():
        runner = NativeRunner(slow, cost=SLOW, limits=EngineLimits(timeout_s=0.05))
        with pytest.raises(DeadlineExceeded) as caught:
            await predict(runner, batch_of(slow, [[1.0]], np.float32))
        runner.close()
        return caught.value

    error = asyncio.run(main())
    assert error.what == "no answer within 0.05 s"
    assert error.fix == "send fewer rows, or raise --timeout"
    for thread in threading.enumerate():
        if thread.name.startswith("native"):
            thread.join(10)
            assert not thread.is_alive()


def test_beyond_the_limit_of_waiting_requests_one_more_is_refused(slow):
    async def main():
        runner = NativeRunner(slow, cost=SLOW, limits=EngineLimits(max_waiting=2))
        batch = batch_of(slow, [[1.0]], np.float32)
        running = [asyncio.create_task(predict(runner, batch)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            await predict(runner, batch)
        assert caught.value.why == "the limit is 2"
        await asyncio.gather(*running)
        await predict(runner, batch)
        runner.close()

    asyncio.run(main())


def test_rows_of_any_length_do_not_run_on_the_event_loop(models):
    session = NativeSession(models.identity(["N", "M"]))

    async def main():
        runner = NativeRunner(session, cost=QUICK, limits=EngineLimits())
        answer = await predict(runner, batch_of(session, [[1.0, 2.0]], np.float32))
        runner.close()
        return runner.inline, answer.numpy(0).tolist()

    assert asyncio.run(main()) == (False, [[1.0, 2.0]])


def test_a_shared_call_has_no_more_rows_than_the_loop_may_run(picky):
    sizes = []

    class Counted:
        rectangular = joins = True
        input_schema, output_schema, canned = picky.input_schema, picky.output_schema, picky.canned
        calls = picky.calls

        def run(self, batch, run_options=None):
            sizes.append(batch.rows)
            return picky.run(batch, run_options)

    async def main():
        runner = NativeRunner(Counted(), cost=Cost(0.0001, 0.0001), limits=EngineLimits())
        runner.joins = True
        for _ in range(3):
            sizes.clear()
            await asyncio.gather(*(predict(runner, batch_of(picky, [1, 2])) for _ in range(16)))
        runner.close()

    asyncio.run(main())
    assert sum(sizes) == 32
    assert max(sizes) <= 9


def test_the_call_of_a_client_that_leaves_is_stopped(slow):
    async def main():
        runner = NativeRunner(slow, cost=SLOW, limits=EngineLimits())
        call = asyncio.create_task(predict(runner, batch_of(slow, [[1.0]], np.float32)))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        runner.close()

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name.startswith("native"):
            thread.join(60)
            assert not thread.is_alive()


def test_a_session_gives_the_memory_of_a_large_call_back(write_model):
    wide = helper.make_tensor("wide", TensorProto.FLOAT, [1, 1024], np.ones(1024, np.float32))
    path = write_model(
        [helper.make_node("MatMul", ["x", "wide"], ["a"]), helper.make_node("ReduceMax", ["a"], ["y"], axes=[1])],
        {"x": (TensorProto.FLOAT, ["N", 1])},
        {"y": (TensorProto.FLOAT, ["N", 1])},
        [wide],
    )
    session = NativeSession(path)
    before = psutil.Process().memory_info().rss
    session.run(batch_of(session, np.ones((50_000, 1)), np.float32))

    # The call holds 200 MiB.
    assert psutil.Process().memory_info().rss - before < 100 * 2**20
