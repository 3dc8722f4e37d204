"""The supervisor's end of the gateway's socket: sends the routes, receives their states."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from trivet.disk.peers import Peers
from trivet.domain.encoding import decode, encode
from trivet.domain.pauses import doubling_s
from trivet.domain.routes import EndWorker, GatewayMessage, GatewayReport, RouteTable, WorkerAddress, WorkerEnded
from trivet.errors import TrivetError

__all__ = ["GatewayChannel"]

log = logging.getLogger(__name__)

MOST_LINE_BYTES = 2**27
FIRST_PAUSE_S = 0.02
MOST_PAUSE_S = 1.0


class GatewayChannel:
    """Stays connected to the gateway. Call it in the event loop's thread.

    A table is complete, so only the newest is sent, also at the start of each connection.

    Args:
        peers: how to reach the gateway.
        on_change: called with each report, and when the connection ends.
        on_end: called with each worker that the gateway requests to end.
    """

    def __init__(
        self,
        peers: Peers,
        *,
        on_change: Callable[[], None],
        on_end: Callable[[WorkerAddress], None] = lambda _: None,
    ) -> None:
        self._peers = peers
        self._on_change = on_change
        self._on_end = on_end
        self._report: GatewayReport | None = None
        self._table: RouteTable | None = None
        self._native_faults: dict[str, str] = {}
        self._writer: asyncio.StreamWriter | None = None

    @property
    def report(self) -> GatewayReport | None:
        """The newest report of this connection; None without one."""
        return self._report

    @property
    def table(self) -> RouteTable | None:
        """The newest offered table."""
        return self._table

    @property
    def native_faults(self) -> Mapping[str, str]:
        """Versions that ended or blocked a gateway, by UUID, with how. Safe to read in any thread."""
        return self._native_faults

    def offer(self, table: RouteTable) -> None:
        """Send the routes, now or as soon as the gateway is reachable."""
        self._table = table
        if self._report is not None:
            self._send(table)

    def worker_ended(self, end: WorkerEnded) -> None:
        """Report how a worker ended. An unreachable gateway holds no requests of it."""
        self._send(end)

    async def run(self) -> None:
        """Connect, and reconnect, until cancelled."""
        failures = 0
        while True:
            try:
                reader, writer = await self._peers.open("gateway", most_line_bytes=MOST_LINE_BYTES)
            except OSError:
                await asyncio.sleep(_pause_s(failures))
                failures += 1
                continue
            try:
                await self._listen(reader, writer)
            except (OSError, ValueError, TrivetError) as error:
                # A line that is too long is a ValueError.
                log.warning("the connection to the gateway ended: %s", error)
            finally:
                connected = self._report is not None
                self._writer = self._report = None
                writer.close()
                self._on_change()
            failures = 0 if connected else failures + 1
            await asyncio.sleep(_pause_s(failures))

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        while line := await reader.readline():
            message: GatewayMessage = decode(line, GatewayMessage)  # type: ignore[arg-type]
            if isinstance(message, EndWorker):
                self._on_end(message.worker)
            if not isinstance(message, GatewayReport):
                continue
            first, self._report = self._report is None, message
            self._native_faults = {**self._native_faults, **message.native_faults}
            if first and self._table is not None:
                self._send(self._table)
            self._on_change()

    def _send(self, message: RouteTable | WorkerEnded) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError, RuntimeError):  # the connection is ending: the reader handles that
                self._writer.write(encode(message) + b"\n")


def _pause_s(failures: int) -> float:
    return doubling_s(failures, first_s=FIRST_PAUSE_S, most_s=MOST_PAUSE_S)
