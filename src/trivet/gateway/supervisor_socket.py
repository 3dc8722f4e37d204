"""The gateway's socket: the supervisor sends the table of routes, and receives their states.

Each message is one JSON line, a value of `trivet.domain.routes`. Table numbers are per connection: a restarted supervisor takes
precedence over the one before it, with any number.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Self

from trivet.disk.peers import Peers, PeerSocket
from trivet.domain.encoding import decode, encode
from trivet.domain.routes import (
    AskStatistics,
    EndWorker,
    Flushed,
    FlushLogs,
    GatewayMessage,
    GatewayReport,
    RouteState,
    RouteTable,
    StatisticsAnswer,
    ToGateway,
    WorkerAddress,
    WorkerEnded,
)
from trivet.domain.statistics import PipelineStatistics
from trivet.errors import TrivetError

__all__ = ["GatewaySocket"]

log = logging.getLogger(__name__)

MOST_LINE_BYTES = 2**27
MOST_UNREAD_BYTES = 2**27


class _Peer:
    """One connection.

    Attributes:
        order: the number of the connection; a table from an older one than the last sender's is outdated.
        number: of the newest table that it sent.
    """

    def __init__(self, order: int, writer: asyncio.StreamWriter) -> None:
        self.order = order
        self.number = 0
        self._writer = writer

    def send(self, message: GatewayMessage) -> None:
        """Send a message. A client that does not read is disconnected."""
        self._writer.write(encode(message) + b"\n")
        if self._writer.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self.disconnect()

    def disconnect(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()


class GatewaySocket:
    """Listens for supervisors, for the length of an `async with` block.

    Args:
        peers: how the supervisor reaches it.
        name: of this process.
        states: the current state of each deployment.
        take_table: called with each new table, one after the other.
        take_end: called with each worker that ended.
        to_end: workers that each new supervisor has to end.
        flush: flushes the inference log, and returns whether all rows are in it.
        native_faults: versions that are to run in workers from now on, by UUID, with the reason.
        statistics: what was measured of each pipeline.
    """

    def __init__(
        self,
        peers: Peers,
        *,
        name: str,
        states: Callable[[], tuple[RouteState, ...]],
        take_table: Callable[[RouteTable], Awaitable[None]],
        take_end: Callable[[WorkerEnded], None],
        to_end: Callable[[], Iterable[WorkerAddress]] = tuple,
        flush: Callable[[], Awaitable[bool]],
        native_faults: Mapping[str, str] = MappingProxyType({}),
        statistics: Callable[[], tuple[PipelineStatistics, ...]] = tuple,
    ) -> None:
        self._socket = PeerSocket(peers, "gateway", serve=self._serve, most_line_bytes=MOST_LINE_BYTES)
        self._name = name
        self._states = states
        self._take_table = take_table
        self._take_end = take_end
        self._to_end = to_end
        self._flush = flush
        self._native_faults = dict(native_faults)
        self._statistics = statistics
        self._peers: set[_Peer] = set()
        self._connections = 0
        self._authority = 0
        self._in_order = asyncio.Lock()
        self._reported: tuple[RouteState, ...] | None = None

    async def __aenter__(self) -> Self:
        await self._socket.__aenter__()
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self._socket.__aexit__(*problem)

    def report(self) -> None:
        """Send the states to every supervisor, if they have changed."""
        states = self._states()
        if states == self._reported:
            return
        self._reported = states
        for peer in self._peers:
            self._send_report(peer)

    def end_worker(self, worker: WorkerAddress) -> None:
        """Tell every connected supervisor to end a worker."""
        for peer in self._peers:
            peer.send(EndWorker(worker=worker))

    def _send_report(self, peer: _Peer) -> None:
        """Send the states with the number of the peer's own newest table: it does not know the numbers of others."""
        peer.send(
            GatewayReport(
                gateway=self._name, number=peer.number, states=self._states(), native_faults=self._native_faults
            )
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        peer = _Peer(self._connections, writer)
        self._peers.add(peer)
        try:
            self._send_report(peer)
            for worker in self._to_end():
                peer.send(EndWorker(worker=worker))
            while line := await reader.readline():
                await self._handle(peer, decode(line, ToGateway))  # type: ignore[arg-type]
        except ConnectionError:
            pass  # its process ended, or only asked whether this one answers
        except (ValueError, TrivetError) as error:
            # A line that is too long is a ValueError.
            log.warning("closing a connection of a supervisor: %s", error)
        finally:
            self._peers.discard(peer)

    async def _handle(self, peer: _Peer, message: ToGateway) -> None:
        match message:
            case WorkerEnded():
                self._take_end(message)
            case FlushLogs():
                if await self._flush():
                    peer.send(Flushed(token=message.token))
            case AskStatistics():
                peer.send(StatisticsAnswer(token=message.token, pipelines=self._statistics()))
            case RouteTable():
                async with self._in_order:
                    if peer.order < self._authority or message.number < peer.number:
                        return
                    self._authority = peer.order
                    await self._take_table(message)
                    peer.number = message.number
                self.report()
                self._send_report(peer)
