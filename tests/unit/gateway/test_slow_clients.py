"""Connections on which a request does not come: they end by themselves."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.server import ServerState

from trivet.domain.held_bytes import HeldBytes
from trivet.gateway.http.uvicorn_protocol import MOST_HEAD_BYTES, connections

LIMIT_S = 0.3
LARGE = 64 * 2**20
WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def answers(scope, receive, send):
    await asyncio.sleep(2 * LIMIT_S if scope["path"] == "/slow" else 0)
    body = bytes(LARGE) if scope["path"] == "/large" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected(state=None, held=None):
    make = connections(held=held or HeldBytes(), client_timeout_s=LIMIT_S)
    config = uvicorn.Config(
        answers, loop="none", http=make, lifespan="off", ws="none", log_config=None, timeout_keep_alive=5
    )
    config.load()
    state = state or ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: make(config=config, server_state=state, app_state={}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()
        await server.wait_closed()


async def rest(reader):
    return await asyncio.wait_for(reader.read(), 10 * LIMIT_S)


@pytest.mark.parametrize(
    ("sent", "told"), [(b"", b""), (b"\r\n", b""), (b"GE", b"did not come"), (WHOLE[:-2], b"did not come")]
)
def test_a_head_that_does_not_come_ends_the_connection(sent, told):
    async def story():
        async with connected() as (reader, writer):
            writer.write(sent)
            said = await rest(reader)
            assert told in said
            assert said.startswith(b"HTTP/1.1 400") or not told

    asyncio.run(story())


def test_drops_of_a_head_do_not_keep_a_connection():
    async def story():
        async with connected() as (reader, writer):
            writer.write(WHOLE + WHOLE[:5])
            drops = asyncio.create_task(drip(writer))
            said = await rest(reader)
            drops.cancel()
            assert said.startswith(b"HTTP/1.1 200")
            assert b"did not come" in said

    async def drip(writer):
        while True:
            await asyncio.sleep(LIMIT_S / 4)
            writer.write(b"a")

    asyncio.run(story())


def test_empty_lines_after_an_answer_do_not_keep_a_connection():
    async def story():
        async with connected() as (reader, writer):
            writer.write(WHOLE)
            await reader.readuntil(b"ok")
            lines = asyncio.create_task(drip(writer))
            assert await rest(reader) == b""
            lines.cancel()

    async def drip(writer):
        while True:
            writer.write(b"\r\n")
            await asyncio.sleep(LIMIT_S / 4)

    asyncio.run(story())


def test_complete_requests_are_answered_late_and_the_connection_stays():
    async def story():
        async with connected() as (reader, writer):
            for path in (b"/", b"/slow", b"/"):
                writer.write(WHOLE.replace(b"/", path, 1))
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
                await asyncio.sleep(1.5 * LIMIT_S)
            # The head of the next one comes while an answer is being made: that answer is not cut.
            writer.write(WHOLE.replace(b"/", b"/slow", 1) + WHOLE[:5])
            assert (await rest(reader)).startswith(b"HTTP/1.1 200")

    asyncio.run(story())


def test_heads_count_among_what_all_requests_hold():
    async def story():
        held = HeldBytes(MOST_HEAD_BYTES)
        async with connected(held=held) as (reader, writer), connected(held=held) as (other_reader, other_writer):
            writer.write(WHOLE[:-2] + b"A: " + b"a" * (MOST_HEAD_BYTES // 2))
            async with asyncio.timeout(60):
                while held.held < MOST_HEAD_BYTES // 2:
                    await asyncio.sleep(0.001)
            other_writer.write(WHOLE[:-2] + b"A: " + b"a" * (MOST_HEAD_BYTES // 2))
            said = await rest(other_reader)
            assert said.startswith(b"HTTP/1.1 429 ")
            assert b"\r\nretry-after: 1\r\n" in said
            writer.write(b"\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            assert held.held == 0

    asyncio.run(story())


def test_a_client_that_does_not_read_its_answer_is_dropped():
    async def story():
        state, held = ServerState(), HeldBytes()
        async with connected(state, held) as (reader, writer):
            writer.transport.pause_reading()
            writer.write(WHOLE.replace(b"/", b"/large", 1))
            await writer.drain()
            async with asyncio.timeout(60):
                while state.total_requests == 0:
                    await asyncio.sleep(0.001)
                most = held.held
                while state.connections:
                    await asyncio.sleep(0.02)
            # What was not read counted among what all requests hold, after its request had ended.
            assert LARGE / 2 < most <= LARGE
            assert held.held == 0
            writer.transport.resume_reading()
            try:
                said = await asyncio.wait_for(reader.read(2 * LARGE), 60)
                while piece := await asyncio.wait_for(reader.read(2**20), 60):
                    said += piece
            except ConnectionError:
                said = b""
            assert len(said) < LARGE

    asyncio.run(story())
