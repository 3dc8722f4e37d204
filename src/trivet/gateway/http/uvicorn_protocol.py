"""HTTP/1.1 by uvicorn, for the gateway and the control API: with one system call an answer instead of two, and a limit on what a request's head may hold.

uvicorn writes the head of an answer and its body separately, and each write is a system call that wakes the reader. Here what is
written within one turn of the event loop leaves together.

It uses attributes that uvicorn does not promise (`scope`, `cycle`, `timeout_keep_alive_task`, `_start_asgi_task`, those of a cycle), and
so does `draining` (`server_state`): pyproject.toml bounds uvicorn's version for that reason.
"""

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from trivet.domain.held_bytes import HeldBytes
from trivet.gateway.allowance import Allowance

__all__ = ["GatewayProtocol", "connections"]

MOST_HEAD_BYTES = 2**19
# A client that reads this much within the time is slow, and not gone.
LEAST_READ_BYTES = 2**18
# A copy of so few bytes takes less time than a second buffer.
SMALL_CONTENT = 2**13
OK_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n\r\n"
TOO_MUCH_HELD = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _GatheringTransport:
    """A transport that holds back what is written until the turn of the event loop ends.

    Everything else goes straight to the transport below.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, slowest_read_s: float) -> None:
        self._transport = transport
        self._loop = loop
        self._slowest_read_s = slowest_read_s
        self._held: list[bytes | memoryview] = []
        self._written = 0
        self._unread_timer: asyncio.TimerHandle | None = None

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
        transport = self._transport
        if held and not transport.is_closing():
            if len(held) == 1:
                self._written += len(held[0])
                transport.write(held[0])
            else:
                self._written += sum(map(len, held))
                transport.writelines(held)
            if self._unread_timer is None and transport.get_write_buffer_size():
                self._watch_reader()

    def _watch_reader(self) -> None:
        unread = self._transport.get_write_buffer_size()
        goal = self._written - unread + min(unread, LEAST_READ_BYTES)
        self._unread_timer = self._loop.call_later(self._slowest_read_s, self._check_reader, goal)

    def _check_reader(self, goal: int) -> None:
        """Drop a client that does not read its answer, because the answer is held until it does."""
        self._unread_timer = None
        unread = self._transport.get_write_buffer_size()
        if self._written - unread < goal:
            self._transport.abort()
        elif unread:
            self._watch_reader()


class GatewayProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a gathering transport, with limits on a request's head: its size, and the time it takes.

    uvicorn's parser would keep a head without end, and a connection on which none ever comes.

    ASGI's messages take a small request as long as the model does, because uvicorn checks each of them. An application finds this
    object as `connection` in the `state` of a scope, and uses `whole_body` and `answer` where nothing has to be waited for.

    Args:
        about: uvicorn's own arguments.
        held: what all requests of the process hold: heads and answers that are not read count here.
        client_timeout_s: how long a client may take to send a head, and to read a piece of its answer.
    """

    _head_bytes = 0
    _unread = 0
    _head_timer: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None

    def __init__(self, *, held: HeldBytes, client_timeout_s: float, **about: Any) -> None:
        super().__init__(**about)
        self._held = held
        self._client_timeout_s = client_timeout_s
        self.app_state = {**self.app_state, "connection": self}

    def whole_body(self, allowance: Allowance) -> bytes | None:
        """The body of the request that is being answered, if it has come as a whole; None if `receive` has to wait.

        Raises as `Allowance.arrive` does.
        """
        cycle = self._answering
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        self.flow.resume_reading()
        cycle.message_event.clear()
        body = bytes(cycle.body)
        cycle.body = bytearray()
        allowance.arrive(len(body), is_whole=True)
        return body

    def answer(self, content: bytes | memoryview, content_type: bytes, request_id: bytes) -> bool:
        """Answer the request with status 200. Neither the type nor the id may hold what HTTP does not allow in a header.

        Returns:
            False if `send` has to do it: it waits for a client that does not read, and closes the connection.
        """
        cycle = self._answering
        if cycle is None or cycle.disconnected or not cycle.keep_alive or self.flow.write_paused:
            return False
        cycle.response_started = True
        head = OK_HEAD % (content_type, len(content), request_id)
        if len(content) <= SMALL_CONTENT:
            self.transport.write(head + content)
        else:
            self.transport.write(head)
            self.transport.write(content)
        cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(_GatheringTransport(transport, self.loop, self._client_timeout_s))  # type: ignore[arg-type]
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. If its request is being answered, `on_left` in the `state` of its scope is called, where it is set."""
        self._stop_head_timer()
        self._hold_head(0)
        super().connection_lost(exc)
        self._hold_unread(0)
        answering = self._answering
        if answering is not None and not answering.response_complete:
            # With pipelining it is not the last request, which is the only one that uvicorn marks.
            answering.disconnected = True
            on_left = answering.scope["state"].get("on_left")
            if on_left is not None:
                on_left()

    def data_received(self, data: bytes) -> None:
        """Take what came; refuse a head that is still not whole after so many bytes."""
        super().data_received(data)
        scope: Any = self.scope  # None until a request begins
        # uvicorn names the method once the head is whole. A piece may hold the end of an earlier body, so what a head began
        # with counts as well, and the limit is a coarse one.
        if scope is None:
            return
        if "method" in scope:
            if self._head_bytes:
                self._hold_head(0)
            # Empty lines after an answer end uvicorn's own waiting for the next request, and begin none.
            if not self.cycle.response_complete or self.timeout_keep_alive_task is not None:
                if self._head_timer is not None:
                    self._stop_head_timer()
            else:
                self._start_head_timer()
            return
        self._start_head_timer()
        self._hold_head(self._head_bytes + len(data))
        if self.transport.is_closing():
            return
        if self._head_bytes > MOST_HEAD_BYTES:
            self.send_400_response(f"The request's head is larger than {MOST_HEAD_BYTES // 2**10} KiB.")
        elif self._held.held > self._held.most:
            # No application knows a request without a whole head, so the answer has no form of its own.
            self.transport.write(TOO_MUCH_HELD)
            self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read as fast as its answer is written: what it has not read is held, also once the answer is complete."""
        super().pause_writing()
        self._hold_unread(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has read nearly all."""
        self._hold_unread(0)
        super().resume_writing()

    def _hold_head(self, nbytes: int) -> None:
        self._held.add(nbytes - self._head_bytes)
        self._head_bytes = nbytes

    def _hold_unread(self, nbytes: int) -> None:
        self._held.add(nbytes - self._unread)
        self._unread = nbytes

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

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
            self.send_400_response(f"The request's head did not come within {self._client_timeout_s:g} s.")

    def _start_head_timer(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._client_timeout_s, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def connections(*, held: HeldBytes, client_timeout_s: float) -> type[asyncio.Protocol]:
    """What uvicorn makes a connection's protocol with: see `GatewayProtocol`."""
    return cast("type[asyncio.Protocol]", partial(GatewayProtocol, held=held, client_timeout_s=client_timeout_s))
