"""uvicorn's server with a stop that answers what is in flight and then waits for nobody."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

__all__ = ["DrainingServer"]

GOODBYE_S = 1.0


class DrainingServer(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the loop handles signals. Its stop waits for no idle TLS client."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection once its requests are answered."""
        hanging_up = asyncio.create_task(self._hang_up())
        try:
            await super().shutdown(sockets)
        finally:
            hanging_up.cancel()

    async def _hang_up(self) -> None:
        """TLS ends with a goodbye of both sides; a client with an idle connection sends its own only half a minute later."""
        parting: set[Any] = set()
        while True:
            ending = {each for each in self.server_state.connections if _has_said_all(each.transport)}
            for connection in parting & ending:
                connection.transport.abort()
            parting = ending
            await asyncio.sleep(GOODBYE_S)


def _has_said_all(transport: asyncio.WriteTransport) -> bool:
    return transport.is_closing() and transport.get_write_buffer_size() == 0
