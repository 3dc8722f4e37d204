"""JSON bodies: read whole within a limit, and only if they are plain JSON. Bodies of files pass through unchanged."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import orjson

from trivet.control.http.errors import error_response
from trivet.domain.held_bytes import HeldBytes, Hold
from trivet.errors import Invalid, TooLarge, TrivetError

__all__ = ["MOST_BYTES", "STREAMED", "JsonBodies"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BYTES = 8 * 2**20
WITHIN_S = 60.0
# The body itself, the same JSON in its plain form, and what the application decodes it to.
DECODED_TIMES = 8
# A larger body is not checked in the event loop.
LARGE = 2**20

STREAMED = re.compile(r"PUT /v1/uploads/[^/]+/content|POST /v1/api/models/(upload_and_convert|upload_stream)")
"""Method and path of routes that read their body in pieces, and limit it themselves."""

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class JsonBodies:
    """ASGI: passes on JSON that every part of Trivet can store.

    That is UTF-8 without lone surrogates or NUL characters, numbers that are finite and integers of at most 64 bits, and no
    more than some hundred levels. A body of another media type is refused.

    Args:
        app: the application.
        most_bytes: of a body.
        within_s: how long a body may take to arrive.
        held: what all requests of the process hold; by default without a limit.
    """

    def __init__(
        self, app: App, *, most_bytes: int = MOST_BYTES, within_s: float = WITHIN_S, held: HeldBytes | None = None
    ) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._within_s = within_s
        self._all = held or HeldBytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then let the request through."""
        if scope["type"] != "http" or STREAMED.fullmatch(f"{scope['method']} {scope['path']}"):
            await self._app(scope, receive, send)
            return
        with Hold(self._all) as held:
            await self._pass_on(scope, receive, send, held)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, held: Hold) -> None:
        try:
            if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
                raise Invalid("a NUL character in the address", fix="leave it out")
            try:
                async with asyncio.timeout(self._within_s):
                    body = await self._read(receive, held)
            except TimeoutError:
                await error_response(
                    Invalid("the body did not arrive in time", fix="send it again", reason="stalled"), status=408
                )(scope, receive, send)
                return
            if body is None:
                return
            if body:
                kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
                if kind.partition(b";")[0].strip().lower() != b"application/json":
                    refusal = Invalid(
                        "the body's media type is not supported",
                        why=f"it is {kind.decode('latin-1')[:80] or 'missing'}",
                        fix="send JSON, with Content-Type: application/json",
                        reason="media_type",
                    )
                    await error_response(refusal, status=415)(scope, receive, send)
                    return
                body = plain_json(body) if len(body) <= LARGE else await asyncio.to_thread(plain_json, body)
        except TrivetError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app({**scope, "headers": _with_length(scope["headers"], body)}, _replayed(body, receive), send)

    async def _read(self, receive: Receive, held: Hold) -> bytes | None:
        """The whole body; None if the client disconnected."""
        pieces, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            held.hold(DECODED_TIMES * len(pieces[-1]))
            if size > self._most_bytes:
                raise TooLarge(
                    "the body is too large",
                    why=f"JSON may have {self._most_bytes // 2**20} MiB here",
                    fix="send a model's file as an upload's content",
                )
            if not message.get("more_body", False):
                return b"".join(pieces)


def plain_json(body: bytes) -> bytes:
    """The same JSON, written the usual way.

    Raises:
        Invalid: it is not JSON, or holds what cannot be stored.
    """
    try:
        text = orjson.dumps(orjson.loads(body))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise Invalid("the body is not JSON", why=str(error), fix="send JSON", path="body") from error
    if NUL.search(text):
        raise Invalid("a NUL character in the body", fix="leave it out", path="body")
    return text


def _with_length(headers: list[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name not in {b"content-length", b"transfer-encoding"}]
    return [*kept, (b"content-length", b"%d" % len(body))] if body else kept


def _replayed(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
