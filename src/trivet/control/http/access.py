"""Who may use the control API: the one place that decides it."""

import hmac
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import orjson

from trivet.errors import Invalid, Unavailable

__all__ = ["PUBLIC", "Access", "token_of"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

PUBLIC = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
"""Paths that may be read without a token. They say nothing of models, pipelines or rows."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HARDENING = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
FILE = "token"
SHORTEST = 16


def token_of(home: Path, environ: Mapping[str, str]) -> str:
    """The token that the control API wants: `TRIVET_TOKEN`, or the one in the home, which is made when there is none.

    Raises:
        Invalid: `TRIVET_TOKEN` is too short to be one.
        Unavailable: the file cannot be read or made.
    """
    given = environ.get("TRIVET_TOKEN")
    if given:
        if len(given) < SHORTEST:
            raise Invalid(f"TRIVET_TOKEN has fewer than {SHORTEST} characters", fix="make one: openssl rand -hex 24")
        return given
    path = home / FILE
    try:
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
                kept = file.read().strip()
            if len(kept) >= SHORTEST:
                return kept
            # An earlier process was ended between making the file and writing it.
            made = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(made, "w") as file:
            token = secrets.token_urlsafe(32)
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(
            f"the token in {path} cannot be read or made",
            why=error.strerror or str(error),
            fix="see to the home's rights",
        ) from error
    return token


class Access:
    """ASGI: lets a request through to the application, or answers it itself.

    A browser that another site has tricked into asking says so in `Origin`, or asks for a `Host` that is not ours; a program
    without the token is refused whatever it asks.

    Args:
        app: the application.
        token: what `Authorization: Bearer` must hold.
        hosts: names besides loopback ones that we are known by.
    """

    def __init__(self, app: App, *, token: str, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(host.lower() for host in (*LOOPBACK, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in (b"authorization", b"host", b"origin"):
                await _refuse(send, 400, "bad_request", f"the header {name.decode()} occurs twice", "send it once")
                return
            headers[name] = value
        host = _host(headers.get(b"host", b"").decode("latin-1"))
        if host not in self._hosts:
            fix = "call it by its own name, or add the name to TRIVET_HOSTS"
            await _refuse(send, 421, "unknown_host", "this is not a name of this platform", fix)
            return
        origin = headers.get(b"origin")
        if origin is not None and _site(origin.decode("latin-1")) not in self._hosts:
            await _refuse(send, 403, "foreign_origin", "another site's page may not use this", "call it from your own")
            return
        if scope["path"] not in PUBLIC or scope["method"] not in ("GET", "HEAD"):
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                fix = "send `Authorization: Bearer <token>`: the token lies in the platform's home, or ask whoever runs it"
                await _refuse(send, 401, "unauthorized", "the token is missing or is not the right one", fix)
                return
        await self._app(scope, receive, _hardened(send))


def _hardened(send: Send) -> Send:
    """Every answer is what it says it is, and nobody keeps it."""

    async def following(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = message.setdefault("headers", [])
            there = {name.lower() for name, _ in headers}
            message["headers"] = [*headers, *((name, value) for name, value in HARDENING if name not in there)]
        await send(message)

    return following


def _site(origin: str) -> str:
    """The name alone, of `http://localhost:8000`; none of what is no origin."""
    try:
        return _host(urlsplit(origin).netloc)
    except ValueError:
        return ""


def _host(netloc: str) -> str:
    """The name alone, of `localhost:8000` or `[::1]:8000`; none of what also holds a user."""
    if "@" in netloc:
        return ""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


async def _refuse(send: Send, status: int, reason: str, what: str, fix: str) -> None:
    body = {
        "code": status,
        "status": "error",
        "error": what,
        "msg": what,
        "what": what,
        "fix": fix,
        "source": "platform",
        "reason": reason,
        "request_id": secrets.token_hex(6),
    }
    content = orjson.dumps(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        *HARDENING,
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
