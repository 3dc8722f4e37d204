"""The gateway over HTTP, as an ASGI application: it checks names and tokens, serves pages, and hands requests to doors."""

import asyncio
import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from trivet.domain.access import Caller
from trivet.domain.held_bytes import HeldBytes, Hold
from trivet.domain.own_hosts import OwnHosts, UnknownHost, headers_by_name
from trivet.engine.calls import RawAnswer
from trivet.engine.pool import Replaced
from trivet.errors import Internal, NotFound, TrivetError, Unauthorized, Unavailable
from trivet.gateway.access import GatewayAccess
from trivet.gateway.allowance import Allowance
from trivet.gateway.doors.door import Door, Page, Source
from trivet.gateway.failures import Failures
from trivet.gateway.http.addresses import Address, Addresses
from trivet.gateway.http.bodies import read_body
from trivet.gateway.http.docs_page import CONTENT_SECURITY_POLICY
from trivet.gateway.http.errors import STATUS, error_headers
from trivet.gateway.http.pages import Pages
from trivet.gateway.http.rate_limited_log import RateLimitedLog
from trivet.gateway.http.raw_answers import PIECE_BYTES, BegunOnce, send_raw
from trivet.gateway.http.responses import Send, respond
from trivet.gateway.http.uvicorn_protocol import GatewayProtocol
from trivet.gateway.live_pipeline import RawReader
from trivet.gateway.pipelines import Abandoned, Pipelines, Taken

__all__ = ["GatewayApp"]

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]

LONG_DIGITS = 6
# Larger answers are sent in pieces.
LARGE_ANSWER = 2**20
CHALLENGE = (b"www-authenticate", b"Bearer")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class GatewayApp:
    """Answers HTTP for pipelines. All methods belong to the event loop's thread.

    Args:
        pipelines: what answers.
        doors: the protocols that it speaks, the one that answers unknown paths first.
        max_body: bytes of a request.
        access: what a request must bring; without it all who reach the listener may ask.
        hosts: what requests may name; by default the loopback names.
        held: what all requests of the process hold; by default without a limit.
        client_timeout_s: how long a client may take to send its body, and to read a piece of an answer that the model writes.
        failures: gets the errors of models; None keeps none.
        url: of the server, for its pages.
    """

    def __init__(
        self,
        pipelines: Pipelines,
        doors: Sequence[Door],
        *,
        max_body: int,
        access: GatewayAccess | None = None,
        hosts: OwnHosts | None = None,
        held: HeldBytes | None = None,
        client_timeout_s: float = 60.0,
        failures: Failures | None = None,
        url: str = "http://localhost:8080",
    ) -> None:
        self._pipelines = pipelines
        self._failures = failures
        self._addresses = Addresses(doors, pipelines)
        self._pages = Pages(pipelines, url=url, needs_token=access is not None)
        self._max_body = max_body
        # A length of so many digits is looked at before the body arrives.
        self._long_digits = min(LONG_DIGITS, len(str(max_body)))
        self._held = held or HeldBytes()
        self._client_timeout_s = client_timeout_s
        self._access = access
        self._hosts = hosts or OwnHosts()
        self._faults = RateLimitedLog(logging.getLogger(__name__))
        self._id_prefix = secrets.token_hex(6).encode()
        self._id_count = itertools.count(1)

    def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        """ASGI."""
        if scope["type"] != "http":
            raise Internal(f"the gateway speaks HTTP, not {scope['type']}")
        caller = None
        try:
            headers = headers_by_name(scope["headers"])
            self._hosts.check(headers.get(b"host"), headers.get(b"origin"))
            if self._access is not None:
                caller = self._access.caller(headers.get(b"authorization"))
        except TrivetError as error:
            return self._refuse(error, scope, send)
        address = self._addresses.by_path.get(scope["path"])
        if address is not None and scope["method"] == "POST":
            return self._answer_prediction(address, caller, scope, receive, send, headers)
        return self._answer_page(scope, headers, send)

    # One coroutine for all of it, and no keywords: the time that they take counts beside a small model's.
    async def _answer_prediction(  # noqa: PLR0917
        self,
        address: Address,
        caller: Caller | None,
        scope: Mapping[str, Any],
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
    ) -> None:
        request_id = self._request_id(headers.get(b"x-request-id"))
        connection: GatewayProtocol | None = scope["state"].get("connection")
        with Allowance(0, self._max_body, self._held) as allowance:
            try:
                with Taken(self._pipelines, address.pipeline, caller) as taken:
                    scope["state"]["on_left"] = taken.on_left()
                    length = headers.get(b"content-length", b"")
                    if len(length) >= self._long_digits:
                        allowance.expect(int(length))
                    exchange = address.exchange(scope["path"], scope["query_string"], headers)
                    body = None if connection is None else connection.whole_body(allowance)
                    if body is None:
                        body = await read_body(receive, allowance, within_s=self._client_timeout_s)
                    answers, content, content_type = True, None, b""
                    while content is None:
                        if taken.moved(answers=answers):
                            newer = self._addresses.exchange(address.door, taken.pipeline)
                            exchange = newer(scope["path"], scope["query_string"], headers)
                        try:
                            if isinstance(exchange, RawReader):
                                # An error after the first piece has no page: `_answer_error` logs it, and the connection is cut.
                                send = BegunOnce(send)
                                ask = partial(taken.pipeline.answer_raw, exchange, body, allowance)
                                await self._send_raw(send, taken, ask, request_id, held=allowance)
                                return
                            content_type = exchange.content_type
                            content = await taken.pipeline.answer(exchange, body, allowance)
                        except Replaced:
                            answers = False
                            allowance.decode_again()
            except Abandoned:
                return
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the edge: whatever happened becomes an answer
                if self._failures is not None:
                    self._failures.add(error, request_id=request_id, live=address.pipeline)
                await self._answer_error(error, request_id, send, door=address.door)
                return
            if len(content) > LARGE_ANSWER:
                allowance.hold_anyway(len(content))
                await send(_ok_head(content, content_type, request_id))
                await _send_in_pieces(send, memoryview(content), taken)
            elif connection is None or not connection.answer(content, content_type, request_id):
                await send(_ok_head(content, content_type, request_id))
                await send({"type": "http.response.body", "body": content})

    async def _send_raw(
        self, send: Send, taken: Taken, ask: Callable[[], Awaitable[RawAnswer]], request_id: bytes, *, held: Hold
    ) -> None:
        """Send what the model answers. A client that leaves has as much of it as it needs."""
        try:
            await send_raw(send, ask, request_id, held=held, slowest_piece_s=self._client_timeout_s)
        except asyncio.CancelledError:
            if not taken.left:
                raise

    def _request_id(self, given: bytes | None) -> bytes:
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return b"%b-%x" % (self._id_prefix, next(self._id_count))

    async def _answer_error(
        self,
        error: BaseException,
        request_id: bytes,
        send: Send,
        *,
        door: Door,
        status: int | None = None,
        source: Source = "engine",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        shown = request_id.decode()
        if isinstance(error, asyncio.CancelledError):
            # Nothing but a stop that ran out of time cancels a request whose client is there.
            error = Unavailable("the server stopped before this was answered", fix="send it again once one is up")
        if not isinstance(error, TrivetError):
            self._faults.say(logging.ERROR, f"request {shown} failed", key=_place_of(error), exc_info=error)
            fix = "the server's log says more, under this request id or one shortly before it"
            error = Internal("Internal processing error", fix=fix)
        status = status or STATUS[error.kind]
        if status >= 500:
            key = (status, error.reason, error.what)
            self._faults.say(logging.WARNING, f"request {shown}: {error.message}", key=key)
        page = door.error(error, status=status, request_id=shown, source=source)
        more = [*error_headers(error), (b"x-request-id", request_id), *headers]
        await respond(send, *page, more)

    async def _refuse(self, error: TrivetError, scope: Mapping[str, Any], send: Send) -> None:
        """A request without a valid token learns that the process lives and whether it is ready, and nothing else; one of
        another site's page learns nothing.
        """
        path, method = scope["path"], scope["method"]
        unauthorized = isinstance(error, Unauthorized)
        page = self._pages.public.get(path) if unauthorized else None
        if page is not None and method in ("GET", "HEAD"):
            made = await page()
            challenge = [CHALLENGE] if made.status == 401 else []
            await respond(send, *made, [*_policy(made), *challenge], head=method == "HEAD")
            return
        await self._answer_error(
            error,
            self._request_id(dict(scope["headers"]).get(b"x-request-id")),
            send,
            door=self._addresses.door(path),
            status=421 if isinstance(error, UnknownHost) else None,
            source="platform",
            headers=(CHALLENGE,) if unauthorized else (),
        )

    async def _answer_page(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], send: Send) -> None:
        path, method = scope["path"], scope["method"]
        request_id = self._request_id(headers.get(b"x-request-id"))
        takes_posts = path in self._addresses.by_path
        try:
            page = self._pages.by_path.get(path) or self._addresses.page(path)
        except TrivetError as error:
            await self._answer_error(error, request_id, send, door=self._addresses.door(path), source="platform")
            return
        if page is None and not takes_posts:
            door, missing = self._addresses.missing(path, pages=list(self._pages.by_path))
            await self._answer_error(missing, request_id, send, door=door, source="platform")
            return
        door = self._addresses.door(path)
        if page is None or method not in ("GET", "HEAD"):
            allowed = ", ".join([*(["GET, HEAD"] if page else []), *(["POST"] if takes_posts else [])])
            refused = NotFound(f"{path} does not take {method}", fix=f"send {allowed}", reason="method_not_allowed")
            allow = ((b"allow", allowed.encode()),)
            await self._answer_error(refused, request_id, send, door=door, status=405, source="platform", headers=allow)
            return
        try:
            made = await page()
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened becomes an answer
            await self._answer_error(error, request_id, send, door=door)
            return
        await respond(send, *made, _policy(made), head=method == "HEAD")


def _policy(page: Page) -> list[tuple[bytes, bytes]]:
    is_html = page.content_type.startswith(b"text/html")
    return [(b"content-security-policy", CONTENT_SECURITY_POLICY)] if is_html else []


def _ok_head(content: bytes | memoryview, content_type: bytes, request_id: bytes) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(content)),
            (b"x-request-id", request_id),
            (b"x-content-type-options", b"nosniff"),
        ],
    }


async def _send_in_pieces(send: Send, content: memoryview, taken: Taken) -> None:
    """Send a large answer as fast as the client reads it, so that the connection keeps one piece at a time."""
    for start in range(0, len(content), PIECE_BYTES):
        end = start + PIECE_BYTES
        await send(
            {"type": "http.response.body", "body": content[start:end], "more_body": end < len(content)},
        )
        if taken.left:
            return
        # The transport writes at the end of the turn. Only then it knows whether the next piece must wait.
        await asyncio.sleep(0)


def _place_of(error: BaseException) -> tuple[object, ...]:
    """Tells an unforeseen error from others: its type, and where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (type(error), *(() if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)))
