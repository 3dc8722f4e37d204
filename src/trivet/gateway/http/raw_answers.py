"""The answer of a raw call on its way to the client: piece by piece, as fast as the client reads them, while it is there."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from trivet.domain.held_bytes import Hold
from trivet.engine.calls import RawAnswer
from trivet.errors import DeadlineExceeded, ModelFailed
from trivet.gateway.http.responses import Send

__all__ = ["PIECE_BYTES", "BegunOnce", "send_raw"]

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Of these the gateway sends its own: how long a body is and where it ends belongs to the connection, not to the model.
OWN_HEADERS: Final = frozenset(
    [
        "connection",
        "content-length",
        "content-type",
        "keep-alive",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-content-type-options",
        "x-request-id",
    ]
)
WITHOUT_BODY: Final = (204, 304)
PIECE_BYTES: Final = 2**18
"""Of a large answer that is sent in pieces, so that the connection keeps one at a time."""


class BegunOnce:
    """Sends the first answer that is begun, and nothing of a second one.

    An error's page can follow only before the answer has begun. After that the server cuts the connection, because the answer
    never ends.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._answers = 0

    async def __call__(self, message: dict[str, Any]) -> None:
        """ASGI's `send`."""
        self._answers += message["type"] == "http.response.start"
        if self._answers == 1:
            await self._send(message)


async def send_raw(
    send: Send, ask: Callable[[], Awaitable[RawAnswer]], request_id: bytes, *, held: Hold, slowest_piece_s: float
) -> None:
    """Ask for an answer, and send its pieces as they come.

    Args:
        send: to the client; waits while the connection is full.
        ask: gives the answer once it has begun.
        request_id: goes into the answer's head.
        held: counts what of the answer is not sent yet.
        slowest_piece_s: how long the client may take to read a piece.

    Raises:
        ModelFailed: it has a header that HTTP does not allow.
        DeadlineExceeded: the client does not read.
        TooLarge, Overloaded: there is no room for what the client has not read.
        TrivetError: there is no answer, or the rest of it does not come.
    """
    answer = await ask()
    try:
        answer.count(held)
        await send({"type": "http.response.start", "status": answer.status, "headers": _headers(answer, request_id)})
        if answer.nbytes is None and answer.status not in WITHOUT_BODY:
            async for piece in answer.pieces:
                await _send_piece(send, piece, within_s=slowest_piece_s)
        content = b"" if answer.nbytes is None or answer.status in WITHOUT_BODY else await answer.body()
        held.hold_anyway(len(content))
        view, start = memoryview(content), 0
        while len(content) - start > PIECE_BYTES:
            await _send_piece(send, view[start : start + PIECE_BYTES], within_s=slowest_piece_s)
            start += PIECE_BYTES
        await send({"type": "http.response.body", "body": view[start:] if start else content})
    finally:
        answer.leave()


async def _send_piece(send: Send, piece: bytes | memoryview, *, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        raise DeadlineExceeded(
            f"the client did not read a piece of the answer within {within_s:g} s", reason="slow_reader"
        ) from None
    # The transport writes at the end of the turn. Only then it knows that the client is slow, and that the next piece must wait.
    await asyncio.sleep(0)


def _headers(answer: RawAnswer, request_id: bytes) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", request_id), (b"x-content-type-options", b"nosniff")]
    if answer.content_type:
        headers.append((b"content-type", answer.content_type.encode()))
    if answer.nbytes is not None and answer.status not in WITHOUT_BODY:
        headers.append((b"content-length", b"%d" % answer.nbytes))
    for name, value in answer.headers:
        if not HEADER_NAME.fullmatch(name):
            raise ModelFailed(
                "the model answered something else than it declares",
                why=f"field 'headers': {name!r} is not the name of a header",
                fix="fix the model's code",
                path="headers",
                reason="model_output_mismatch",
            )
        if name.lower() not in OWN_HEADERS:
            headers.append((name.encode(), value.encode()))
    return headers
