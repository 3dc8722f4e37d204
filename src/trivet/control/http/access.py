"""Who sends a request to the control API: the one place where a token is checked."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

from fastapi import Depends, Request

from trivet.control.http.errors import error_response
from trivet.domain.access import Caller, Callers
from trivet.errors import Forbidden, Invalid, TrivetError, Unauthorized

__all__ = ["CALLER", "PUBLIC", "Access", "App", "CurrentCaller"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PUBLIC = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
"""Paths that need no token. They reveal nothing about models, pipelines or rows."""

CALLER: Final = "trivet.caller"
"""Key of the ASGI scope: the request's `Caller`. Public paths have none."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HARDENING = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
UNKNOWN_HOST = "unknown_host"


async def _caller_of(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


CurrentCaller = Annotated[Caller, Depends(_caller_of)]
"""The argument of a route that is the request's caller."""


class Access:
    """ASGI: puts the caller into the scope and passes the request on, or refuses the request.

    A browser that another site has tricked into sending a request names that site in `Origin`, or names a `Host` that is not
    ours. Every other client needs the token, whatever it asks for.

    Args:
        app: the application.
        callers: who has which token, for `Authorization: Bearer`.
        hosts: names of this platform besides the loopback ones.
    """

    def __init__(self, app: App, *, callers: Callers, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._callers = callers
        self._hosts = frozenset(host.lower() for host in (*LOOPBACK, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        send = _hardened(send)
        try:
            headers = _headers(scope["headers"])
            self._check_names(headers)
            if scope["path"] not in PUBLIC or scope["method"] not in ("GET", "HEAD"):
                scope = {**scope, CALLER: self._caller(headers.get(b"authorization", b""))}
        except TrivetError as error:
            status = 421 if error.reason == UNKNOWN_HOST else None
            await error_response(error, status=status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_names(self, headers: Mapping[bytes, bytes]) -> None:
        if _host(headers.get(b"host", b"").decode("latin-1")) not in self._hosts:
            fix = "call it by its own name, or add the name to TRIVET_HOSTS"
            raise Invalid("this is not a name of this platform", fix=fix, reason=UNKNOWN_HOST)
        origin = headers.get(b"origin")
        if origin is not None and _site(origin.decode("latin-1")) not in self._hosts:
            fix = "call it from a page of this platform"
            raise Forbidden("another site's page may not use this", fix=fix, reason="foreign_origin")

    def _caller(self, authorization: bytes) -> Caller:
        scheme, _, given = authorization.partition(b" ")
        caller = self._callers(given.strip()) if scheme.lower() == b"bearer" else None
        if caller is not None:
            return caller
        fix = "send `Authorization: Bearer <token>`: the token is in the platform's home, or ask the platform's owner for it"
        raise Unauthorized("the token is missing or wrong", fix=fix)


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name in headers and name in (b"authorization", b"host", b"origin"):
            raise Invalid(f"the header {name.decode()} occurs twice", fix="send it once", reason="bad_request")
        headers[name] = value
    return headers


def _hardened(send: Send) -> Send:
    """Add headers: no sniffing of content types, no caching, no frames."""

    async def send_hardened(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            message["headers"] = [*headers, *((name, value) for name, value in HARDENING if name not in present)]
        await send(message)

    return send_hardened


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
