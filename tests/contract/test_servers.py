"""A second transport beside HTTP is a file and a row: it answers, counts, drains and checks tokens with what HTTP has."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pyarrow as pa
import pytest

from trivet.domain.access import Caller
from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.pipeline import ServedPipeline, ServedStep
from trivet.engine.served import Probe
from trivet.errors import Forbidden, Kind, Unavailable
from trivet.gateway.access import GatewayAccess
from trivet.gateway.doors.table import open_doors
from trivet.gateway.pipelines import Pipelines, Place
from trivet.gateway.servers import SERVERS, GatewayParts, open_servers
from trivet.wiring.process import StopSignals

TABLE = {**SERVERS, "line": "trivet_tests.line_server:LineServer"}
NUMBERS = pa.schema([pa.field("x", pa.int64(), nullable=False)])
MAX_BODY = 2**16
SOON_S = 10
TOKEN = "a-token-of-the-gateway"


class Double:
    """Keeps the contract of `Runner`: twice a number, once `released`."""

    capacity = 1
    input_schema = NUMBERS
    output_schema = NUMBERS

    def __init__(self) -> None:
        self.calls = 0
        self.released = asyncio.Event()
        self.released.set()

    def predict(self, batch: Batch) -> Batch | Awaitable[Batch]:
        self.calls += 1
        return self._answer(batch)

    async def _answer(self, batch: Batch) -> Batch:
        await self.released.wait()
        return Batch(NUMBERS, [batch.numpy(0) * 2], batch.rows)


def served(runner: Double) -> ServedPipeline:
    step = ServedStep(
        name="m", version="v", version_id=1, sha="ab" * 32, framework="onnx", runtime="native", runner=runner
    )
    probe = Probe(runner, canned_batch(NUMBERS), synthetic=True)
    return ServedPipeline(
        name="m", version="v", deployment_id=1, workspace_id=1, steps=(step,), runner=runner, probe=probe, checks=None
    )


@dataclass
class Gateway:
    """A gateway whose listeners have the kinds that a test asks for."""

    pipelines: Pipelines
    addresses: list[tuple[str, int]]
    stop: StopSignals
    runner: Double

    async def line(self, text: str, *, listener: int = 0) -> str:
        """One line over a connection of its own, and its answer."""
        reader, writer = await asyncio.open_connection(*self.addresses[listener])
        writer.write(text.encode() + b"\n")
        answer = await asyncio.wait_for(reader.readline(), SOON_S)
        writer.close()
        return answer.decode().strip()

    async def post(self, *, listener: int = 1, **headers: str) -> httpx.Response:
        host, port = self.addresses[listener]
        async with httpx.AsyncClient(timeout=SOON_S) as client:
            return await client.post(f"http://{host}:{port}/pipelines/m/infer", json=[{"x": 1}], headers=headers)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(
    kinds: Sequence[str] = ("line", "http"), *, access: GatewayAccess | None = None
) -> AsyncIterator[Gateway]:
    pipelines = Pipelines()
    runner = Double()
    pipelines.put(served(runner))
    doors = open_doors(pipelines, partition="here")
    parts = GatewayParts(pipelines=pipelines, doors=doors, max_body=MAX_BODY, access=access)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in kinds]
    addresses = [each.getsockname() for each in sockets]
    stop = StopSignals()
    servers = open_servers(parts, zip(kinds, sockets, strict=True), drain_s=SOON_S, table=TABLE)
    stop.serving(servers)
    for server in servers:
        await server.start()
    try:
        yield Gateway(pipelines, addresses, stop, runner)
    finally:
        for server in servers:
            await server.stop()
        for each in sockets:
            each.close()


def test_both_transports_answer_for_the_same_pipelines() -> None:
    async def story() -> None:
        async with listening() as gateway:
            assert await gateway.line("- m 1 2 3") == "2 4 6"
            assert (await gateway.post()).json()[0]["out"] == {"x": 2}
            assert gateway.pipelines.at(Place("m", 1)).metrics.outcomes == {None: 2}
            gateway.pipelines.refuse(Place("n", 2), Unavailable("it is starting"))
            assert await gateway.line("- n 1") == "unavailable: it is starting"
            assert await gateway.line("- none 1") == "not_found: Deployment not found"

    asyncio.run(story())


def test_listeners_of_one_kind_are_any_number() -> None:
    async def story() -> None:
        async with listening(("http", "line", "http", "line")) as gateway:
            assert [(await gateway.post(listener=each)).status_code for each in (0, 2)] == [200, 200]
            assert [await gateway.line("- m 4", listener=each) for each in (1, 3)] == ["8", "8"]

    asyncio.run(story())


def test_a_request_is_counted_and_waited_for() -> None:
    async def story() -> None:
        async with listening() as gateway:
            live = gateway.pipelines.at(Place("m", 1))
            assert (await gateway.line("- m one")).startswith("invalid: the body is not a number a line: ")
            gateway.runner.released.clear()
            asked = asyncio.create_task(gateway.line("- m 5"))
            await gateway.until(lambda: gateway.runner.calls == 1)
            assert (live.in_flight, live.metrics.in_flight) == (1, 1)
            gateway.pipelines.put(served(Double()))
            drained = asyncio.create_task(gateway.pipelines.drain(live, within_s=SOON_S))
            await asyncio.sleep(0.05)
            assert not drained.done()
            gateway.runner.released.set()
            assert await asked == "10"
            await asyncio.wait_for(drained, SOON_S)
            assert live.in_flight == 0
            assert live.metrics.outcomes == {Kind.INVALID: 1, None: 1}

    asyncio.run(story())


def test_a_signal_stops_both_once_their_requests_are_answered() -> None:
    async def story() -> None:
        async with listening() as gateway:
            gateway.runner.released.clear()
            asked = asyncio.gather(gateway.line("- m 7"), gateway.post())
            await gateway.until(lambda: gateway.runner.calls == 2)
            stopping = asyncio.create_task(gateway.stop.finish(gateway.pipelines, stop_delay_s=0))
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.2)
            assert not stopping.done()
            gateway.runner.released.set()
            line, reply = await asked
            assert (line, reply.status_code) == ("14", 200)
            await asyncio.wait_for(stopping, SOON_S)
            with pytest.raises(ConnectionError):
                await gateway.line("- m 1")

    asyncio.run(story())


def test_both_check_tokens_with_one_access() -> None:
    async def story() -> None:
        async with listening(access=GatewayAccess([TOKEN])) as gateway:
            for token, header, text in (
                ("-", {}, "the request has no token"),
                ("wrong", {"Authorization": "Bearer wrong"}, "the token is not one that is taken"),
            ):
                assert await gateway.line(f"{token} m 1") == f"unauthorized: {text}"
                reply = await gateway.post(**header)
                assert (reply.status_code, reply.json()["error"]) == (401, text)
            assert gateway.runner.calls == 0
            assert await gateway.line(f"{TOKEN} m 1") == "2"
            assert (await gateway.post(Authorization=f"Bearer {TOKEN}")).status_code == 200

    asyncio.run(story())


def test_a_caller_without_a_role_gets_no_prediction() -> None:
    class Guests(GatewayAccess):
        """Accepts everyone, as callers who may do nothing."""

        def caller(self, _authorization: bytes | None) -> Caller:
            return Caller(name="guest")

    async def story() -> None:
        text = "'guest' may not request predictions: no role of this caller allows it"
        async with listening(access=Guests([TOKEN])) as gateway:
            assert await gateway.line("- m 1") == f"{Forbidden.kind}: {text}"
            reply = await gateway.post()
            assert (reply.status_code, reply.json()["error"]) == (403, text)
            assert gateway.runner.calls == 0
            assert gateway.pipelines.at(Place("m", 1)).in_flight == 0

    asyncio.run(story())


def test_a_request_that_was_taken_has_its_caller() -> None:
    async def story() -> None:
        async with listening() as gateway:
            client = GatewayAccess([TOKEN]).caller(f"Bearer {TOKEN}".encode())
            with gateway.pipelines.taken(Place("m", 1), client) as taken:
                assert taken.caller is client
            with gateway.pipelines.taken(Place("m", 1)) as taken:
                assert taken.caller is None

    asyncio.run(story())
