"""The contract of wire protocols, over real HTTP: a door is a file and a row in a table, and keeps this contract."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar

import httpx
import pyarrow as pa
import pytest

from trivet.domain.held_bytes import HeldBytes
from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.pipeline import ServedPipeline, ServedStep
from trivet.engine.served import Probe, Runner
from trivet.errors import Kind, TrivetError, Unavailable
from trivet.gateway.doors.table import open_doors
from trivet.gateway.http.errors import STATUS
from trivet.gateway.live_pipeline import LivePipeline
from trivet.gateway.pipelines import Pipelines, Place
from trivet.gateway.servers import GatewayParts, open_servers
from trivet.wiring.process import StopSignals

INPUTS = pa.schema([pa.field("x", pa.int64(), nullable=False)])
OUTPUTS = pa.schema([pa.field("y", pa.int64(), nullable=False)])
PLACE = Place("model", 1)
MAX_BODY = 2**16
SOON_S = 10


class Times:
    """Keeps the contract of `Runner`: `y = factor * x`, once `released`."""

    capacity = 1
    input_schema = INPUTS
    output_schema = OUTPUTS

    def __init__(self, factor: int) -> None:
        self.calls = 0
        self.answered = 0
        self.released: asyncio.Event | None = None
        self.error: Exception | None = None
        self._factor = factor

    def predict(self, batch: Batch) -> Batch | Awaitable[Batch]:
        self.calls += 1
        return self._answer(batch)

    async def _answer(self, batch: Batch) -> Batch:
        if self.released is not None:
            await self.released.wait()
        if self.error is not None:
            raise self.error
        self.answered += 1
        return Batch(OUTPUTS, [batch.numpy(0) * self._factor], batch.rows)


def served(runner: Runner, version: str) -> ServedPipeline:
    step = ServedStep(
        name="model", version=version, version_id=1, sha="ab" * 32, framework="onnx", runtime="native", runner=runner
    )
    return ServedPipeline(
        name=PLACE.name,
        version=version,
        deployment_id=PLACE.deployment_id,
        workspace_id=1,
        steps=(step,),
        runner=runner,
        probe=Probe(runner, canned_batch(INPUTS), synthetic=True),
        checks=None,
    )


@dataclass
class Gateway:
    """A gateway that listens, and a client of each of its listeners."""

    pipelines: Pipelines
    urls: list[str]
    stop: StopSignals
    client: httpx.AsyncClient

    def put(self, factor: int = 3) -> tuple[LivePipeline, Times]:
        runner = Times(factor)
        return self.pipelines.put(served(runner, f"version-{factor}")), runner

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], *, listener: int = 0) -> httpx.Response:
        return await self.client.post(self.urls[listener] + path, content=body, headers=headers)

    @staticmethod
    def head(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()

    async def connect(
        self, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which a request has begun: its head is sent, its body is not."""
        host, port = self.urls[0].removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(self.head(path, body, headers))
        return reader, writer

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(
    doors: Mapping[str, str], *, listeners: int = 1, held: HeldBytes | None = None
) -> AsyncIterator[Gateway]:
    """A gateway with so many listeners; all of them speak HTTP."""
    pipelines = Pipelines()
    opened = open_doors(pipelines, partition="here", table=doors)
    held = held or HeldBytes()
    parts = GatewayParts(pipelines=pipelines, doors=opened, max_body=MAX_BODY, held=held)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(listeners)]
    stop = StopSignals()
    servers = open_servers(parts, [("http", each) for each in sockets], drain_s=SOON_S)
    stop.serving(servers)
    for server in servers:
        await server.start()
    urls = [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    try:
        async with httpx.AsyncClient(timeout=SOON_S) as client:
            yield Gateway(pipelines, urls, stop, client)
    finally:
        for server in servers:
            await server.stop()
        for listener in sockets:
            listener.close()
    assert held.held == 0


class DoorContract:
    """What every door keeps. A subclass says how its protocol writes a request, and reads an answer and an error."""

    doors: ClassVar[Mapping[str, str]]
    path: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}
    hostile: ClassVar[tuple[bytes, ...]]

    def encoded(self, values: list[int]) -> bytes:
        raise NotImplementedError

    def decoded(self, content: bytes) -> list[int]:
        raise NotImplementedError

    def message(self, content: bytes) -> str:
        raise NotImplementedError

    async def ask(self, gateway: Gateway, values: list[int], *, listener: int = 0) -> httpx.Response:
        return await gateway.post(self.path, self.encoded(values), self.headers, listener=listener)

    def test_a_batch_goes_in_and_its_answer_comes_back(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                gateway.put()
                for values in ([7], [1, -2, 2**40], list(range(500))):
                    reply = await self.ask(gateway, values)
                    assert reply.status_code == 200, reply.content
                    assert self.decoded(reply.content) == [3 * value for value in values]

        asyncio.run(story())

    def test_hostile_bytes_get_a_clean_error(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                _, runner = gateway.put()
                for body in (*self.hostile, b"0" * (MAX_BODY + 1)):
                    reply = await gateway.post(self.path, body, self.headers)
                    assert 400 <= reply.status_code < 500, body[:100]
                    assert self.message(reply.content)
                assert runner.calls == 0
                assert (await self.ask(gateway, [1])).status_code == 200

        asyncio.run(story())

    def test_a_page_of_another_site_gets_no_prediction_and_no_page(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                _, runner = gateway.put()
                for name, value, status in (
                    ("Host", "evil.example", 421),
                    ("Origin", "http://evil.example", 403),
                    ("Origin", "null", 403),
                ):
                    headers = {**self.headers, name: value}
                    reply = await gateway.post(self.path, self.encoded([1]), headers)
                    assert reply.status_code == status
                    assert self.message(reply.content)
                    for page in ("/pipelines", "/healthz", self.path):
                        assert (await gateway.client.get(gateway.urls[0] + page, headers=headers)).status_code == status
                assert runner.calls == 0
                headers = {**self.headers, "Host": "LOCALHOST:1", "Origin": "http://127.0.0.1:3000"}
                assert (await gateway.post(self.path, self.encoded([1]), headers)).status_code == 200

        asyncio.run(story())

    def test_every_kind_of_error_has_a_status_and_a_body(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                _, runner = gateway.put()
                for kind in Kind:
                    runner.error = type("Special", (TrivetError,), {"kind": kind})("it failed", why="on purpose")
                    runner.error.trace = "Traceback (most recent call last): a value of another client"
                    reply = await self.ask(gateway, [1])
                    assert reply.status_code == STATUS[kind]
                    assert "it failed: on purpose" in self.message(reply.content)
                    assert b"Traceback" not in reply.content

        asyncio.run(story())

    def test_a_request_is_counted_and_waited_for(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                live, runner = gateway.put()
                runner.released = asyncio.Event()
                asked = asyncio.create_task(self.ask(gateway, [2]))
                await gateway.until(lambda: runner.calls == 1)
                assert (live.in_flight, live.metrics.in_flight) == (1, 1)
                gateway.put(5)
                drained = asyncio.create_task(gateway.pipelines.drain(live, within_s=SOON_S))
                await asyncio.sleep(0.05)
                assert not drained.done()
                runner.released.set()
                assert self.decoded((await asked).content) == [6]
                await asyncio.wait_for(drained, SOON_S)
                assert (live.in_flight, live.metrics.in_flight, live.metrics.outcomes) == (0, 0, {None: 1})

        asyncio.run(story())

    def test_a_client_that_leaves_has_its_request_cancelled(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                live, runner = gateway.put()
                runner.released = asyncio.Event()
                body = self.encoded([2])
                writers = []
                for _ in range(3):
                    _, writer = await gateway.connect(self.path, body, self.headers)
                    # Two requests on one connection: the second one waits for the answer of the first.
                    writer.write(body + gateway.head(self.path, body, self.headers) + body)
                    writers.append(writer)
                await gateway.until(lambda: runner.calls == 3)
                for writer in writers:
                    writer.close()
                await gateway.until(lambda: live.in_flight == 0)
                runner.released.set()
                assert self.decoded((await self.ask(gateway, [1])).content) == [3]
                assert (runner.calls, runner.answered) == (4, 1)
                assert live.metrics.outcomes == {None: 1}

        asyncio.run(story())

    def test_requests_that_hold_too_much_together_are_refused_at_once(self) -> None:
        async def story() -> None:
            large = self.encoded(list(range(4000)))
            held = HeldBytes(len(large) + 10)
            async with listening(self.doors, held=held) as gateway:
                live, runner = gateway.put()
                _, writer = await gateway.connect(self.path, large, self.headers)
                writer.write(large[:100])
                await gateway.until(lambda: held.held == 100)
                reply = await gateway.post(self.path, large, self.headers)
                assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
                assert "the requests in flight hold too much memory" in self.message(reply.content)
                assert runner.calls == 0
                # A small one has room.
                assert self.decoded((await self.ask(gateway, [2])).content) == [6]
                writer.close()
                await gateway.until(lambda: live.in_flight == 0)
                assert held.held == 0
                assert live.metrics.outcomes == {Kind.OVERLOADED: 1, None: 1}

        asyncio.run(story())

    def test_an_error_is_counted_by_its_kind(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                live, runner = gateway.put()
                await gateway.post(self.path, self.hostile[0], self.headers)
                for error in (Unavailable("gone"), ZeroDivisionError()):
                    runner.error = error
                    await self.ask(gateway, [1])
                assert live.metrics.outcomes == {Kind.INVALID: 1, Kind.UNAVAILABLE: 1, Kind.INTERNAL: 1}
                assert live.in_flight == 0

        asyncio.run(story())

    def test_a_retired_pipeline_gets_no_more_requests(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                first, old = gateway.put(3)
                body = self.encoded([2])
                reader, writer = await gateway.connect(self.path, body, {**self.headers, "Connection": "close"})
                await gateway.until(lambda: first.in_flight == 1)
                second, new = gateway.put(5)
                assert self.decoded((await self.ask(gateway, [1])).content) == [5]
                # The body of the first request comes after the swap.
                writer.write(body)
                content = (await asyncio.wait_for(reader.read(), SOON_S)).partition(b"\r\n\r\n")[2]
                writer.close()
                assert self.decoded(content) == [10]
                assert (old.calls, new.calls) == (0, 2)
                assert (first.in_flight, second.in_flight) == (0, 0)

        asyncio.run(story())

    def test_without_a_pipeline_a_request_gets_the_reason(self) -> None:
        async def story() -> None:
            async with listening(self.doors) as gateway:
                assert (await self.ask(gateway, [1])).status_code == 404
                gateway.pipelines.refuse(PLACE, Unavailable("it is starting"))
                reply = await self.ask(gateway, [1])
                assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
                assert "it is starting" in self.message(reply.content)
                gateway.put()
                assert (await self.ask(gateway, [1])).status_code == 200
                gateway.pipelines.remove(PLACE)
                reply = await self.ask(gateway, [1])
                assert reply.status_code == 404
                assert self.message(reply.content)

        asyncio.run(story())

    def test_its_addresses_are_not_those_of_other_doors(self) -> None:
        pipelines = Pipelines()
        pipelines.put(served(Times(3), "version"))
        doors = open_doors(pipelines, partition="here", table=self.doors)
        paths = [path for door in doors for path in door.addresses()]
        assert len(set(paths)) == len(paths)
        assert self.path in paths

    def test_all_listeners_drain_and_stop_together(self) -> None:
        async def story() -> None:
            async with listening(self.doors, listeners=2) as gateway:
                _, runner = gateway.put()
                runner.released = asyncio.Event()
                asked = [asyncio.create_task(self.ask(gateway, [number], listener=number)) for number in (0, 1)]
                await gateway.until(lambda: runner.calls == 2)
                stopping = asyncio.create_task(gateway.stop.finish(gateway.pipelines, stop_delay_s=0))
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.2)
                assert not stopping.done()
                runner.released.set()
                assert [self.decoded((await each).content) for each in asked] == [[0], [3]]
                await asyncio.wait_for(stopping, SOON_S)
                for listener in (0, 1):
                    with pytest.raises(httpx.ConnectError):
                        await self.ask(gateway, [1], listener=listener)

        asyncio.run(story())
