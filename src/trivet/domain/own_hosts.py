"""The names that a listener answers to: what keeps pages of other sites out, whatever name a browser resolves to this machine."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from trivet.errors import Forbidden, Invalid

__all__ = ["OwnHosts", "UnknownHost", "headers_by_name"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
DECISIVE = (b"authorization", b"host", b"origin")
# Without a digit in front: browsers read `2130706433` and `0x7f000001` as addresses.
ONE_LABEL = re.compile(r"[a-z][a-z0-9_-]*")
# Clients repeat themselves; one that makes up new names only costs itself.
MOST_KNOWN = 256


class UnknownHost(Invalid):
    """The request is for another host; over HTTP it is 421."""

    default_reason = "unknown_host"


class OwnHosts:
    """What `Host` and `Origin` of a request may name.

    A browser that another site has tricked into sending a request names that site in `Origin`, or names a `Host` that is not
    ours, because the site's name was resolved to this machine. A request without either does not come from a browser. A name without
    a dot (`trivet`, as containers and local networks have them) is not a site's: no domain of the internet has an address itself.

    Args:
        names: of this machine, besides the loopback ones.
        addresses: whether `Host` may be any IP address, because other machines reach the listener, perhaps by addresses that
            this machine does not know. No site's name is an address.
    """

    def __init__(self, names: Iterable[str] = (), *, addresses: bool = False) -> None:
        self._names = frozenset(name.lower() for name in (*LOOPBACK, *names) if name)
        self._addresses = addresses
        self._allowed: set[tuple[bytes | None, bytes | None]] = set()

    def check(self, host: bytes | None, origin: bytes | None) -> None:
        """Refuse a request of another site's page.

        Args:
            host: the header, None if there is none.
            origin: the header, None if there is none.

        Raises:
            UnknownHost: `Host` is not a name of this machine.
            Forbidden: `Origin` is another site.
        """
        if (host, origin) in self._allowed:
            return
        name = None if host is None else _host(host.decode("latin-1"))
        if name is not None and not self._is_own(name):
            fix = "call it by its own name, or add the name to TRIVET_HOSTS"
            raise UnknownHost("this is not a name of this platform", fix=fix)
        if origin is not None:
            site = _site(origin.decode("latin-1"))
            if site not in self._names and (not site or site != name):
                fix = "call it from a page of this platform, or add the page's host to TRIVET_HOSTS"
                raise Forbidden("another site's page may not use this", fix=fix, reason="foreign_origin")
        if len(self._allowed) >= MOST_KNOWN:
            self._allowed.clear()
        self._allowed.add((host, origin))

    def _is_own(self, name: str) -> bool:
        return name in self._names or ONE_LABEL.fullmatch(name) is not None or (self._addresses and _is_address(name))


def headers_by_name(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers of a request; the last of several with one name.

    Raises:
        Invalid: one that decides who may do something occurs twice.
    """
    headers = dict(pairs)
    if len(headers) < len(pairs):
        names = [name for name, _ in pairs]
        for name in DECISIVE:
            if names.count(name) > 1:
                raise Invalid(f"the header {name.decode()} occurs twice", fix="send it once", reason="bad_request")
    return headers


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _site(origin: str) -> str:
    """The name in `http://localhost:8000`; empty if this is not an origin."""
    try:
        return _host(urlsplit(origin).netloc)
    except ValueError:
        return ""


def _host(netloc: str) -> str:
    """The name in `localhost:8000` or `[::1]:8000`; empty if it also holds a user."""
    if "@" in netloc:
        return ""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""
