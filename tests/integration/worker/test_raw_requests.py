"""Raw requests to real workers, through a pool."""

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import psutil
import pytest

from trivet.engine.batch import Batch
from trivet.engine.calls import Raw
from trivet.engine.limits import EngineLimits
from trivet.engine.pool import WorkerPool
from trivet.errors import DeadlineExceeded, Invalid, ModelFailed, TooLarge, TrivetError, Unavailable, Unsupported

# An adapter that a package brings along: what `answer` does follows from the path.
ADAPTER = """
import ctypes, json, os, signal, sys, threading, time
from mac.exceptions import InferenceDataValidationError
from trivet_worker.raw import RawAnswer

class Echo:
    def predict(self, columns):
        return {"y": columns["x"].sum(axis=1)}

    def answer(self, request):
        assert threading.current_thread() is threading.main_thread()
        print("asked for", request.path)
        return getattr(self, "on_" + request.path.strip("/"))(request)

    def on_echo(self, request):
        seen = {"type": request.content_type, "path": request.path, "headers": request.headers}
        return RawAnswer(202, "application/x-echo", json.dumps(seen).encode() + request.body, [("x-a", "1"), ("x-a", "2")])

    def on_same(self, request):
        return RawAnswer(200, "application/octet-stream", memoryview(request.body))

    def on_empty(self, request):
        return RawAnswer(204, "", b"")

    def on_pieces(self, request):
        return RawAnswer(200, "text/event-stream", (b"%d" % number for number in range(3)))

    def on_until_left(self, request):
        def pieces():
            try:
                while True:
                    yield b"more"
            finally:
                open("left", "w").close()
        return RawAnswer(200, "", pieces())

    def on_was_left(self, request):
        return RawAnswer(200, "", b"%d" % os.path.exists("left"))

    def on_raises(self, request):
        raise ValueError("bad luck")

    def on_refuses(self, request):
        raise InferenceDataValidationError("no such colour")

    def on_raises_later(self, request):
        def pieces():
            yield b"one"
            raise ValueError("bad luck")
        return RawAnswer(200, "", pieces())

    def on_exits(self, request):
        sys.exit(3)

    def on_sleeps(self, request):
        open("sleeps", "w").close()
        time.sleep(1000)

    def on_dies(self, request):
        os.kill(os.getpid(), signal.SIGKILL)

    def on_wrong(self, request):
        return eval(request.body)

def load(package, stage):
    stage("loading")
    return Echo()
"""


@pytest.fixture
def spec(stand):
    root = stand.package({"echo_adapter.py": ADAPTER})
    return replace(stand.spec(root, entry={}), adapter="echo_adapter:load")


@asynccontextmanager
async def pool_of(stand, spec, **limits):
    worker = await stand.launcher.start(spec)
    pool = WorkerPool(
        input_schema=spec.input_schema,
        output_schema=spec.output_schema,
        batching="joined",
        limits=EngineLimits(**limits),
    )
    pool.attach(worker)
    try:
        yield pool, worker
    finally:
        await pool.close()
        await worker.stop(5)


async def ask(pool, path, body=b"", **fields):
    """Status and body of the answer, or the error."""
    try:
        answer = await pool.answer(Raw(**{"content_type": "text/plain", "path": path, "body": body, **fields}))
        return answer.status, await answer.body()
    except TrivetError as error:
        return error


async def predict(pool, *values):
    batch = Batch(pool.input_schema, [np.full((len(values), 3), np.array(values)[:, None], np.float32)], len(values))
    return (await pool.predict(batch)).record_batch().column(0).to_pylist()


def run(story):
    asyncio.run(story)


def test_the_model_gets_the_request_and_its_answer_comes_back(stand, spec):
    async def story():
        async with pool_of(stand, spec) as (pool, worker):
            headers = (("verta-request-id", "7"), ("accept", "*/*"))
            answer = await pool.answer(Raw(content_type="a/b", path="/echo", headers=headers, body=b"\0\xff"))
            assert (answer.status, answer.content_type) == (202, "application/x-echo")
            assert answer.headers == (("x-a", "1"), ("x-a", "2"))
            seen = b'{"type": "a/b", "path": "/echo", "headers": [["verta-request-id", "7"], ["accept", "*/*"]]}'
            assert await answer.body() == seen + b"\0\xff"
            assert await ask(pool, "/empty") == (204, b"")
            assert "asked for /echo" in list(worker.log.lines)

    run(story())


def test_rows_and_raw_requests_share_one_worker_and_its_order(stand, spec):
    async def story():
        async with pool_of(stand, spec) as (pool, _):
            for _ in range(20):
                asked = (
                    predict(pool, 1),
                    predict(pool, 2),
                    ask(pool, "same", b"x"),
                    predict(pool, 3),
                    ask(pool, "empty"),
                )
                assert await asyncio.gather(*asked) == [[3.0], [6.0], (200, b"x"), [9.0], (204, b"")]

    run(story())


def test_pieces_arrive_as_the_model_makes_them(stand, spec):
    async def story():
        async with pool_of(stand, spec) as (pool, _):
            answer = await pool.answer(Raw(content_type="", path="pieces", body=b""))
            assert answer.content_type == "text/event-stream"
            assert [piece async for piece in answer.pieces] == [b"0", b"1", b"2"]

    run(story())


def test_a_client_that_leaves_ends_the_models_answer(stand, spec):
    async def story():
        async with pool_of(stand, spec) as (pool, worker):
            answer = await pool.answer(Raw(content_type="", path="until_left", body=b""))
            assert await anext(answer.pieces) == b"more"
            answer.leave()
            assert await ask(pool, "was_left") == (200, b"1")
            assert await predict(pool, 1) == [3.0]
            assert list(worker.log.lines) == ["asked for until_left", "asked for was_left"]

    run(story())


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("raises", ModelFailed, "ValueError: bad luck"),
        ("raises_later", ModelFailed, "ValueError: bad luck"),
        ("exits", ModelFailed, "SystemExit: 3"),
        ("refuses", Invalid, "InferenceDataValidationError: no such colour"),
    ],
)
def test_what_the_model_raises_is_its_error_and_the_worker_goes_on(stand, spec, path, kind, message):
    async def story():
        async with pool_of(stand, spec) as (pool, worker):
            error = await ask(pool, path)
            assert isinstance(error, kind)
            assert error.message == message
            assert (await ask(pool, "empty"), await predict(pool, 1)) == ((204, b""), [3.0])
            log = list(worker.log.lines)
            assert any(message in line for line in log)
            assert not any("trivet_worker" in line for line in log)

    run(story())


WRONG = {
    "{}": ("output", "expected a RawAnswer, got dict"),
    "RawAnswer(99, '', b'')": ("status", "expected a number from 200 to 599, got 99"),
    "RawAnswer('200', '', b'')": ("status", "expected a number from 200 to 599, got '200'"),
    "RawAnswer(200, 'a/b\\r\\nx: y', b'')": ("content_type", "expected printable ASCII text, got 'a/b\\r\\nx: y'"),
    "RawAnswer(200, '', b'', [('a', 1)])": ("headers", "expected printable ASCII text, got 1"),
    "RawAnswer(200, '', 'text')": ("body", "expected bytes or an iterable of bytes, got str"),
    "RawAnswer(200, '', ['text'])": ("body", "expected pieces of bytes, got str"),
}


def test_an_answer_of_the_wrong_type_names_the_field(stand, spec):
    async def story():
        async with pool_of(stand, spec) as (pool, _):
            for given, (path, message) in WRONG.items():
                error = await ask(pool, "wrong", given.encode())
                assert isinstance(error, ModelFailed)
                assert (error.reason, error.path) == ("model_output_mismatch", path)
                assert error.why == f"field {path!r}: {message}"

    run(story())


def test_a_worker_that_dies_in_a_raw_request_is_reported_with_its_signal(stand, spec):
    async def story():
        async with pool_of(stand, spec) as (pool, _):
            error = await ask(pool, "dies")
            assert isinstance(error, Unavailable)
            assert error.reason == "worker_died"
            assert error.why.startswith("killed by SIGKILL (signal 9); its log ends with\n")
            assert "asked for dies" in error.why
            # What comes meanwhile waits for the next worker.
            waiting = asyncio.create_task(ask(pool, "empty"))
            next_worker = await stand.launcher.start(spec)
            pool.attach(next_worker)
            assert await waiting == (204, b"")
            pool.detach(next_worker)
            await next_worker.stop(5)

    run(story())


def test_a_raw_request_over_its_deadline_ends_the_worker(stand, spec):
    async def story():
        async with pool_of(stand, spec, timeout_s=1.0) as (pool, worker):
            error = await ask(pool, "sleeps")
            assert isinstance(error, DeadlineExceeded)
            assert error.message == "no answer within 1 s: the request was still in the model"
            await asyncio.wait_for(worker.wait(), 10)
            assert not psutil.pid_exists(worker.pid)

    run(story())


def test_stopping_lets_the_raw_answer_at_hand_finish(stand, spec):
    async def story():
        async with pool_of(stand, spec) as (pool, worker):
            answer = await pool.answer(Raw(content_type="", path="pieces", body=b""))
            stopping = asyncio.create_task(worker.stop(100))
            assert await answer.body() == b"012"
            await asyncio.wait_for(stopping, 60)

    run(story())


def test_large_bodies_pass_up_to_the_limits(stand, spec):
    async def story():
        limit = 20 * 2**20
        async with pool_of(stand, spec, raw_body_bytes=limit + 1, raw_answer_bytes=limit) as (pool, _):
            body = os.urandom(limit)
            assert await ask(pool, "same", body) == (200, body)
            error = await ask(pool, "same", body + b"x")
            assert isinstance(error, ModelFailed)
            assert error.reason == "model_output_too_large"
            assert isinstance(await ask(pool, "same", body + b"xy"), TooLarge)
            assert await ask(pool, "same", b"small") == (200, b"small")

    run(story())


def test_an_adapter_without_a_raw_door_says_so_and_goes_on_with_rows(stand):
    async def story():
        async with pool_of(stand, stand.custom()) as (pool, _):
            error = await ask(pool, "echo")
            assert isinstance(error, Unsupported)
            assert error.message == "this model does not answer raw requests: its adapter has no `answer`"
            assert error.fix == "send rows to the pipeline's address, as JSON or Arrow"
            assert await predict(pool, 1) == [6.0]

    run(story())
