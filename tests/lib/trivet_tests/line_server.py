"""A transport that is as small as one can be, beside HTTP: `TOKEN PIPELINE NUMBER…`, a line in and a line out, over TCP."""

import asyncio
import contextlib
import socket

from trivet.errors import Internal, TrivetError
from trivet.gateway.allowance import Allowance
from trivet.gateway.answer import Answer, BatchInputs
from trivet.gateway.certificates import ServerTls
from trivet.gateway.pipelines import Place
from trivet.gateway.servers import GatewayParts
from trivet_tests.text_door import TextExchange

__all__ = ["LineServer"]


class LineServer:
    """See `Server`."""

    def __init__(
        self,
        parts: GatewayParts,
        listener: socket.socket,
        *,
        drain_s: float,
        tls: ServerTls | None = None,
    ) -> None:
        self._parts = parts
        self._listener = listener
        self._drain_s = drain_s
        self._context = None if tls is None else tls.context
        self._connections: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, sock=self._listener, limit=self._parts.max_body, ssl=self._context
        )

    async def stop(self) -> None:
        self._server.close()
        if self._answering:
            await asyncio.wait(self._answering, timeout=self._drain_s)
        self.stop_now()
        if self._connections:
            await asyncio.wait(self._connections)

    def stop_now(self) -> None:
        for task in (*self._answering, *self._connections):
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            while line := await reader.readline():
                answering = asyncio.create_task(self._answer(line, writer))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)
                await asyncio.wait([answering])
        except asyncio.CancelledError:
            pass
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            content = await self._predict(line)
        except TrivetError as error:
            content = f"{error.kind}: {error.message}".encode()
        except Exception:  # noqa: BLE001 - the edge: whatever happened becomes an answer
            content = f"{Internal.kind}: internal".encode()
        with contextlib.suppress(ConnectionError):
            writer.write(content + b"\n")
            await writer.drain()

    async def _predict(self, line: bytes) -> bytes:
        token, name, body = (line.strip() + b"  ").split(b" ", 2)
        access = self._parts.access
        caller = None if access is None else access.caller(None if token == b"-" else b"Bearer " + token)
        pipelines = self._parts.pipelines
        places = [place for place in pipelines.places if place.name == name.decode()]
        place = places[0] if places else Place(name.decode(), None)
        with Allowance(held=self._parts.held) as allowance, pipelines.taken(place, caller) as taken:
            allowance.arrive(len(body))
            exchange = LineExchange(taken.pipeline.pipeline.runner.input_schema)
            return await taken.pipeline.answer(exchange, body, allowance)


class LineExchange(TextExchange):
    """See `Exchange`."""

    def write(self, answer: Answer[BatchInputs]) -> bytes:
        return super().write(answer).replace(b"\n", b" ")
