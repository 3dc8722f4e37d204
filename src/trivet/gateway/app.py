"""The gateway as an ASGI application: a table of routes, and one function that turns errors into answers."""

import asyncio
import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import orjson

from trivet.engine.served import ServedModel
from trivet.errors import Internal, NotFound, TrivetError, Unavailable
from trivet.gateway.bodies import Disconnected, read_body, too_large
from trivet.gateway.errors import STATUS, error_body, error_headers
from trivet.gateway.formats.answer import Stamp
from trivet.gateway.infer import InferRoute
from trivet.gateway.metrics import GatewayMetrics
from trivet.gateway.openapi import CONTENT_SECURITY_POLICY, describe, docs_page

__all__ = ["Gateway"]

log = logging.getLogger(__name__)

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Gateway:
    """Answers HTTP for one served model.

    Args:
        served: the model.
        metrics: where measurements go.
        max_body: bytes of a request, inflated.
        partition: names this process in `metadata.partition`.
    """

    def __init__(self, served: ServedModel, *, metrics: GatewayMetrics, max_body: int, partition: str) -> None:
        self._served = served
        self._metrics = metrics
        self._max_body = max_body
        self._too_long = len(str(max_body))
        last_model = orjson.dumps({"model_name": served.name, "model_sha": served.sha}).decode()
        stamp = Stamp(last_model=last_model, pipeline_version=served.version, partition=partition)
        self._counted = metrics.of(served.name)
        self._counted.workers = lambda: served.runner.capacity
        self._infer = InferRoute(served, stamp=stamp, metrics=self._counted, max_body=max_body)
        self._stopping = False
        self._id_prefix = secrets.token_hex(6)
        self._id_count = itertools.count(1)
        self._pages: dict[str, Callable[[], Awaitable[tuple[int, bytes, bytes]]]] = {
            "/models": self._models,
            "/pipelines": self._pipelines,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics_page,
            "/openapi.json": self._openapi,
            "/docs": self._docs,
        }

    def begin_stop(self) -> None:
        """Say "not ready" from now on; requests are still answered."""
        self._stopping = True

    def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        """ASGI."""
        if scope["type"] != "http":
            raise Internal(f"the gateway speaks HTTP, not {scope['type']}")
        if scope["path"] == "/infer" and scope["method"] == "POST":
            return self._answer_infer(scope, receive, send)
        return self._answer_page(scope, send)

    async def _answer_infer(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = self._request_id(headers.get(b"x-request-id"))
        counted = self._counted
        counted.in_flight += 1
        try:
            length = headers.get(b"content-length", b"")
            if len(length) >= self._too_long and int(length) > self._max_body:
                raise too_large(self._max_body)
            exchange = self._infer.exchange(
                headers.get(b"content-type", b""),
                headers.get(b"accept", b""),
                headers.get(b"content-encoding", b""),
                scope["query_string"],
            )
            content = await self._infer(exchange, await read_body(receive, max_bytes=self._max_body))
        except Disconnected:
            return
        except asyncio.CancelledError:
            # Nothing but a stop that ran out of time cancels a request.
            stopped = Unavailable("the server stopped before this was answered", fix="send it again once one is up")
            counted.answered(await self._answer_error(stopped, request_id, send))
            return
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened becomes an answer
            counted.answered(await self._answer_error(error, request_id, send))
            return
        finally:
            counted.in_flight -= 1
        counted.answered(200)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", exchange.content_type),
                    (b"content-length", b"%d" % len(content)),
                    (b"x-request-id", request_id),
                    (b"x-content-type-options", b"nosniff"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": content})

    def _request_id(self, given: bytes | None) -> bytes:
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return f"{self._id_prefix}-{next(self._id_count):x}".encode()

    async def _answer_error(self, error: Exception, request_id: bytes, send: Send) -> int:
        if not isinstance(error, TrivetError):
            log.error("request %s failed", request_id.decode(), exc_info=error)
            error = Internal("Internal processing error", fix="the server's log says more, under this request id")
        status = STATUS[error.kind]
        headers = [*error_headers(error), (b"x-request-id", request_id)]
        if status >= 500:
            log.warning("request %s: %s", request_id.decode(), error.message)
        await respond(send, status, error_body(error, status=status, request_id=request_id.decode()), JSON, headers)
        return status

    async def _answer_page(self, scope: Mapping[str, Any], send: Send) -> None:
        path, method = scope["path"], scope["method"]
        request_id = self._request_id(dict(scope["headers"]).get(b"x-request-id"))
        allowed = b"POST" if path == "/infer" else b"GET, HEAD"
        page = self._pages.get(path)
        if page is None and path != "/infer":
            fix = f"there are /infer, {', '.join(self._pages)}"
            await self._answer_error(NotFound(f"there is nothing at {path}", fix=fix), request_id, send)
            return
        if page is None or method not in ("GET", "HEAD"):
            error = NotFound(
                f"{path} does not take {method}", fix=f"send {allowed.decode()}", reason="method_not_allowed"
            )
            body = error_body(error, status=405, request_id=request_id.decode())
            await respond(send, 405, body, JSON, [(b"allow", allowed), (b"x-request-id", request_id)])
            return
        try:
            status, content, content_type = await page()
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened becomes an answer
            await self._answer_error(error, request_id, send)
            return
        headers = (
            [(b"content-security-policy", CONTENT_SECURITY_POLICY)] if content_type.startswith(b"text/html") else []
        )
        await respond(send, status, content, content_type, headers, head=method == "HEAD")

    async def _models(self) -> tuple[int, bytes, bytes]:
        served = self._served
        model = {
            "name": served.name,
            "version": served.version,
            "sha": served.sha,
            "status": await self._status(),
            "framework": served.framework,
            "runtime": served.runtime,
        }
        return 200, orjson.dumps({"models": [model]}), JSON

    async def _pipelines(self) -> tuple[int, bytes, bytes]:
        served = self._served
        pipeline = {"id": served.name, "version": served.version, "status": await self._status()}
        return 200, orjson.dumps({"pipelines": [pipeline]}), JSON

    async def _status(self) -> str:
        if self._stopping or self._served.runner.capacity == 0:
            return "Starting" if not self._stopping else "Stopping"
        return "Running"

    async def _healthz(self) -> tuple[int, bytes, bytes]:
        return 200, b'{"status":"alive"}', JSON

    async def _readyz(self) -> tuple[int, bytes, bytes]:
        if self._stopping:
            return 503, b'{"status":"stopping"}', JSON
        refusal = await self._served.probe.check()
        if refusal is None:
            return 200, b'{"status":"ready"}', JSON
        return 503, orjson.dumps({"status": "not ready", "error": refusal.message, "reason": refusal.reason}), JSON

    async def _metrics_page(self) -> tuple[int, bytes, bytes]:
        return 200, self._metrics.text(), b"text/plain; version=0.0.4; charset=utf-8"

    async def _openapi(self) -> tuple[int, bytes, bytes]:
        return 200, orjson.dumps(describe(self._served)), JSON

    async def _docs(self) -> tuple[int, bytes, bytes]:
        return 200, docs_page(self._served), b"text/html; charset=utf-8"


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
