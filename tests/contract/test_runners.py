"""One suite for everything that answers batches: a native session, and a pool of real workers."""

import asyncio
import os
import sys
import tempfile
import textwrap
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from trivet.domain.digest import digest_of_bytes
from trivet.domain.package import EntryPoint
from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.limits import EngineLimits
from trivet.engine.native.cost import Cost
from trivet.engine.native.runner import NativeRunner
from trivet.engine.native.session import NativeSession
from trivet.engine.pool import WorkerPool
from trivet.engine.served import Probe, predict
from trivet.errors import Invalid, ModelFailed, TrivetError
from trivet.workers import ProcessLauncher, WorkerFiles, WorkerSpec

INPUTS = pa.schema([pa.field("x", pa.int64(), nullable=False)])
OUTPUTS = pa.schema([pa.field("y", pa.int64(), nullable=False)])
LARGEST = 999

# The same model twice: `y = 3 x`, and an error where an x is beyond LARGEST.
STEP = """
    def process_data(input_data):
        x = input_data["x"]
        if x.max() > 999:
            raise ValueError("x is out of bounds")
        return {"y": x * 3}
"""


def write_onnx(path: Path) -> Path:
    table = helper.make_tensor("table", TensorProto.INT64, [1000], list(range(0, 3000, 3)))
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["N"])],
        [table],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@asynccontextmanager
async def native(folder, cost):
    runner = NativeRunner(NativeSession(write_onnx(folder / "model.onnx")), cost=cost, limits=EngineLimits())
    runner.joins = True
    yield runner
    runner.close()


@asynccontextmanager
async def isolated(folder, *, batching):
    package = folder / "package"
    package.mkdir(exist_ok=True)
    (package / "step.py").write_text(textwrap.dedent(STEP))
    spec = WorkerSpec(
        name="model-under-test",
        package=digest_of_bytes(STEP.encode()),
        environment=digest_of_bytes(sys.version.encode()),
        adapter="python",
        entry={"function": EntryPoint(file="step.py", name="process_data", line=2)},
        input_schema=INPUTS,
        output_schema=OUTPUTS,
        load_timeout_s=60,
    )
    # A socket's path is short, and pytest's folders have long names.
    with tempfile.TemporaryDirectory(prefix="tt-") as short:
        launcher = ProcessLauncher(
            environ=dict(os.environ),
            home=folder / "home",
            files=lambda _: WorkerFiles(python=Path(sys.executable), package=package),
            temporary=Path(short),
        )
        worker = await launcher.start(spec)
        pool = WorkerPool(input_schema=INPUTS, output_schema=OUTPUTS, batching=batching, limits=EngineLimits())
        pool.attach(worker)
        try:
            yield pool
        finally:
            await pool.close()
            await worker.stop(5)


MAKERS = {
    "a session on the loop": lambda folder: native(folder, Cost(1e-6, 1e-9)),
    "a session in threads": lambda folder: native(folder, Cost(1.0, 1.0)),
    "a worker": lambda folder: isolated(folder, batching="joined"),
    "a worker with whole requests": lambda folder: isolated(folder, batching="whole"),
    "a worker with single rows": lambda folder: isolated(folder, batching="single"),
}


@pytest.fixture(scope="module", params=MAKERS)
def stand(request, tmp_path_factory):
    """A loop and a runner in it, for all tests of one implementation."""
    with asyncio.Runner() as loop:
        context = MAKERS[request.param](tmp_path_factory.mktemp("runner"))
        runner = loop.run(context.__aenter__())
        try:
            yield loop.run, runner
        finally:
            loop.run(context.__aexit__(None, None, None))


def in_numpy(values):
    return Batch(INPUTS, [np.array(values, np.int64)], len(values))


def in_arrow(values):
    return Batch.of_record_batch(pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], schema=INPUTS))


async def outcome(runner, batch):
    try:
        answer = await predict(runner, batch)
    except TrivetError as error:
        return error
    record_batch = answer.record_batch()
    assert answer.rows == record_batch.num_rows == batch.rows
    assert record_batch.schema.equals(runner.output_schema)
    return record_batch.column(0).to_pylist()


def test_it_says_what_it_takes_and_gives(stand):
    _, runner = stand
    assert runner.input_schema == INPUTS
    assert runner.output_schema.names == ["y"]
    assert runner.capacity >= 1


@pytest.mark.parametrize("make", [in_numpy, in_arrow])
@pytest.mark.parametrize("rows", [1, 2, 17, 5000])
def test_a_row_of_output_for_each_row_of_input_in_order(stand, make, rows):
    run, runner = stand
    values = [index % LARGEST for index in range(rows)]
    assert run(outcome(runner, make(values))) == [3 * value for value in values]


def test_a_slice_is_only_what_it_shows(stand):
    run, runner = stand
    for make in (in_numpy, in_arrow):
        assert run(outcome(runner, make(list(range(100))).slice(40, 3))) == [120, 123, 126]


def test_an_error_of_the_model_is_the_model_s(stand):
    run, runner = stand
    error = run(outcome(runner, in_numpy([1, LARGEST + 1])))
    assert isinstance(error, ModelFailed)
    assert error.reason == "model_error"
    assert "bounds" in error.message
    assert run(outcome(runner, in_numpy([1]))) == [3]


def test_a_canned_row_is_answered(stand):
    run, runner = stand
    probe = Probe(runner, canned_batch(INPUTS), synthetic=True)
    assert run(probe.check()) is None


def test_a_cancelled_call_does_no_harm(stand):
    run, runner = stand

    async def story():
        tasks = [asyncio.create_task(outcome(runner, in_numpy([number]))) for number in range(6)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[4].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = run(story())
    assert [answers[index] for index in (0, 2, 3, 5)] == [[0], [6], [9], [15]]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.tuples(
            st.sampled_from([in_numpy, in_arrow]),
            st.lists(st.integers(0, LARGEST) | st.just(LARGEST + 1), min_size=1, max_size=30),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_everyone_gets_their_own_rows_or_their_own_error(stand, requests):
    run, runner = stand

    async def story():
        return await asyncio.gather(*(outcome(runner, make(values)) for make, values in requests))

    for (_, values), answer in zip(requests, run(story()), strict=True):
        if max(values) > LARGEST:
            assert isinstance(answer, ModelFailed | Invalid)
        else:
            assert answer == [3 * value for value in values]
