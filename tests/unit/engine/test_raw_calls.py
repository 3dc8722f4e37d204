"""Raw calls through a pool, in front of a worker of the test's own: a small Flight server that follows a script."""

import asyncio
import json
import tempfile
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import flight

from trivet.domain.routes import WorkerAddress
from trivet.engine.batch import Batch
from trivet.engine.calls import Raw
from trivet.engine.limits import EngineLimits
from trivet.engine.pool import WorkerPool
from trivet.errors import (
    DeadlineExceeded,
    Internal,
    Invalid,
    ModelFailed,
    Overloaded,
    TooLarge,
    TrivetError,
    Unavailable,
    Unsupported,
)
from trivet_worker.raw import RAW_SCHEMA

INPUTS = pa.schema([pa.field("x", pa.int64(), nullable=False)])
OUTPUTS = pa.schema([pa.field("y", pa.int64(), nullable=False)])
OK = {"status": 200, "content_type": "text/plain", "headers": [["x-model", "m"]]}


class ScriptedWorker(flight.FlightServerBase):
    """Answers rows with `3 x`, and a raw request with the message that its body names in `SCRIPTS`, or with itself."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = WorkerAddress(id=address, location=address)
        self.calls: list[object] = []
        self.raw_streams = 0
        self.busy = threading.Event()
        self.go_on = threading.Event()
        self.killed = threading.Event()
        self.cancelled = threading.Event()

    def kill(self) -> None:
        self.killed.set()
        self.go_on.set()

    async def wait(self) -> str:
        return "exit code 3; its log is empty"

    def do_exchange(self, context, descriptor, reader, writer):
        if descriptor.path == [b"raw"]:
            self.raw_streams += 1
            self._raw(reader, writer)
        else:
            self._rows(reader, writer)

    def _rows(self, reader, writer):
        writer.begin(OUTPUTS)
        while True:
            try:
                values = reader.read_chunk().data.column(0).to_pylist()
            except StopIteration:
                return
            self.calls.append(values)
            if values == [-1]:
                self._wait()
            writer.write_with_metadata(pa.record_batch([[3 * value for value in values]], schema=OUTPUTS), b"{}")

    def _wait(self):
        self.busy.set()
        self.go_on.wait(20)
        if self.killed.is_set():
            raise flight.FlightServerError("killed")

    def _raw(self, reader, writer):
        assert reader.schema == RAW_SCHEMA
        writer.begin(RAW_SCHEMA)
        while True:
            try:
                chunk = reader.read_chunk()
            except StopIteration:
                return
            head = json.loads(chunk.app_metadata.to_pybytes())
            body = chunk.data.column(0)[0].as_py()
            self.calls.append(body)
            self._answer(writer, head, body.decode())

    def _answer(self, writer, head, asked):
        if asked == "endless":
            self._send_for_ever(writer)
            return
        echo = {"status": 201, "content_type": "a/b", "headers": [], "last": True}
        for act in SCRIPTS.get(asked, [(json.dumps([head, asked]).encode(), echo)]):
            if act == WAIT:
                self._wait()
            elif isinstance(act, str):
                raise flight.FlightServerError(act)
            elif isinstance(act, dict):
                writer.write_metadata(json.dumps({"error": act}).encode())
            else:
                send(writer, *act)

    def _send_for_ever(self, writer):
        try:
            send(writer, b"x" * 1000, OK)
            while True:
                send(writer, b"x" * 1000, {"last": False})
        finally:
            self.cancelled.set()


def send(writer, body, metadata):
    rows = [] if body is None else [body]
    batch = pa.record_batch([pa.array(rows, pa.large_binary())], schema=RAW_SCHEMA)
    writer.write_with_metadata(batch, json.dumps(metadata).encode())


WAIT = "waits"
RAISES = {"reason": "model_error", "type": "ValueError", "message": "cannot"}
MORE, LAST = {"last": False}, {"last": True}
SCRIPTS = {
    "three pieces": [(b"one ", OK), WAIT, (b"two ", MORE), (b"three", MORE), (b"", LAST)],
    "waits": [WAIT, (b"at last", OK | LAST)],
    "raises": [RAISES],
    "refuses": [{"reason": "invalid_input", "type": "", "message": "not so"}],
    "no door": [{"reason": "rows_only", "message": "its adapter has no `answer`"}],
    "an error after a piece": [(b"one", OK), RAISES],
    "old": ["there is no [b'raw'] here, only [b'predict']"],
    "dies": ["the end"],
    "dies after a piece": [(b"one", OK), "the end"],
    "no row": [(None, OK | LAST)],
    "no status": [(b"", LAST)],
    "status 99": [(b"", OK | LAST | {"status": 99})],
    "a line's end in the type": [(b"", OK | LAST | {"content_type": "a/b\r\nx: y"})],
    "a line's end in a header": [(b"", OK | LAST | {"headers": [["a", "b\n"]]})],
}
BROKEN = ["dies", "no row", "no status", "status 99", "a line's end in the type", "a line's end in a header"]


@pytest.fixture(scope="module")
def folder():
    # A socket's path is short, and pytest's folders have long names.
    with tempfile.TemporaryDirectory(prefix="tt-") as short:
        yield Path(short)


def worker_in(folder):
    return ScriptedWorker(f"grpc+unix://{tempfile.mktemp(dir=folder, prefix='s')}")


@asynccontextmanager
async def pool_of(folder, **limits):
    pool = WorkerPool(input_schema=INPUTS, output_schema=OUTPUTS, batching="joined", limits=EngineLimits(**limits))
    worker = worker_in(folder)
    pool.attach(worker)
    try:
        yield pool, worker
    finally:
        worker.go_on.set()
        await pool.close()
        await asyncio.to_thread(worker.shutdown)


def raw(body="hello", **fields):
    return Raw(**{"content_type": "text/plain", "path": "", "body": body.encode(), **fields})


async def ask(pool, body="hello", **fields):
    """Status and body of the answer, or the error."""
    try:
        answer = await pool.answer(raw(body, **fields))
        return answer.status, await answer.body()
    except TrivetError as error:
        return error


async def predict(pool, *values):
    answer = await pool.predict(Batch(INPUTS, [np.array(values, np.int64)], len(values)))
    return answer.record_batch().column(0).to_pylist()


async def event(happens):
    assert await asyncio.to_thread(happens.wait, 10)


def run(story):
    asyncio.run(story)


def test_a_request_arrives_as_it_was_sent(folder):
    async def story():
        async with pool_of(folder) as (pool, worker):
            answer = await pool.answer(raw("ü", content_type="", path="/v2?x=1", headers=(("a", "1"), ("a", "2"))))
            assert (answer.status, answer.content_type, answer.headers) == (201, "a/b", ())
            head = {"content_type": "", "path": "/v2?x=1", "headers": [["a", "1"], ["a", "2"]]}
            assert json.loads(await answer.body()) == [head, "ü"]
            assert worker.calls == ["ü".encode()]
            assert pool.waiting == 0

    run(story())


def test_the_second_stream_is_opened_by_the_first_raw_request_only(folder):
    async def story():
        async with pool_of(folder) as (pool, worker):
            assert await predict(pool, 1) == [3]
            assert worker.raw_streams == 0
            for _ in range(3):
                assert (await ask(pool))[0] == 201
            assert worker.raw_streams == 1

    run(story())


def test_raw_requests_keep_their_place_between_rows_that_are_joined(folder):
    async def story():
        async with pool_of(folder) as (pool, worker):
            first = asyncio.create_task(predict(pool, -1))
            await event(worker.busy)
            asked = [
                predict(pool, 1),
                predict(pool, 2),
                ask(pool, "a"),
                ask(pool, "b"),
                predict(pool, 3),
                predict(pool, 4),
            ]
            tasks = [asyncio.create_task(each) for each in asked]
            await asyncio.sleep(0)
            worker.go_on.set()
            await asyncio.gather(first, *tasks)
            assert worker.calls == [[-1], [1, 2], b"a", b"b", [3, 4]]

    run(story())


def test_a_raw_request_does_not_wait_for_company(folder):
    async def story():
        async with pool_of(folder, delay_s=20, delay_rows=8) as (pool, worker):
            rows = asyncio.create_task(predict(pool, 1))
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                assert (await ask(pool, "a"))[0] == 201
                assert await rows == [3]
            assert worker.calls == [[1], b"a"]

    run(story())


def test_pieces_of_an_answer_arrive_as_they_are_made(folder):
    async def story():
        async with pool_of(folder) as (pool, worker):
            answer = await pool.answer(raw("three pieces"))
            assert (answer.status, answer.content_type, answer.headers) == (200, "text/plain", (("x-model", "m"),))
            assert await anext(answer.pieces) == b"one "
            assert not worker.go_on.is_set()
            worker.go_on.set()
            assert [piece async for piece in answer.pieces] == [b"two ", b"three"]
            assert pool.waiting == 0

    run(story())


@pytest.mark.parametrize(
    ("asked", "kind", "message", "reason"),
    [
        ("raises", ModelFailed, "ValueError: cannot", "model_error"),
        ("refuses", Invalid, "not so", "refused_by_model"),
        (
            "no door",
            Unsupported,
            "this model does not answer raw requests: its adapter has no `answer`",
            "rows_only",
        ),
        (
            "old",
            Unavailable,
            "this worker does not take raw requests: a release of Trivet before this one started it",
            "old_worker",
        ),
    ],
)
def test_an_error_is_its_own_and_the_worker_goes_on(folder, asked, kind, message, reason):
    async def story():
        async with pool_of(folder) as (pool, worker):
            error = await ask(pool, asked)
            assert isinstance(error, kind)
            assert (error.message, error.reason) == (message, reason)
            assert await predict(pool, 1) == [3]
            assert (await ask(pool))[0] == 201
            assert not worker.killed.is_set()

    run(story())


@pytest.mark.parametrize("asked", BROKEN)
def test_a_stream_that_cannot_be_trusted_ends_its_worker(folder, asked):
    async def story():
        async with pool_of(folder) as (pool, worker):
            error = await asyncio.wait_for(ask(pool, asked), 10)
            assert isinstance(error, Unavailable)
            assert (error.reason, error.why) == ("worker_died", "exit code 3; its log is empty")
            await event(worker.killed)
            waiting = asyncio.create_task(ask(pool))
            await asyncio.sleep(0)
            fresh = worker_in(folder)
            pool.attach(fresh)
            assert (await asyncio.wait_for(waiting, 10))[0] == 201
            pool.detach(fresh)
            await asyncio.to_thread(fresh.shutdown)

    run(story())


@pytest.mark.parametrize(
    ("asked", "kind"), [("an error after a piece", ModelFailed), ("dies after a piece", Unavailable)]
)
def test_an_error_after_the_first_piece_ends_the_body(folder, asked, kind):
    async def story():
        async with pool_of(folder) as (pool, _):
            answer = await pool.answer(raw(asked))
            assert await anext(answer.pieces) == b"one"
            with pytest.raises(kind):
                await anext(answer.pieces)
            assert pool.waiting == 0

    run(story())


@pytest.mark.parametrize("asked", ["waits", "three pieces"])
def test_an_answer_that_takes_too_long_ends_its_worker(folder, asked):
    async def story():
        async with pool_of(folder, timeout_s=0.3) as (pool, worker):
            error = await ask(pool, asked)
            assert isinstance(error, DeadlineExceeded)
            assert (error.what, error.why) == ("no answer within 0.3 s", "the request was still in the model")
            assert error.fix == "send less, or raise --timeout"
            assert worker.killed.is_set()

    run(story())


def test_a_body_at_the_limit_is_sent_and_a_larger_one_is_not(folder):
    async def story():
        async with pool_of(folder, raw_body_bytes=100) as (pool, worker):
            assert (await ask(pool, "x" * 100))[0] == 201
            error = await ask(pool, "x" * 101)
            assert isinstance(error, TooLarge)
            assert error.message == "the request's body has 101 bytes: the limit is 100"
            assert len(worker.calls) == 1
            assert pool.waiting == 0

    run(story())


def test_an_answer_beyond_the_limit_is_the_models_error(folder):
    async def story():
        async with pool_of(folder, raw_answer_bytes=10_000) as (pool, worker):
            error = await asyncio.wait_for(ask(pool, "endless"), 10)
            assert isinstance(error, ModelFailed)
            assert error.reason == "model_output_too_large"
            assert error.why == "it has more than 10000 bytes, which is the limit"
            await event(worker.cancelled)
            assert (await ask(pool))[0] == 201
            assert not worker.killed.is_set()

    run(story())


def test_a_client_that_leaves_ends_the_answer_and_not_the_worker(folder):
    async def story():
        async with pool_of(folder) as (pool, worker):
            answer = await pool.answer(raw("endless"))
            assert await anext(answer.pieces)
            answer.leave()
            await event(worker.cancelled)
            assert (await ask(pool))[0] == 201
            assert worker.raw_streams == 2
            assert not worker.killed.is_set()

    run(story())


def test_a_request_whose_client_has_gone_is_not_sent(folder):
    async def story():
        async with pool_of(folder) as (pool, worker):
            first = asyncio.create_task(predict(pool, -1))
            await event(worker.busy)
            gone = asyncio.create_task(ask(pool, "a"))
            last = asyncio.create_task(ask(pool, "b"))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            worker.go_on.set()
            await asyncio.gather(first, last)
            assert worker.calls == [[-1], b"b"]
            assert pool.waiting == 0

    run(story())


def test_raw_requests_count_among_those_that_may_wait(folder):
    async def story():
        async with pool_of(folder, max_waiting=1, max_waiting_bytes=10) as (pool, worker):
            first = asyncio.create_task(ask(pool, "waits"))
            await event(worker.busy)
            assert isinstance(await ask(pool), Overloaded)
            worker.go_on.set()
            assert await first == (200, b"at last")

    run(story())


def test_a_request_that_cannot_be_written_harms_no_worker(folder):
    async def story():
        async with pool_of(folder) as (pool, worker):
            error = await ask(pool, headers=(("half a character", "\ud800"),))
            assert isinstance(error, Internal)
            assert (await ask(pool))[0] == 201
            assert not worker.killed.is_set()

    run(story())
