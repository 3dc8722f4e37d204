"""What all requests in flight hold together is bounded, and nothing of a request is counted after its end."""

import asyncio
import gzip
import json

import pyarrow as pa
import pytest

from trivet.domain.held_bytes import HeldBytes
from trivet.domain.schema import parse_schema
from trivet.errors import Overloaded, TooLarge
from trivet.gateway.allowance import Allowance
from trivet.gateway.doors.table import open_doors
from trivet.gateway.http.app import GatewayApp
from trivet.gateway.pipelines import Pipelines
from trivet_tests.asgi import request_scope

MIB = 2**20
SCHEMA = parse_schema("x: float64")
WIDE = parse_schema("y: float64[1000]")
RECORDS = b"application/json"


class Waiting:
    """Keeps the contract of `Runner`: it answers never."""

    capacity = 1
    input_schema = SCHEMA
    output_schema = WIDE

    def __init__(self):
        self.calls = 0

    async def predict(self, _batch):
        self.calls += 1
        await asyncio.Event().wait()


class Client:
    """One request in a running loop; its body comes in pieces when they are sent."""

    def __init__(self, app, *pieces, length=None, content_type=RECORDS, encoding=b"", whole=True):
        self.sent = []
        self.reads = 0
        self._pieces = list(pieces)
        self._whole = whole
        headers = [(b"content-type", content_type)]
        headers += [(b"content-length", b"%d" % length)] if length else []
        headers += [(b"content-encoding", encoding)] if encoding else []
        self.scope = request_scope(headers=headers)
        self.task = asyncio.ensure_future(app(self.scope, self._receive, self._send))

    async def _receive(self):
        self.reads += 1
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._whole}

    async def _send(self, message):
        self.sent.append(message)

    async def refusal(self):
        """The status and the body of an error that is answered at once."""
        async with asyncio.timeout(60):
            await self.task
        return self.sent[0]["status"], json.loads(self.sent[1]["body"])

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.001)

    async def leave(self):
        self.scope["state"]["on_left"]()
        await self.task


@pytest.fixture
def gateway(pipeline_around):
    """A gateway whose requests may hold so much; gives the application, its count and the runner."""

    def make(mib):
        pipelines, held, runner = Pipelines(), HeldBytes(int(mib * MIB)), Waiting()
        pipelines.put(pipeline_around(runner, name="model"))
        app = GatewayApp(pipelines, open_doors(pipelines, partition=""), max_body=8 * MIB, held=held)
        return app, held, runner

    return make


def test_bodies_that_are_still_arriving_count(gateway):
    async def story():
        app, held, _ = gateway(4)
        slow = [Client(app, bytes(MIB), bytes(MIB // 2), whole=False) for _ in range(2)]
        await slow[1].until(lambda: held.held >= 3 * MIB)
        assert held.held == 3 * MIB
        status, body = await Client(app, bytes(MIB), bytes(MIB), whole=False).refusal()
        assert (status, body["reason"]) == (429, "memory_held")
        assert body["error"] == (
            "the requests in flight hold too much memory: they hold 4 MiB, and this one needs 1 MiB more; the limit is 4 MiB"
        )
        assert body["fix"] == "send it again later, send less at once, or raise TRIVET_MAX_HELD_MIB"
        for client in slow:
            await client.leave()
        assert held.held == 0

    asyncio.run(story())


def test_a_body_without_room_is_refused_before_it_arrives(gateway):
    async def story():
        app, held, _ = gateway(4)
        slow = Client(app, bytes(2 * MIB), whole=False)
        await slow.until(lambda: held.held >= 2 * MIB)
        late = Client(app, length=3 * MIB)
        assert ((await late.refusal())[0], late.reads) == (429, 0)
        # One that would never have room need not come again.
        large = Client(app, length=5 * MIB)
        status, body = await large.refusal()
        assert (status, body["reason"], large.reads) == (413, "too_large", 0)
        assert body["error"] == "the request needs too much memory: it needs 5 MiB; the limit is 4 MiB"
        await slow.leave()
        assert held.held == 0

    asyncio.run(story())


def test_rows_and_their_outputs_count_until_the_answer(gateway):
    async def story():
        app, held, runner = gateway(4)
        small = Client(app, b'[{"x":1.0}]')
        await small.until(lambda: runner.calls == 1)
        assert held.held == 0
        await small.leave()
        runner.calls = 0
        body = json.dumps([{"x": 1.0}] * 300).encode()
        first = Client(app, body)
        await first.until(lambda: runner.calls == 1)
        assert held.held == 300 * 8 + 300 * 8000
        assert (await Client(app, body).refusal())[0] == 429
        assert runner.calls == 1
        await first.leave()
        assert held.held == 0

    asyncio.run(story())


def test_compressed_bodies_count_as_they_are_inflated(gateway):
    async def story():
        app, held, runner = gateway(5)
        body = gzip.compress(b" " * MIB + b'[{"x":1}]', 0)
        first = Client(app, body, encoding=b"gzip")
        await first.until(lambda: runner.calls == 1)
        before = held.held
        assert before > 2 * MIB
        body = gzip.compress(b" " * (MIB + MIB // 2) + b'[{"x":1}]', 0)
        assert (await Client(app, body, encoding=b"gzip").refusal())[0] == 429
        assert (runner.calls, held.held) == (1, before)
        await first.leave()
        assert held.held == 0

    asyncio.run(story())


def test_large_json_counts_as_what_it_is_decoded_to(gateway):
    async def story():
        app, held, runner = gateway(8)
        status, body = await Client(app, b'[{"x":[' + b"[]," * MIB + b"[]]}]").refusal()
        assert (status, body["reason"]) == (413, "too_large")
        assert (runner.calls, held.held) == (0, 0)

    asyncio.run(story())


def test_columns_that_rows_leave_out_count():
    held = HeldBytes(MIB)
    with Allowance(held=held) as allowance:
        allowance.arrive(100)
        allowance.spend(MIB // 2, "large", fix="less")
        with pytest.raises(TooLarge):
            allowance.spend(MIB // 2, "large", fix="less")
        with Allowance(held=held) as other, pytest.raises(Overloaded):
            other.hold(MIB // 2)
        allowance.decode_again()
        assert held.held == 100
    assert held.held == 0


def test_compressed_arrow_counts_as_what_it_becomes(gateway):
    async def story():
        app, held, runner = gateway(1)
        sink = pa.BufferOutputStream()
        table = pa.table({"x": [1.0], "more": [[0.0] * 75_000]})
        with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write(table)
        body, file = bytes(sink.getvalue()), b"application/vnd.apache.arrow.file"
        first = Client(app, body, content_type=file)
        await first.until(lambda: runner.calls == 1)
        assert held.held > 600_000
        assert (await Client(app, body, content_type=file).refusal())[0] == 429
        await first.leave()
        assert held.held == 0

    asyncio.run(story())
