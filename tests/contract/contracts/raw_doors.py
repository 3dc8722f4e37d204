"""The contract of wire protocols whose models read requests themselves: over real HTTP, in front of a real worker."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import httpx
import psutil
import pytest

from contracts.doors import INPUTS, OUTPUTS, SOON_S, Gateway, Times, listening, served
from trivet.domain.digest import digest_of_bytes
from trivet.engine.limits import EngineLimits
from trivet.engine.pool import WorkerPool
from trivet.errors import Kind
from trivet.gateway.live_pipeline import LivePipeline
from trivet.workers import ProcessLauncher, WorkerFiles, WorkerSpec
from trivet.workers.launcher import RunningWorker

# An adapter that a package brings along. The body's first word says what `answer` does with the rest.
ADAPTER = """
import json, os, signal, time
from pathlib import Path
from mac.exceptions import InferenceDataValidationError
from trivet_worker.raw import RawAnswer

class Scripted:
    def predict(self, columns):
        return {"y": columns["x"] * 3}

    def answer(self, request):
        act, _, rest = request.body.decode("latin-1").partition(" ")
        return getattr(self, "on_" + act)(request, rest)

    def on_echo(self, request, rest):
        seen = [request.content_type, [list(pair) for pair in request.headers]]
        headers = [("x-seen", json.dumps(seen)), ("x-model", "1"), ("x-model", "2"), ("Content-Length", "7"), ("Connection", "close")]
        return RawAnswer(202, "application/x-echo", rest.encode("latin-1"), headers)

    def on_status(self, request, rest):
        return RawAnswer(int(rest), "text/plain", b"" if rest == "204" else b"as asked")

    def on_pieces(self, request, rest):
        def pieces():
            yield b"one "
            wait_for(rest)
            yield b"two "
            yield b"three"
        return RawAnswer(200, "text/event-stream", pieces())

    def on_no_pieces(self, request, rest):
        return RawAnswer(200, "text/plain", iter(()))

    def on_large(self, request, rest):
        def pieces():
            for _ in range(64):
                yield bytes(2**20)
            Path(rest).touch()
        return RawAnswer(200, "", pieces())

    def on_endless(self, request, rest):
        def pieces():
            try:
                while True:
                    yield b"more"
                    time.sleep(0.01)
            finally:
                Path(rest).touch()
        return RawAnswer(200, "", pieces())

    def on_raises(self, request, rest):
        raise ValueError("bad luck")

    def on_refuses(self, request, rest):
        raise InferenceDataValidationError("no such colour")

    def on_bad_header(self, request, rest):
        return RawAnswer(200, "", b"", [("a name", "1")])

    def on_raises_later(self, request, rest):
        def pieces():
            yield b"one"
            raise ValueError("bad luck")
        return RawAnswer(200, "", pieces())

    def on_waits(self, request, rest):
        wait_for(rest)
        return RawAnswer(200, "", b"at last")

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)

def load(package, stage):
    stage("loading")
    return Scripted()
"""


@dataclass
class Running:
    """A gateway in front of one real worker."""

    gateway: Gateway
    live: LivePipeline
    pool: WorkerPool
    worker: RunningWorker

    @property
    def scratch(self) -> Path:
        """The only folder that the model writes to."""
        return Path(self.worker.address.location.removeprefix("grpc+unix://")).parent / "scratch"


class RawDoorContract:
    """What every door keeps whose requests become raw calls. A subclass says where it is, and how it writes an error."""

    doors: ClassVar[Mapping[str, str]]
    path: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}

    def message(self, content: bytes) -> str:
        raise NotImplementedError

    @asynccontextmanager
    async def running(self, folder: Path, *, timeout_s: float = 60) -> AsyncIterator[Running]:
        package = folder / "package"
        package.mkdir()
        (package / "scripted.py").write_text(ADAPTER)
        spec = WorkerSpec(
            name="model",
            package=digest_of_bytes(ADAPTER.encode()),
            environment=digest_of_bytes(sys.version.encode()),
            adapter="scripted:load",
            entry={},
            input_schema=INPUTS,
            output_schema=OUTPUTS,
            load_timeout_s=60,
        )
        # A socket's path is short, and pytest's folders have long names.
        with TemporaryDirectory(prefix="tt-") as short:
            launcher = ProcessLauncher(
                environ=dict(os.environ),
                home=folder / "home",
                files=lambda _: WorkerFiles(python=Path(sys.executable), package=package),
                temporary=Path(short),
            )
            worker = await launcher.start(spec)
            limits = EngineLimits(timeout_s=timeout_s)
            pool = WorkerPool(input_schema=INPUTS, output_schema=OUTPUTS, batching="joined", limits=limits)
            pool.attach(worker)
            try:
                async with listening(self.doors) as gateway:
                    yield Running(gateway, gateway.pipelines.put(served(pool, "raw")), pool, worker)
            finally:
                await pool.close()
                await worker.stop(5)

    async def ask(self, gateway: Gateway, body: str) -> httpx.Response:
        return await gateway.post(self.path, body.encode("latin-1"), self.headers)

    @asynccontextmanager
    async def stream(self, gateway: Gateway, body: str) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes]]]:
        url = gateway.urls[0] + self.path
        async with gateway.client.stream("POST", url, content=body.encode("latin-1"), headers=self.headers) as reply:
            yield reply, reply.aiter_raw()

    def test_the_model_gets_the_request_and_its_answer_comes_back(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                body = b"echo " + bytes(range(256))
                headers = {**self.headers, "Content-Type": "a/b", "X-Request-Id": "mine"}
                reply = await running.gateway.post(self.path, body, headers)
                assert (reply.status_code, reply.content) == (202, bytes(range(256)))
                assert reply.headers["content-type"] == "application/x-echo"
                assert json.loads(reply.headers["x-seen"])[0] == "a/b"
                assert reply.headers.get_list("x-model") == ["1", "2"]
                # What frames the answer is the gateway's.
                assert reply.headers["content-length"] == "256"
                assert "connection" not in reply.headers
                assert reply.headers.get_list("x-request-id") == ["mine"]
                assert (running.live.in_flight, running.live.metrics.outcomes) == (0, {None: 1})

        asyncio.run(story())

    def test_the_models_own_status_is_the_answers(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                for status in (200, 204, 304, 404, 503):
                    reply = await self.ask(running.gateway, f"status {status}")
                    content = b"" if status in (204, 304) else b"as asked"
                    assert (reply.status_code, reply.content) == (status, content)
                reply = await self.ask(running.gateway, "no_pieces")
                assert (reply.status_code, reply.content) == (200, b"")

        asyncio.run(story())

    def test_pieces_arrive_before_the_last_is_made(self, tmp_path: Path, flag_file: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                async with self.stream(running.gateway, f"pieces {flag_file}") as (reply, pieces):
                    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream")
                    assert await anext(pieces) == b"one "
                    assert (running.live.in_flight, running.live.metrics.outcomes) == (1, {})
                    await asyncio.to_thread(flag_file.touch)
                    assert b"".join([piece async for piece in pieces]) == b"two three"
                await running.gateway.until(lambda: running.live.in_flight == 0)
                assert running.live.metrics.outcomes == {None: 1}

        asyncio.run(story())

    def test_an_error_before_the_first_piece_is_the_doors_page(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                for body, status, message in (
                    ("raises", 500, "ValueError: bad luck"),
                    ("refuses", 400, "InferenceDataValidationError: no such colour"),
                    ("bad_header", 500, "'a name' is not the name of a header"),
                    ("x" * 2**17, 413, "the body is larger than"),
                ):
                    reply = await self.ask(running.gateway, body)
                    assert reply.status_code == status
                    assert message in self.message(reply.content)
                assert running.live.metrics.outcomes == {Kind.MODEL: 2, Kind.INVALID: 1, Kind.TOO_LARGE: 1}
                assert (await self.ask(running.gateway, "echo x")).content == b"x"

        asyncio.run(story())

    def test_an_error_after_the_first_piece_cuts_the_connection(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                async with self.stream(running.gateway, "raises_later") as (reply, pieces):
                    assert (reply.status_code, await anext(pieces)) == (200, b"one")
                    with pytest.raises(httpx.RemoteProtocolError):
                        await anext(pieces)
                assert (running.live.in_flight, running.live.metrics.outcomes) == (0, {Kind.MODEL: 1})
                assert (await self.ask(running.gateway, "echo x")).content == b"x"

        asyncio.run(story())

    def test_an_answer_over_its_deadline_ends_the_worker(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path, timeout_s=1) as running:
                reply = await self.ask(running.gateway, f"waits {tmp_path / 'never'}")
                assert reply.status_code == 504
                assert "no answer within 1 s" in self.message(reply.content)
                await asyncio.wait_for(running.worker.wait(), SOON_S)
                assert running.live.metrics.outcomes == {Kind.DEADLINE: 1}

        asyncio.run(story())

    def test_a_worker_that_is_killed_is_the_answers_error(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                asked = asyncio.create_task(self.ask(running.gateway, f"waits {tmp_path / 'never'}"))
                await running.gateway.until(lambda: running.pool.waiting == 1)
                os.kill(running.worker.pid, signal.SIGKILL)
                reply = await asked
                assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
                assert "killed by SIGKILL" in self.message(reply.content)

        asyncio.run(story())

    def test_a_worker_killed_within_an_answer_cuts_the_connection(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                async with self.stream(running.gateway, f"pieces {tmp_path / 'never'}") as (_, pieces):
                    assert await anext(pieces) == b"one "
                    os.kill(running.worker.pid, signal.SIGKILL)
                    with pytest.raises(httpx.RemoteProtocolError):
                        await anext(pieces)
                assert running.live.metrics.outcomes == {Kind.UNAVAILABLE: 1}

        asyncio.run(story())

    def test_a_pipeline_is_drained_of_its_raw_answers(self, tmp_path: Path, flag_file: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                gateway = running.gateway
                async with self.stream(gateway, f"pieces {flag_file}") as (_, pieces):
                    assert await anext(pieces) == b"one "
                    newer = gateway.pipelines.put(served(running.pool, "newer"))
                    drained = asyncio.create_task(gateway.pipelines.drain(running.live, within_s=SOON_S))
                    await asyncio.sleep(0.05)
                    assert not drained.done()
                    await asyncio.to_thread(flag_file.touch)
                    assert b"".join([piece async for piece in pieces]) == b"two three"
                    await asyncio.wait_for(drained, SOON_S)
                assert (await self.ask(gateway, "echo x")).content == b"x"
                assert (running.live.in_flight, newer.in_flight) == (0, 0)
                assert newer.metrics.outcomes == {None: 2}

        asyncio.run(story())

    def test_a_client_that_leaves_ends_the_models_answer(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                left = running.scratch / "left"
                async with self.stream(running.gateway, f"endless {left}") as (_, pieces):
                    assert await anext(pieces)
                    assert not left.exists()
                await running.gateway.until(lambda: running.live.in_flight == 0)
                await running.gateway.until(left.exists)
                assert (await self.ask(running.gateway, "echo x")).content == b"x"
                assert psutil.pid_exists(running.worker.pid)

        asyncio.run(story())

    def test_a_client_that_leaves_early_ends_its_request(self, tmp_path: Path, flag_file: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                asked = asyncio.create_task(self.ask(running.gateway, f"waits {flag_file}"))
                await running.gateway.until(lambda: running.pool.waiting == 1)
                asked.cancel()
                await running.gateway.until(lambda: running.live.in_flight == 0)
                await asyncio.to_thread(flag_file.touch)
                await running.gateway.until(lambda: running.pool.waiting == 0)
                assert (await self.ask(running.gateway, "echo x")).content == b"x"

        asyncio.run(story())

    def test_a_slow_client_gets_the_answer_as_it_reads(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                made = running.scratch / "made"
                async with self.stream(running.gateway, f"large {made}") as (_, pieces):
                    first = await anext(pieces)
                    # The model does not wait for the client, but the connection does not take all of it.
                    await running.gateway.until(lambda: made.exists() and running.pool.waiting == 0)
                    assert running.live.in_flight == 1
                    assert len(first) + sum([len(piece) async for piece in pieces]) == 64 * 2**20
                await running.gateway.until(lambda: running.live.in_flight == 0)

        asyncio.run(story())

    def test_a_request_moves_to_a_newer_pipeline_while_its_body_comes(self, tmp_path: Path) -> None:
        async def story() -> None:
            async with self.running(tmp_path) as running:
                gateway, first = running.gateway, running.live
                host, port = gateway.urls[0].removeprefix("http://").split(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                head = [f"POST {self.path} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: 6"]
                head += [f"{name}: {value}" for name, value in self.headers.items()]
                writer.write("\r\n".join([*head, "", ""]).encode())
                await gateway.until(lambda: first.in_flight == 1)
                second = gateway.pipelines.put(served(Times(3), "newer"))
                writer.write(b"echo x")
                content = (await asyncio.wait_for(reader.read(), SOON_S)).partition(b"\r\n\r\n")[2]
                writer.close()
                assert "does not answer raw requests" in self.message(content)
                assert (first.in_flight, second.in_flight) == (0, 0)

        asyncio.run(story())

    def test_a_native_pipeline_refuses_and_says_why(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                live, runner = gateway.put()
                reply = await self.ask(gateway, "echo x")
                assert reply.status_code == 415
                assert self.message(reply.content) == (
                    "pipeline 'model' does not answer raw requests: "
                    "its model runs in the gateway's own process, where models take rows only"
                )
                assert (runner.calls, live.metrics.outcomes) == (0, {Kind.UNSUPPORTED: 1})

        asyncio.run(story())
