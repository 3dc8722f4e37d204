"""Sending an answer that is there as a whole."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

__all__ = ["Send", "respond"]

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


async def respond(
    send: Send,
    status: int,
    content: bytes,
    content_type: bytes,
    headers: list[tuple[bytes, bytes]],
    *,
    head: bool = False,
) -> None:
    """Send a whole answer."""
    common = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(content)),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*common, *headers]})
    await send({"type": "http.response.body", "body": b"" if head else content})
