"""Who sends a request to the control API: the one place where a token is checked."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Depends, Request

from trivet.control.http.errors import error_response
from trivet.domain.access import Caller, Callers
from trivet.domain.own_hosts import OwnHosts, UnknownHost, headers_by_name
from trivet.errors import TrivetError, Unauthorized, Unavailable

__all__ = ["CALLER", "PUBLIC", "Access", "App", "CurrentCaller"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PUBLIC = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
"""Paths that need no token. They reveal nothing about models, pipelines or rows."""

CALLER: Final = "trivet.caller"
"""Key of the ASGI scope: the request's `Caller`. Public paths have none."""

HARDENING = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


async def _caller_of(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


CurrentCaller = Annotated[Caller, Depends(_caller_of)]
"""The argument of a route that is the request's caller."""


class Access:
    """ASGI: puts the caller into the scope and passes the request on, or refuses the request.

    Pages of other sites are refused, and every other client needs the token.

    Args:
        app: the application.
        callers: who has which token, for `Authorization: Bearer`.
        hosts: what requests may name.
    """

    def __init__(self, app: App, *, callers: Callers, hosts: OwnHosts) -> None:
        self._app = app
        self._callers = callers
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        hardened = _Hardened(send)
        send = hardened
        try:
            headers = headers_by_name(scope["headers"])
            self._hosts.check(headers.get(b"host"), headers.get(b"origin"))
            if scope["path"] not in PUBLIC or scope["method"] not in ("GET", "HEAD"):
                scope = {**scope, CALLER: self._caller(headers.get(b"authorization", b""))}
        except TrivetError as error:
            status = 421 if isinstance(error, UnknownHost) else None
            await error_response(error, status=status)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Nothing but a stop that ran out of time cancels a request.
            if not hardened.begun:
                stopped = Unavailable("the server stopped before this was answered", fix="send it again once one is up")
                await error_response(stopped)(scope, receive, send)

    def _caller(self, authorization: bytes) -> Caller:
        scheme, _, given = authorization.partition(b" ")
        caller = self._callers(given.strip()) if scheme.lower() == b"bearer" else None
        if caller is not None:
            return caller
        fix = "send `Authorization: Bearer <token>`: the token is in the platform's home, or ask the platform's owner for it"
        raise Unauthorized("the token is missing or wrong", fix=fix)


class _Hardened:
    """Adds headers to an answer: no sniffing of content types, no caching, no frames.

    Attributes:
        begun: whether the answer has begun.
    """

    def __init__(self, send: Send) -> None:
        self.begun = False
        self._send = send

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            self.begun = True
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            message["headers"] = [*headers, *((name, value) for name, value in HARDENING if name not in present)]
        await self._send(message)
