"""The access log: one JSON line for each request. Without it no request passes through this module."""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from trivet.gateway.http.responses import Send
from trivet.gateway.json_lines import JsonLines

__all__ = ["AccessLog"]

App: TypeAlias = Callable[[Mapping[str, Any], Any, Send], Awaitable[None]]

MOST_PATH: Final = 512
MOST_AGENT: Final = 200


class AccessLog:
    """An ASGI application around another one.

    A line has the time at which the request's head had come, client, method, path without its query, status, bytes of the answer,
    seconds, request id, and the client's `User-Agent`. It has no bodies, no headers with secrets, and no query, which may hold
    what a client sends.

    Args:
        app: answers.
        lines: where the lines go.
    """

    def __init__(self, app: App, lines: JsonLines) -> None:
        self._app = app
        self._lines = lines

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # A whole answer would be written beside `send`, where nothing sees it.
        scope["state"].pop("connection", None)
        at, started = time.time(), time.perf_counter()
        status, size, request_id = 0, 0, ""

        async def sending(message: dict[str, Any]) -> None:
            nonlocal status, size, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = _header(message.get("headers", ()), b"x-request-id", 128)
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            client = scope.get("client")
            self._lines.add(
                {
                    "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
                    "client": client[0] if client else None,
                    "method": scope["method"],
                    "path": scope["path"][:MOST_PATH].encode("utf-8", "replace").decode(),
                    # A client that left before its answer has none.
                    "status": status or None,
                    "bytes": size,
                    "seconds": round(time.perf_counter() - started, 6),
                    "request_id": request_id or None,
                    "agent": _header(scope["headers"], b"user-agent", MOST_AGENT),
                }
            )


def _header(headers: Any, name: bytes, most: int) -> str:
    return next((value[:most].decode("latin-1") for key, value in headers if key == name), "")
