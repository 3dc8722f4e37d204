"""Listening sockets: the table of a platform's listeners, and the check of which machines reach them."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from trivet.domain.own_hosts import OwnHosts
from trivet.errors import Conflict, Invalid
from trivet.settings import Settings

__all__ = ["EVERYWHERE", "LISTENERS", "check_exposure", "hosts_of", "is_loopback", "listen", "listening", "with_kinds"]

SEND_BUFFER = 4 * 2**20
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - to recognise them
EXPOSURE_FLAG = "--let-anyone-on-the-network-run-code-here"


class Listener(NamedTuple):
    """One listener of a platform.

    Attributes:
        role: the process that answers on it.
        setting: the setting that has its port.
        flag: the flag that chooses the port.
        server: the kind of server that answers on it, as `trivet.gateway.servers` names it; None outside the gateway.
    """

    role: str
    setting: str
    flag: str
    server: str | None = None


LISTENERS: Final[Mapping[str, Listener]] = {
    "control": Listener(role="control", setting="port", flag="--port"),
    "http": Listener(role="gateway", setting="http_port", flag="--http-port", server="http"),
}
"""By name. `trivet serve` has those of the gateway, a platform has all."""


@contextlib.contextmanager
def listening(settings: Settings, *, roles: Iterable[str]) -> Iterator[dict[str, socket.socket]]:
    """The listeners of these processes by name, for the length of a `with` block. Raises as `listen` does."""
    with contextlib.ExitStack() as stack:
        listeners: dict[str, socket.socket] = {}
        for name, row in LISTENERS.items():
            if row.role not in roles:
                continue
            listener = listen(settings.host, getattr(settings, row.setting), flag=row.flag)
            listeners[name] = stack.enter_context(contextlib.closing(listener))
        yield listeners


def with_kinds(listeners: Mapping[str, socket.socket]) -> list[tuple[str, socket.socket]]:
    """The gateway's listeners, each with the kind of its server."""
    kinds = {name: row.server for name, row in LISTENERS.items() if row.server is not None}
    return [(kinds[name], listener) for name, listener in listeners.items()]


def listen(host: str, port: int, *, flag: str) -> socket.socket:
    """A socket that listens.

    Args:
        host: an address or a name of this machine.
        port: 0 takes a free one.
        flag: the option for the port, for the message.

    Raises:
        Conflict: the port is in use, or the address is not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections inherit it: an answer of some hundred kilobytes is sent in one piece.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    except OSError as error:
        raise Conflict(
            f"cannot listen on {host}:{port}",
            why=error.strerror or str(error),
            fix=f"stop the program that listens there, or choose another port with {flag} (0 picks a free one)",
        ) from error
    listener.setblocking(False)
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def hosts_of(settings: Settings, listeners: Iterable[socket.socket]) -> OwnHosts:
    """What requests to these listeners may name as their host and as their page's site."""
    listeners = list(listeners)
    addresses = [listener.getsockname()[0] for listener in listeners]
    names = [settings.host, *settings.hosts, *addresses]
    if not set(EVERYWHERE).isdisjoint(addresses):
        names.append(socket.gethostname())
    return OwnHosts(names, addresses=not all(map(is_loopback, listeners)))


def check_exposure(listener: socket.socket, *, tls_cert: Path | None, tls_key: Path | None, anyone: bool) -> None:
    """Refuse to listen beyond loopback without TLS, because others on the network could read the platform's token.

    Raises:
        Invalid: it would be reachable so, or a certificate was given without its key.
    """
    if (tls_cert is None) != (tls_key is None):
        raise Invalid("a certificate needs its key, and a key its certificate", fix="give --tls-cert and --tls-key")
    for path in (tls_cert, tls_key):
        if path is not None and not path.is_file():
            raise Invalid(f"there is no file {path}", fix="check --tls-cert and --tls-key")
    if is_loopback(listener) or tls_cert is not None or anyone:
        return
    raise Invalid(
        f"{listener.getsockname()[0]} is reachable from other machines, without encryption",
        why="a program that reads the token on the way can upload models, and models are programs that run here",
        fix=f"give --tls-cert and --tls-key, listen on loopback behind a proxy with TLS, or give {EXPOSURE_FLAG}",
    )
