"""The gateway as an ASGI application: a table of routes, and one function that turns errors into answers."""

import asyncio
import itertools
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

from trivet.engine.pipeline import ServedPipeline
from trivet.errors import Internal, Invalid, NotFound, TrivetError, Unavailable
from trivet.gateway.formats.inflation import too_large
from trivet.gateway.http.access import GatewayAccess
from trivet.gateway.http.bodies import Disconnected, read_body
from trivet.gateway.http.docs_page import CONTENT_SECURITY_POLICY, docs_page
from trivet.gateway.http.errors import STATUS, error_body, error_headers
from trivet.gateway.http.openapi import describe, describe_all
from trivet.gateway.http.pages import JSON, Page, models_page, pipeline_entry, pipelines_page, readiness_page, said
from trivet.gateway.http.rate_limited_log import RateLimitedLog
from trivet.gateway.http.responses import Send, respond
from trivet.gateway.metrics import GatewayMetrics
from trivet.gateway.pipelines import DESCRIPTION, INFER, PIPELINES, Place, Routes
from trivet.gateway.served_pipeline import InferenceSink, InferRoute

__all__ = ["Gateway"]

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
OPEN_TO_ALL = ("/healthz", "/readyz")
DRAIN_POLL_S = 0.01


class Gateway:
    """Answers HTTP for the pipelines that are put into it. All methods belong to the event loop's thread.

    Args:
        metrics: where measurements go.
        max_body: bytes of a request, inflated.
        partition: names this process in `metadata.partition`.
        access: what a request must bring; without it whoever reaches the listener may ask.
        log: keeps what is answered, of pipelines that are put in with `logged`.
        waits: say "not ready" until `routes_taken_in`.
    """

    def __init__(
        self,
        *,
        metrics: GatewayMetrics,
        max_body: int,
        partition: str,
        access: GatewayAccess | None = None,
        log: InferenceSink | None = None,
        waits: bool = False,
    ) -> None:
        self._routes = Routes()
        self._metrics = metrics
        self._max_body = max_body
        self._too_long = len(str(max_body))
        self._partition = partition
        self._access = access
        self._log = log
        self._waits = waits
        self._stopping = False
        self._faults = RateLimitedLog(logging.getLogger(__name__))
        self._id_prefix = secrets.token_hex(6)
        self._id_count = itertools.count(1)
        self._pages: dict[str, Callable[[], Awaitable[Page]]] = {
            "/models": self._models,
            "/pipelines": self._pipelines,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics_page,
            "/openapi.json": self._openapi,
            "/docs": self._docs,
        }

    def put(self, pipeline: ServedPipeline, *, logged: bool = False) -> InferRoute:
        """Let a pipeline answer from now on. The version before it gets no more requests; those that it has it keeps."""
        metrics = self._metrics.of(pipeline.name, workspace_id=pipeline.workspace_id)
        route = InferRoute(
            pipeline,
            partition=self._partition,
            metrics=metrics,
            max_body=self._max_body,
            log=self._log if logged else None,
        )
        metrics.workers = lambda: pipeline.runner.capacity
        metrics.log_dropped = partial(self._dropped, (pipeline.workspace_id, pipeline.name))
        before = self._routes.put(route)
        if before is not None:
            before.retired = True
        return route

    def _dropped(self, key: tuple[int, str]) -> int:
        return 0 if self._log is None else self._log.dropped.get(key, 0)

    def refuse(self, place: Place, error: TrivetError) -> None:
        """Say at a place at which nothing answers yet why that is so."""
        self._routes.refuse(place, error)

    def remove(self, place: Place) -> None:
        """Let nothing answer at a place. Requests that are being answered still are."""
        before = self._routes.remove(place)
        if before is not None:
            before.retired = True

    async def drain(self, route: InferRoute, *, within_s: float) -> None:
        """Wait for the last request of a route that another has replaced, or that was removed; so long at most."""
        assert route.retired
        deadline = time.monotonic() + within_s
        while route.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 - requests tell nobody when they end
            await asyncio.sleep(DRAIN_POLL_S)
        route.closed = True
        if self._log is not None:
            self._log.finish(route.pipeline)
        route.metrics.routes.discard(route)
        if not route.metrics.routes:
            pipeline = route.pipeline
            self._metrics.forget(pipeline.name, workspace_id=pipeline.workspace_id)

    def routes_taken_in(self) -> None:
        """What was served before, or is to be served first, is being served."""
        self._waits = False

    def begin_stop(self) -> None:
        """Say "not ready" from now on; requests are still answered."""
        self._stopping = True

    def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        """ASGI."""
        if scope["type"] != "http":
            raise Internal(f"the gateway speaks HTTP, not {scope['type']}")
        if self._access is not None and not self._allows(scope):
            return self._answer_stranger(scope, send)
        route = self._routes.by_path.get(scope["path"])
        if route is not None and scope["method"] == "POST":
            return self._answer_infer(route, scope, receive, send)
        return self._answer_page(scope, send)

    def _allows(self, scope: Mapping[str, Any]) -> bool:
        assert self._access is not None
        return self._access.allows(dict(scope["headers"]).get(b"authorization", b""))

    async def _answer_infer(self, route: InferRoute, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = self._request_id(headers.get(b"x-request-id"))
        counted = route.metrics
        route.in_flight += 1
        try:
            length = headers.get(b"content-length", b"")
            if len(length) >= self._too_long and int(length) > self._max_body:
                raise too_large(self._max_body)
            asked = (
                headers.get(b"content-type", b""),
                headers.get(b"accept", b""),
                headers.get(b"content-encoding", b""),
                scope["query_string"],
            )
            exchange = route.exchange(*asked)
            body = await read_body(receive, max_bytes=self._max_body)
            if route.retired:
                route = self._moved(route, scope["path"])
                exchange = route.exchange(*asked)
            content = await route(exchange, body)
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
            route.in_flight -= 1
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

    def _moved(self, route: InferRoute, path: str) -> InferRoute:
        """What answers a request whose body came so slowly that its route was replaced or removed meanwhile."""
        newer = self._routes.by_path.get(path)
        if newer is None and route.closed:
            raise NotFound("Deployment not found", why="the pipeline was undeployed before the request's body had come")
        if newer is None:
            return route
        route.in_flight -= 1
        newer.in_flight += 1
        return newer

    def _request_id(self, given: bytes | None) -> bytes:
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return f"{self._id_prefix}-{next(self._id_count):x}".encode()

    async def _answer_error(
        self,
        error: Exception,
        request_id: bytes,
        send: Send,
        *,
        status: int | None = None,
        source: Literal["engine", "platform"] = "engine",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> int:
        if not isinstance(error, TrivetError):
            self._faults.say(
                logging.ERROR, f"request {request_id.decode()} failed", key=_place_of(error), exc_info=error
            )
            fix = "the server's log says more, under this request id or one shortly before it"
            error = Internal("Internal processing error", fix=fix)
        status = status or STATUS[error.kind]
        if status >= 500:
            key = (status, error.reason, error.what)
            self._faults.say(logging.WARNING, f"request {request_id.decode()}: {error.message}", key=key)
        body = error_body(error, status=status, request_id=request_id.decode(), source=source)
        more = [*error_headers(error), (b"x-request-id", request_id), *headers]
        await respond(send, status, body, JSON, more)
        return status

    async def _answer_stranger(self, scope: Mapping[str, Any], send: Send) -> None:
        """Somebody without a token: told that the process lives and whether it is ready, and nothing else."""
        path, method = scope["path"], scope["method"]
        if path in OPEN_TO_ALL and method in ("GET", "HEAD"):
            page = await (self._healthz() if path == "/healthz" else self._readyz(detailed=False))
            await respond(send, *page, [], head=method == "HEAD")
            return
        headers = dict(scope["headers"])
        what = "the token is not one that is taken" if b"authorization" in headers else "the request has no token"
        error = Invalid(what, fix="send the header Authorization: Bearer <token>", reason="unauthorized")
        challenge = ((b"www-authenticate", b"Bearer"),)
        request_id = self._request_id(headers.get(b"x-request-id"))
        await self._answer_error(error, request_id, send, status=401, source="platform", headers=challenge)

    async def _answer_page(self, scope: Mapping[str, Any], send: Send) -> None:
        path, method = scope["path"], scope["method"]
        request_id = self._request_id(dict(scope["headers"]).get(b"x-request-id"))
        page = self._pages.get(path) or self._page_of_pipeline(path)
        takes_posts = path in self._routes.by_path
        if page is None and not takes_posts:
            error = self._routes.unknown(path, pages=self._pages)
            await self._answer_error(error, request_id, send, source="platform")
            return
        if page is None or method not in ("GET", "HEAD"):
            allowed = ", ".join([*(["GET, HEAD"] if page else []), *(["POST"] if takes_posts else [])])
            error = NotFound(f"{path} does not take {method}", fix=f"send {allowed}", reason="method_not_allowed")
            allow = ((b"allow", allowed.encode()),)
            await self._answer_error(error, request_id, send, status=405, source="platform", headers=allow)
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

    def _page_of_pipeline(self, path: str) -> Callable[[], Awaitable[Page]] | None:
        """Pages below a pipeline's address: its entry in the list, and its own description."""
        described = path.removesuffix(DESCRIPTION)
        if described == path:
            route = self._routes.by_path.get(path) if path.startswith(PIPELINES) else None
            if route is None or "/" in path[len(PIPELINES) :]:
                return None
            return partial(self._entry, route)
        route = self._routes.by_path.get(described)
        return None if route is None or described == INFER else partial(self._description, route, described)

    async def _entry(self, route: InferRoute) -> Page:
        return said(pipeline_entry(route, stopping=self._stopping))

    async def _description(self, route: InferRoute, path: str) -> Page:
        short, shortest = Place.of(route.pipeline).named_paths
        return said(describe(route.pipeline, path=short if path == shortest else path))

    async def _models(self) -> Page:
        return models_page(self._routes, stopping=self._stopping)

    async def _pipelines(self) -> Page:
        return pipelines_page(self._routes, stopping=self._stopping)

    async def _healthz(self) -> Page:
        return said({"status": "alive"})

    async def _readyz(self, *, detailed: bool = True) -> Page:
        if self._stopping:
            return said({"status": "stopping"}, status=503)
        if self._waits:
            return said({"status": "starting"}, status=503)
        return await readiness_page(self._routes, detailed=detailed)

    async def _metrics_page(self) -> Page:
        return 200, self._metrics.text(), b"text/plain; version=0.0.4; charset=utf-8"

    async def _openapi(self) -> Page:
        return said(describe_all([route.pipeline for route in self._routes]))

    async def _docs(self) -> Page:
        return 200, docs_page([route.pipeline for route in self._routes]), b"text/html; charset=utf-8"


def _place_of(error: BaseException) -> tuple[object, ...]:
    """Tells an unforeseen error from others: its type, and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (type(error), *(() if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)))
