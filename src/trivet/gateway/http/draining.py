"""uvicorn's server with a stop that answers what is in flight, and does not wait for idle clients."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from trivet.gateway.http.rate_limited_log import RepeatLimit

__all__ = ["DrainingServer"]

CLOSE_NOTIFY_S = 1.0


class DrainingServer(uvicorn.Server):
    """uvicorn without its signal handlers: the owner of the loop has them. Its stop does not wait for idle TLS clients.

    While it serves, uvicorn logs what every malformed request would log once a second at most.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone; limit what is logged until the server ends."""
        logger, limit = logging.getLogger("uvicorn.error"), RepeatLimit()
        logger.addFilter(limit)
        try:
            yield
        finally:
            logger.removeFilter(limit)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection once its requests are answered."""
        hanging_up = asyncio.create_task(self._hang_up())
        try:
            await super().shutdown(sockets)
        finally:
            hanging_up.cancel()

    async def _hang_up(self) -> None:
        """Abort connections whose client does not close TLS: an idle one does so only half a minute later."""
        closing: set[Any] = set()
        while True:
            ending = {each for each in self.server_state.connections if _has_sent_all(each.transport)}
            for connection in closing & ending:
                connection.transport.abort()
            closing = ending
            await asyncio.sleep(CLOSE_NOTIFY_S)


def _has_sent_all(transport: asyncio.WriteTransport) -> bool:
    return transport.is_closing() and transport.get_write_buffer_size() == 0
