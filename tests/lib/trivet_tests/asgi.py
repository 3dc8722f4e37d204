"""Requests as a server gives them to an ASGI application."""

from collections.abc import Sequence
from typing import Any

__all__ = ["request_scope"]

JSON = (b"content-type", b"application/json")


def request_scope(
    path: str = "/infer",
    *,
    method: str = "POST",
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (JSON,),
) -> dict[str, Any]:
    """The scope of a request over HTTP, with the state of its connection."""
    return {
        "type": "http",
        "state": {},
        "method": method,
        "path": path,
        "query_string": query,
        "headers": list(headers),
    }
