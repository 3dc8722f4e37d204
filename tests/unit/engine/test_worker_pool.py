"""A pool in front of workers of the test's own: small Flight servers that answer, err, break and dawdle as asked."""

import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import flight

from trivet.domain.routes import WorkerAddress
from trivet.engine.batch import Batch
from trivet.engine.calls import Rows
from trivet.engine.limits import EngineLimits
from trivet.engine.pool import Replaced, WorkerPool
from trivet.errors import (
    DeadlineExceeded,
    Internal,
    Invalid,
    ModelFailed,
    Overloaded,
    TrivetError,
    Unavailable,
)

INPUTS = pa.schema([pa.field("x", pa.int64(), nullable=False)])
OUTPUTS = pa.schema([pa.field("y", pa.int64(), nullable=False), pa.field("s", pa.string())])

# What a worker does when one of these is among the values.
RAISES, REFUSES, MISMATCHES, FEWER_ROWS, OTHER_SCHEMA, BREAKS, MUTE, GARBAGE, WAITS, DIES = range(-10, 0)
ERRORS = {
    RAISES: {"reason": "model_error", "type": "ValueError", "message": "cannot"},
    REFUSES: {"reason": "invalid_input", "type": "", "message": "not so", "path": "x"},
    MISMATCHES: {"reason": "model_output_mismatch", "message": "int64 expected, got float64", "path": "y"},
}


class FlightWorker(flight.FlightServerBase):
    """Answers `3 x` and `str(x)`."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = WorkerAddress(id=address, location=address)
        self.calls: list[list[int]] = []
        self.go_on = threading.Event()
        self.one_at_a_time = False
        self.busy = threading.Event()
        self.killed = threading.Event()

    def kill(self) -> None:
        self.killed.set()
        self.go_on.set()

    async def wait(self) -> str:
        return "killed by SIGKILL (signal 9); its last words: out of memory"

    def do_exchange(self, context, descriptor, reader, writer):
        writer.begin(OUTPUTS)
        while True:
            try:
                values = reader.read_chunk().data.column(0).to_pylist()
            except StopIteration:
                return
            self.calls.append(values)
            self._answer(values, writer)

    def _answer(self, values, writer):
        if WAITS in values:
            self.busy.set()
            self.go_on.wait(20)
            if self.one_at_a_time and not self.killed.is_set():
                self.go_on.clear()
            if self.killed.is_set():
                raise flight.FlightServerError("killed")
        for value in values:
            if value in ERRORS:
                writer.write_metadata(json.dumps({"error": ERRORS[value]}).encode())
                return
        if DIES in values or BREAKS in values:
            raise flight.FlightServerError("the end")
        if MUTE in values or GARBAGE in values:
            writer.write_metadata(b"{}" if MUTE in values else b"\xff{")
            return
        if OTHER_SCHEMA in values:
            raise pa.ArrowInvalid("cannot be written")
        kept = values[:-1] if FEWER_ROWS in values else values
        answer = pa.RecordBatch.from_arrays(
            [pa.array([3 * value for value in kept]), pa.array([str(value) for value in kept])], schema=OUTPUTS
        )
        writer.write_with_metadata(answer, b'{"model_ns": 1}')


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # A socket's path is short, and pytest's folders have long names.
    with tempfile.TemporaryDirectory(prefix="tt-") as short:
        yield Path(short)


@asynccontextmanager
async def pool_of(folder, count=1, *, batching="joined", **limits):
    pool = WorkerPool(input_schema=INPUTS, output_schema=OUTPUTS, batching=batching, limits=EngineLimits(**limits))
    workers = []
    for _ in range(count):
        worker = FlightWorker(f"grpc+unix://{tempfile.mktemp(dir=folder, prefix='s')}")
        workers.append(worker)
        pool.attach(worker)
    try:
        yield pool, workers
    finally:
        for worker in workers:
            worker.go_on.set()
        await pool.close()
        for worker in workers:
            await asyncio.to_thread(worker.shutdown)


def rows(*values):
    return Batch(INPUTS, [np.array(values, np.int64)], len(values))


async def ask(pool, *values):
    """The answer as (y, s) for each row, or the error."""
    try:
        answer = await pool.predict(rows(*values))
    except TrivetError as error:
        return error
    columns = answer.record_batch().to_pydict()
    return list(zip(columns["y"], columns["s"], strict=True))


def right(*values):
    return [(3 * value, str(value)) for value in values]


async def busy(worker):
    assert await asyncio.to_thread(worker.busy.wait, 10)


def run(story):
    asyncio.run(story)


def test_what_waits_while_a_worker_is_busy_is_joined_and_split_again(folder):
    async def story():
        async with pool_of(folder) as (pool, [worker]):
            first = asyncio.create_task(ask(pool, WAITS))
            await busy(worker)
            others = [asyncio.create_task(ask(pool, *range(number, 2 * number))) for number in range(1, 6)]
            await asyncio.sleep(0)
            assert pool.waiting == 6
            worker.go_on.set()
            assert await asyncio.gather(*others) == [right(*range(number, 2 * number)) for number in range(1, 6)]
            assert await first == right(WAITS)
            assert [len(call) for call in worker.calls] == [1, 15]
            assert pool.waiting == 0

    run(story())


def lists(*rows):
    field = pa.field("x", pa.list_(pa.float32()))
    return Rows(Batch(pa.schema([field]), [pa.array(rows, field.type)], len(rows)), joins=True)


def test_only_lists_of_one_shape_have_one_form():
    assert lists([1, 2]).form == lists([3, 4], [5, 6]).form
    assert lists([1, 2]).form != lists([3]).form
    assert lists([1, 2]).form != lists([3, None]).form
    assert lists([1], [2, 3]).form == lists([4, 5], []).form


def test_a_column_of_numpy_has_the_form_of_the_same_one_in_arrow():
    schema = pa.schema([pa.field("x", pa.list_(pa.int64(), 2)), pa.field("t", pa.string())])
    one = Batch(schema, [np.ones((1, 2), np.int64), np.array(["a"], object)], 1)
    other = Batch.of_record_batch(one.record_batch())
    assert Rows(one, joins=True).form == Rows(other, joins=True).form


def test_a_batch_that_cannot_be_sent_has_a_form_of_its_own():
    batch = Batch(INPUTS, [np.array(["no number"], object)], 1)
    assert Rows(batch, joins=True).form != Rows(batch, joins=True).form


def test_nothing_is_joined_where_that_is_not_wanted(folder):
    async def story():
        async with pool_of(folder, batching="single") as (pool, _):
            answers = await asyncio.gather(*(ask(pool, number) for number in range(10)))
            assert answers == [right(number) for number in range(10)]
            assert [len(call) for call in _[0].calls] == [1] * 10

    run(story())


def test_rows_of_one_request_do_not_share_a_call_if_configured_so(folder):
    async def story():
        async with pool_of(folder, batching="single") as (pool, [worker]):
            assert await ask(pool, 1, 2, 3) == right(1, 2, 3)
            assert worker.calls == [[1], [2], [3]]
            error = await ask(pool, 4, RAISES, 5)
            assert isinstance(error, ModelFailed)
            assert worker.calls[3:] == [[4], [RAISES]]

    run(story())


def test_whole_requests_are_neither_joined_nor_cut(folder):
    async def story():
        async with pool_of(folder, batching="whole", call_rows=2) as (pool, [worker]):
            first = asyncio.create_task(ask(pool, WAITS))
            await busy(worker)
            others = [asyncio.create_task(ask(pool, number, number, number)) for number in range(1, 5)]
            await asyncio.sleep(0)
            worker.go_on.set()
            assert await asyncio.gather(*others) == [right(number, number, number) for number in range(1, 5)]
            assert await first == right(WAITS)
            assert [len(call) for call in worker.calls] == [1, 3, 3, 3, 3]

    run(story())


@pytest.mark.parametrize("limits", [{"join_rows": 4}, {"join_bytes": 32}], ids=str)
def test_calls_keep_to_the_limits(folder, limits):
    async def story():
        async with pool_of(folder, **limits) as (pool, [worker]):
            first = asyncio.create_task(ask(pool, WAITS))
            await busy(worker)
            others = [asyncio.create_task(ask(pool, number, number)) for number in range(5)]
            large = asyncio.create_task(ask(pool, *range(10)))
            await asyncio.sleep(0)
            worker.go_on.set()
            assert await asyncio.gather(*others) == [right(number, number) for number in range(5)]
            assert await large == right(*range(10))
            await first
            assert [len(call) for call in worker.calls] == [1, 4, 4, 2, 10]

    run(story())


def test_one_error_in_a_joined_call_is_only_its_own(folder):
    async def story():
        async with pool_of(folder) as (pool, [worker]):
            first = asyncio.create_task(ask(pool, WAITS))
            await busy(worker)
            tasks = [asyncio.create_task(ask(pool, value)) for value in (1, RAISES, 2, REFUSES, 3)]
            await asyncio.sleep(0)
            worker.go_on.set()
            one, failed, two, refused, three = await asyncio.gather(*tasks)
            await first
            assert (one, two, three) == (right(1), right(2), right(3))
            assert isinstance(failed, ModelFailed)
            assert (failed.message, failed.reason) == ("ValueError: cannot", "model_error")
            assert isinstance(refused, Invalid)
            assert (refused.message, refused.reason, refused.path) == ("not so", "refused_by_model", "x")
            assert not worker.killed.is_set()

    run(story())


def test_an_answer_other_than_declared_names_the_field(folder):
    async def story():
        async with pool_of(folder) as (pool, _):
            error = await ask(pool, MISMATCHES)
            assert isinstance(error, ModelFailed)
            assert error.reason == "model_output_mismatch"
            assert error.path == "y"
            assert error.why == "int64 expected, got float64"
            assert error.fix == "fix the model's code, or its output schema"
            assert await ask(pool, 1) == right(1)

    run(story())


@pytest.mark.parametrize("trouble", [FEWER_ROWS, OTHER_SCHEMA, BREAKS, MUTE, GARBAGE, DIES])
def test_an_invalid_stream_ends_its_worker_and_names_the_cause(folder, trouble):
    async def story():
        async with pool_of(folder) as (pool, [worker]):
            error = await asyncio.wait_for(ask(pool, 1, trouble, 2), 10)
            assert isinstance(error, Unavailable)
            assert error.reason == "worker_died"
            assert error.what == "the worker ended while it held this request"
            assert error.why == "killed by SIGKILL (signal 9); its last words: out of memory"
            assert error.fix.startswith("send it again")
            assert await asyncio.to_thread(worker.killed.wait, 10)
            assert pool.capacity == 0
            # The next worker takes up what comes meanwhile.
            waiting = asyncio.create_task(ask(pool, 7))
            await asyncio.sleep(0.01)
            fresh = FlightWorker(f"grpc+unix://{tempfile.mktemp(dir=folder, prefix='s')}")
            pool.attach(fresh)
            assert await asyncio.wait_for(waiting, 10) == right(7)
            pool.detach(fresh)
            await asyncio.to_thread(fresh.shutdown)

    run(story())


def test_a_worker_that_cannot_be_reached_loses_nothing(folder):
    async def story():
        async with pool_of(folder, count=0) as (pool, _):
            gone = FlightWorker(f"grpc+unix://{tempfile.mktemp(dir=folder, prefix='s')}")
            await asyncio.to_thread(gone.shutdown)
            pool.attach(gone)
            waiting = asyncio.create_task(ask(pool, 1))
            assert await asyncio.to_thread(gone.killed.wait, 10)
            assert pool.capacity == 0
            assert not waiting.done()
            fresh = FlightWorker(f"grpc+unix://{tempfile.mktemp(dir=folder, prefix='s')}")
            pool.attach(fresh)
            assert await asyncio.wait_for(waiting, 10) == right(1)
            pool.detach(fresh)
            await asyncio.to_thread(fresh.shutdown)

    run(story())


def test_requests_whose_callers_have_left_do_not_run(folder):
    async def story():
        async with pool_of(folder, batching="single", max_waiting=3) as (pool, [worker]):
            in_model = asyncio.create_task(ask(pool, WAITS, 8, 9))
            await busy(worker)
            in_queue = [asyncio.create_task(ask(pool, number)) for number in (1, 2)]
            await asyncio.sleep(0)
            for task in (in_model, *in_queue):
                task.cancel()
            await asyncio.gather(in_model, *in_queue, return_exceptions=True)
            # What the worker holds counts until its end.
            assert pool.waiting == 1
            last = asyncio.create_task(ask(pool, 3))
            await asyncio.sleep(0)
            worker.go_on.set()
            assert await last == right(3)
            assert worker.calls == [[WAITS], [3]]
            assert pool.waiting == 0

    run(story())


def test_a_request_that_waits_too_long_says_where_it_waited(folder):
    async def story():
        async with pool_of(folder, batching="single", timeout_s=0.3) as (pool, [worker]):
            in_model = asyncio.create_task(ask(pool, WAITS))
            await busy(worker)
            in_queue = asyncio.create_task(ask(pool, 1))
            for error, place in ((await in_model, "in the model"), (await in_queue, "in the queue")):
                assert isinstance(error, DeadlineExceeded)
                assert error.what == "no answer within 0.3 s"
                assert error.why == f"the request was still {place}"
                assert error.fix == "send fewer rows, or raise --timeout"
            # A call cannot be cut otherwise than with its worker.
            assert worker.killed.is_set()
            assert pool.waiting == 0

    run(story())


def test_neighbours_of_a_request_over_its_deadline_get_the_reason(folder):
    async def story():
        async with pool_of(folder, timeout_s=0.5) as (pool, [worker]):
            worker.one_at_a_time = True
            first = asyncio.create_task(ask(pool, WAITS))
            await busy(worker)
            old = asyncio.create_task(ask(pool, WAITS))
            await asyncio.sleep(0.25)
            young = asyncio.create_task(ask(pool, 1))
            await asyncio.sleep(0)
            worker.busy.clear()
            worker.go_on.set()
            await first
            await busy(worker)
            assert isinstance(await old, DeadlineExceeded)
            error = await young
            assert isinstance(error, Unavailable | DeadlineExceeded)
            if isinstance(error, Unavailable):
                assert error.why == "another request in the same call ran over its deadline"

    run(story())


def test_one_more_than_may_wait_is_refused_at_once(folder):
    async def story():
        async with pool_of(folder, max_waiting=3) as (pool, [worker]):
            tasks = [asyncio.create_task(ask(pool, WAITS)) for _ in range(3)]
            await busy(worker)
            error = await ask(pool, 1)
            assert isinstance(error, Overloaded)
            assert error.why == "the limit is 3"
            assert error.fix == "send fewer at once, or serve it with more workers"
            worker.go_on.set()
            await asyncio.gather(*tasks)
            assert await ask(pool, 1) == right(1)

    run(story())


def test_without_a_worker_to_come_all_requests_get_the_cause(folder):
    async def story():
        async with pool_of(folder, count=0) as (pool, _):
            waiting = [asyncio.create_task(ask(pool, number)) for number in range(3)]
            await asyncio.sleep(0)
            cause = ModelFailed("it cannot be loaded")
            pool.fail(cause)
            assert await asyncio.gather(*waiting) == [cause] * 3
            assert await ask(pool, 1) is cause
            worker = FlightWorker(f"grpc+unix://{tempfile.mktemp(dir=folder, prefix='s')}")
            pool.attach(worker)
            assert await ask(pool, 1) == right(1)
            # What had been given up is not done after all.
            assert worker.calls == [[1]]
            pool.detach(worker)
            await asyncio.to_thread(worker.shutdown)

    run(story())


def test_a_pool_that_closes_refuses_what_waits(folder):
    async def story():
        async with pool_of(folder, count=0) as (pool, _):
            waiting = asyncio.create_task(ask(pool, 1))
            await asyncio.sleep(0)
            await pool.close()
            error = await waiting
            assert isinstance(error, Unavailable)
            assert error.what == "the server is stopping"

    run(story())


def test_a_retired_pool_gives_back_what_waits_for_no_worker(folder):
    async def story():
        async with pool_of(folder) as (pool, [worker]):
            held = asyncio.create_task(ask(pool, WAITS))
            await asyncio.to_thread(worker.busy.wait, 20)
            waiting = asyncio.create_task(ask(pool, 2))
            await asyncio.sleep(0)
            pool.retire()
            assert pool.waiting == 2  # its worker answers both
            pool.detach(worker)
            assert isinstance(await waiting, Replaced)
            assert isinstance(await ask(pool, 3), Replaced)
            worker.go_on.set()
            assert await held == right(WAITS)

    asyncio.run(story())


def test_a_retired_pool_gives_back_what_waits_for_its_dead_worker(folder):
    async def story():
        async with pool_of(folder) as (pool, [worker]):
            pool.retire()
            dies = asyncio.create_task(ask(pool, WAITS, DIES))
            await asyncio.to_thread(worker.busy.wait, 20)
            waiting = asyncio.create_task(ask(pool, 2))
            await asyncio.sleep(0)
            worker.go_on.set()
            assert (await dies).reason == "worker_died"
            assert isinstance(await waiting, Replaced)

    asyncio.run(story())


def test_a_detached_worker_gets_nothing_more(folder):
    async def story():
        async with pool_of(folder, count=2) as (pool, [first, second]):
            assert pool.capacity == 2
            pool.detach(first)
            assert pool.capacity == 1
            before = len(first.calls)
            for number in range(20):
                assert await ask(pool, number) == right(number)
            assert len(first.calls) == before
            assert len(second.calls) == 20

    run(story())


def test_a_batch_that_cannot_be_sent_harms_no_worker(folder):
    async def story():
        async with pool_of(folder) as (pool, [worker]):
            with pytest.raises(Internal):
                await pool.predict(Batch(INPUTS, [pa.array(["no number"])], 1))
            assert await ask(pool, 1) == right(1)
            assert not worker.killed.is_set()

    run(story())


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.lists(st.integers(0, 10**6) | st.sampled_from([RAISES, REFUSES]), min_size=1, max_size=12),
        min_size=1,
        max_size=25,
    ),
    workers=st.integers(1, 2),
    join_rows=st.integers(1, 40),
    batching=st.sampled_from(["single", "whole", "joined"]),
)
def test_everyone_gets_their_own_rows_or_their_own_error(folder, requests, workers, join_rows, batching):
    async def story():
        async with pool_of(folder, workers, batching=batching, join_rows=join_rows) as (pool, _):
            answers = await asyncio.gather(*(ask(pool, *values) for values in requests))
        for values, answer in zip(requests, answers, strict=True):
            bad = next((value for value in values if value in ERRORS), None)
            if bad is None:
                assert answer == right(*values)
            else:
                assert isinstance(answer, ModelFailed if bad == RAISES else Invalid)

    run(story())


PATIENT = 20.0
"""Seconds: a test that had to wait for them would fail."""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_waits_for_as_many_rows_as_are_aimed_at(folder, workers):
    async def story():
        async with pool_of(folder, workers, delay_s=PATIENT, delay_rows=8) as (pool, served):
            asked = []
            started = time.monotonic()
            for number in range(4):
                asked.append(asyncio.create_task(ask(pool, number, number)))
                await asyncio.sleep(0.02)
            assert await asyncio.gather(*asked) == [right(number, number) for number in range(4)]
            assert time.monotonic() - started < PATIENT
            # Two workers do not share out what one of them waits for.
            assert sorted(call for worker in served for call in worker.calls) == [[0, 0, 1, 1, 2, 2, 3, 3]]

    run(story())


def test_a_call_starts_when_its_first_request_has_waited_long_enough(folder):
    async def story():
        async with pool_of(folder, delay_s=0.2, delay_rows=100) as (pool, [worker]):
            started = time.monotonic()
            asked = [asyncio.create_task(ask(pool, number)) for number in range(3)]
            assert await asyncio.gather(*asked) == [right(number) for number in range(3)]
            assert time.monotonic() - started >= 0.2
            assert worker.calls == [[0, 1, 2]]

    run(story())


def test_what_has_waited_for_a_worker_already_does_not_wait_again(folder):
    async def story():
        async with pool_of(folder, delay_s=2.0, delay_rows=100) as (pool, [worker]):
            first = asyncio.create_task(ask(pool, WAITS))
            await busy(worker)
            second = asyncio.create_task(ask(pool, 1))
            await asyncio.sleep(2.1)
            worker.go_on.set()
            released = time.monotonic()
            await asyncio.gather(first, second)
            assert time.monotonic() - released < 1.5

    run(story())


def test_a_call_has_no_more_rows_than_it_may(folder):
    async def story():
        async with pool_of(folder, delay_s=0.05, delay_rows=4, call_rows=4) as (pool, [worker]):
            asked = [asyncio.create_task(ask(pool, number, number, number)) for number in range(3)]
            large = asyncio.create_task(ask(pool, *range(10)))
            assert await asyncio.gather(*asked) == [right(number, number, number) for number in range(3)]
            assert await large == right(*range(10))
            assert max(map(len, worker.calls)) <= 4
            assert worker.calls[-3:] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
            assert isinstance(await ask(pool, 1, 2, 3, 4, RAISES), ModelFailed)

    run(story())


def test_a_pool_that_waits_for_company_closes_at_once(folder):
    async def story():
        async with pool_of(folder, 2, delay_s=PATIENT, delay_rows=100) as (pool, _):
            asked = asyncio.create_task(ask(pool, 1))
            await asyncio.sleep(0.05)
            started = time.monotonic()
            await pool.close()
            assert time.monotonic() - started < 3.5
            # A worker has it, or it is refused because the pool closes.
            assert (await asked) == right(1) or isinstance(await asked, Unavailable)

    run(story())
