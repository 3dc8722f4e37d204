"""The servers of a gateway, one for each of its listeners, by the listeners' names."""

import socket
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

from trivet.gateway.http.app import GatewayApp

__all__ = ["SERVERS", "Server", "open_servers"]

SERVERS: Final[Mapping[str, str]] = {
    "http": "trivet.gateway.http.server:HttpServer",
}


class Server(Protocol):
    """Answers for a gateway on one listener."""

    async def start(self) -> None:
        """Begin to answer."""

    async def stop(self) -> None:
        """Take no new connections, let requests in flight finish, then close."""

    def stop_now(self) -> None:
        """Cut what is still in flight."""


def open_servers(
    app: GatewayApp,
    listeners: Mapping[str, socket.socket],
    *,
    drain_s: float,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    table: Mapping[str, str] = SERVERS,
) -> list[Server]:
    """A server for each listener, not yet started.

    Args:
        app: what answers.
        listeners: bound and listening, each by a name that the table has.
        drain_s: how long requests in flight may take once they are to stop.
        tls_cert: PEM file with the certificate and its chain; without it nothing is encrypted.
        tls_key: PEM file with its key.
        table: the module and the class of each.

    Raises:
        Invalid: certificate and key cannot be read, or do not belong together.
    """
    servers: list[Server] = []
    for name, listener in listeners.items():
        module, _, of = table[name].partition(":")
        make = getattr(import_module(module), of)
        servers.append(make(app, listener, drain_s=drain_s, tls_cert=tls_cert, tls_key=tls_key))
    return servers
