"""Reading a request's body within limits."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from io import SEEK_END, BytesIO
from typing import Any, TypeAlias

from trivet.errors import Invalid
from trivet.gateway.allowance import Allowance
from trivet.gateway.pipelines import Abandoned

__all__ = ["read_body"]

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]


async def read_body(receive: Receive, allowance: Allowance, *, within_s: float) -> bytes:
    """The whole body of a request.

    Args:
        receive: ASGI's.
        allowance: of this request; it counts each piece as it arrives.
        within_s: how long the body may take.

    Raises:
        TooLarge: it is longer than the allowance's limit.
        Overloaded: all requests together hold too much.
        Invalid: it comes too slowly.
        Abandoned: the client went away before it had come as a whole.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Abandoned
    body: bytes = message.get("body", b"")
    is_whole = not message.get("more_body")
    allowance.arrive(len(body), is_whole=is_whole)
    if is_whole:
        return body
    # It grows in place, and gives its bytes without a copy.
    whole = BytesIO(body)
    whole.seek(0, SEEK_END)
    try:
        async with asyncio.timeout(within_s):
            while message.get("more_body"):
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Abandoned
                piece: bytes = message.get("body", b"")
                allowance.arrive(len(piece))
                whole.write(piece)
    except TimeoutError:
        raise Invalid(f"the body did not come within {within_s:g} s", reason="slow_body") from None
    return whole.getvalue()
