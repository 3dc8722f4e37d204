"""Reading a request's body within limits."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from trivet.errors import Invalid
from trivet.gateway.formats.allowance import too_large
from trivet.gateway.pipelines import Abandoned

__all__ = ["read_body"]

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]

SLOWEST_BODY_S = 60.0


async def read_body(receive: Receive, *, max_bytes: int) -> bytes:
    """The whole body of a request.

    Raises:
        TooLarge: it is longer than `max_bytes`.
        Invalid: it comes too slowly.
        Abandoned: the client went away before it had come as a whole.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Abandoned
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        return body
    pieces = [body]
    size = len(body)
    try:
        async with asyncio.timeout(SLOWEST_BODY_S):
            while message.get("more_body"):
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Abandoned
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > max_bytes:
                    raise too_large(max_bytes)
    except TimeoutError:
        raise Invalid(f"the body did not come within {SLOWEST_BODY_S:g} s", reason="slow_body") from None
    return b"".join(pieces)
