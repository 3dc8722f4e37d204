"""Shared by the platform's processes: the event loop, the name, the signals."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from trivet.wiring.signals import end_signals

if TYPE_CHECKING:
    from trivet.gateway.pipelines import Pipelines
    from trivet.gateway.servers import Server

__all__ = ["StopSignals", "event_loops", "process_name"]


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP, for the length of an event loop: the first one asks to finish, the second to hurry.

    Args:
        before: called at the first signal before `serving` is: no request has to be finished yet.
    """

    def __init__(self, before: Callable[[], object] | None = None) -> None:
        self._requested = asyncio.Event()
        self._at_once = asyncio.Event()
        self._before = before
        self._servers: Sequence[Server] = ()
        loop = asyncio.get_running_loop()
        for number in end_signals():
            loop.add_signal_handler(number, self._arrived)

    @property
    def requested(self) -> bool:
        """Whether a signal arrived."""
        return self._requested.is_set()

    def serving(self, servers: "Sequence[Server]") -> None:
        """From now on there are requests to finish on these servers."""
        self._before = None
        self._servers = servers

    async def finish(self, pipelines: "Pipelines", *, stop_delay_s: float) -> None:
        """Wait for the first signal, then report "not ready" for a while, and finish the requests in flight."""
        await self._requested.wait()
        pipelines.begin_stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._at_once.wait(), stop_delay_s)
        await asyncio.gather(*(server.stop() for server in self._servers))

    def _arrived(self) -> None:
        if self._before is not None:
            self._before()
        elif self._requested.is_set():
            self._at_once.set()
            for server in self._servers:
                server.stop_now()
        self._requested.set()


def event_loops() -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory of event loops: uvloop if it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def process_name() -> str:
    """Names this process in answers and reports."""
    return f"trivet-{socket.gethostname()}-{os.getpid()}"
