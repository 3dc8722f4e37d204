"""HTTP/1.1 by uvicorn, for the gateway and the control API: with one system call an answer instead of two, and a limit on what a request's head may hold.

uvicorn writes the head of an answer and its body separately, and each write is a system call that wakes the reader. Here what is
written within one turn of the event loop leaves together.

It uses attributes that uvicorn does not promise (`scope`, `cycle`, `timeout_keep_alive_task`), and so does `draining`
(`server_state`): pyproject.toml bounds uvicorn's version for that reason.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["GatewayProtocol"]

MOST_HEAD_BYTES = 2**19
SLOWEST_HEAD_S = 60.0


class _GatheringTransport:
    """A transport that holds back what is written until the turn of the event loop ends.

    Everything else goes straight to the transport below.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes | memoryview] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        """Send soon."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.writelines(held)


class GatewayProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a gathering transport, with limits on a request's head: its size, and the time it takes.

    uvicorn's parser would keep a head without end, and a connection on which none ever comes.
    """

    slowest_head_s = SLOWEST_HEAD_S
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(_GatheringTransport(transport, self.loop))  # type: ignore[arg-type]
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; refuse a head that is still not whole after so many bytes."""
        super().data_received(data)
        scope: Any = self.scope  # None until a request begins
        # uvicorn names the method once the head is whole. A piece may hold the end of an earlier body, so what a head began
        # with counts as well, and the limit is a coarse one.
        if scope is None:
            return
        if "method" in scope:
            self._head_bytes = 0
            # Empty lines after an answer end uvicorn's own waiting for the next request, and begin none.
            if not self.cycle.response_complete or self.timeout_keep_alive_task is not None:
                self._stop_head_timer()
            else:
                self._start_head_timer()
            return
        self._start_head_timer()
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request's head is larger than {MOST_HEAD_BYTES // 2**10} KiB.")

    def _head_is_late(self) -> None:
        self._head_timer = None
        scope: Any = self.scope
        cycle: Any = self.cycle  # None until a request's head is whole
        if self.transport.is_closing():
            return
        if cycle is not None and not cycle.response_complete:
            self._start_head_timer()  # it is the next one's, and the answer goes first
        elif scope is None or "method" in scope:
            self.transport.close()
        else:
            self.send_400_response(f"The request's head did not come within {self.slowest_head_s:g} s.")

    def _start_head_timer(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.slowest_head_s, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
