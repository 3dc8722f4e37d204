"""The servers of a gateway: one for each listener, made by the kind of the listener."""

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final, Protocol

from trivet.domain.held_bytes import HeldBytes
from trivet.domain.own_hosts import OwnHosts
from trivet.gateway.access import GatewayAccess
from trivet.gateway.certificates import ServerTls
from trivet.gateway.doors.door import Door
from trivet.gateway.failures import Failures
from trivet.gateway.json_lines import JsonLines
from trivet.gateway.pipelines import Pipelines

__all__ = ["SERVERS", "GatewayParts", "Server", "open_servers"]

SERVERS: Final[Mapping[str, str]] = {
    "http": "trivet.gateway.http.server:HttpServer",
}
"""The module and the class of each kind of server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayParts:
    """What every server of a gateway shares.

    Attributes:
        pipelines: what answers.
        doors: the protocols of a server for HTTP, the one that answers unknown paths first.
        max_body: bytes of a request.
        access: who may ask; None allows every client that reaches the listener.
        hosts: what requests over HTTP may name; by default the loopback names.
        held: what all requests hold, over all servers; by default without a limit.
        client_timeout_s: how long a client may take to send a head and a body, and to read a piece of its answer.
        access_log: gets a line for each request over HTTP; None keeps none.
        failures: gets the errors of models; None keeps none.
    """

    pipelines: Pipelines
    doors: Sequence[Door]
    max_body: int
    access: GatewayAccess | None = None
    hosts: OwnHosts = field(default_factory=OwnHosts)
    held: HeldBytes = field(default_factory=HeldBytes)
    client_timeout_s: float = 60.0
    access_log: JsonLines | None = None
    failures: Failures | None = None


class Server(Protocol):
    """Answers for a gateway on one listener."""

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self) -> None:
        """Take no new connections, let requests in flight finish, then close."""

    def stop_now(self) -> None:
        """Cut what is still in flight."""


def open_servers(
    parts: GatewayParts,
    listeners: Iterable[tuple[str, socket.socket]],
    *,
    drain_s: float,
    tls: ServerTls | None = None,
    table: Mapping[str, str] = SERVERS,
) -> list[Server]:
    """A server for each listener, not yet started.

    Args:
        parts: what answers, and who may ask.
        listeners: bound and listening, each with the kind of its server.
        drain_s: how long requests in flight may take once they are to stop.
        tls: what encrypts; without it nothing is encrypted.
        table: the kinds of servers.
    """
    servers: list[Server] = []
    for kind, listener in listeners:
        module, _, name = table[kind].partition(":")
        make = getattr(import_module(module), name)
        servers.append(make(parts, listener, drain_s=drain_s, tls=tls))
    return servers
