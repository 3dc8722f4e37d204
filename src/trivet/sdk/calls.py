"""Requests as values, shared by the clients with and without an event loop.

An operation is a generator. It yields a `Call` or a `Pause`, receives the `Reply`, and returns its result.
`SyncDriver` and `AsyncDriver` run operations.
"""

import asyncio
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import httpx

import trivet.errors
from trivet.errors import DeadlineExceeded, Internal, Invalid, TrivetError, Unavailable

__all__ = ["AsyncDriver", "Call", "Operation", "Pause", "Platform", "Reply", "SyncDriver", "checked", "document"]

T = TypeVar("T")
CHUNK = 2**20
LONGEST_S = 1e6
BY_STATUS = {
    400: "Invalid",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    406: "NotAcceptable",
    409: "Conflict",
    413: "TooLarge",
    415: "Unsupported",
    421: "Invalid",
    422: "ModelFailed",
    429: "Overloaded",
    500: "Internal",
    501: "Unsupported",
    503: "Unavailable",
    504: "DeadlineExceeded",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request.

    Attributes:
        path: below the control API's address, or a whole URL.
        body: JSON, if not None.
        content: bytes, if not None.
        file: a file whose bytes are sent, if not None; `progress` receives their count.
        timeout_s: how long the platform may send nothing; the driver's own if None.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    content: bytes | None = None
    file: Path | None = None
    progress: Callable[[int, int], None] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """A wait."""

    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The result of a call or a pause.

    Attributes:
        status: of a call; 0 after a pause.
        at: when it arrived, in seconds of a monotonic clock.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    at: float = 0.0


Step: TypeAlias = Call | Pause
Operation: TypeAlias = Generator[Step, Reply, T]


def document(reply: Reply) -> Any:
    """The JSON of a successful reply.

    Raises:
        TrivetError: the platform's error.
    """
    checked(reply)
    try:
        return json.loads(reply.content) if reply.content else None
    except ValueError as error:
        raise Internal("the platform's answer is not JSON", why=str(error)) from error


def checked(reply: Reply) -> Reply:
    """The reply, if it is successful.

    Raises:
        TrivetError: the platform's error.
    """
    if 200 <= reply.status < 300:
        return reply
    try:
        error = json.loads(reply.content)
    except ValueError:
        error = {}
    if not isinstance(error, dict):
        error = {}
    kind = getattr(trivet.errors, str(error.get("class", "")), None)
    if not (isinstance(kind, type) and issubclass(kind, TrivetError)):
        name = BY_STATUS.get(reply.status, "Internal")
        # A gateway answers 500 for a model's errors and for its own faults.
        if name == "Internal" and error.get("source") == "engine" and error.get("reason") != Internal.default_reason:
            name = "ModelFailed"
        kind = getattr(trivet.errors, name)
    what = error.get("what") or error.get("error") or f"the platform answered with status {reply.status}"
    why = error.get("why") if error.get("what") else None
    raise kind(what, why=why, fix=error.get("fix"), path=error.get("path"), reason=error.get("reason"))


def _request(call: Call, *, base: str, token: str | None, timeout_s: float) -> dict[str, Any]:
    timeout_s = timeout_s if call.timeout_s is None else call.timeout_s
    if not timeout_s > 0:
        raise Invalid(f"a timeout of {timeout_s} s", fix="give a number of seconds above 0")
    # A socket's timeout must be a finite number; no one waits longer than this.
    timeout_s = min(timeout_s, LONGEST_S)
    headers = dict(call.headers)
    if token is not None and "authorization" not in {name.lower() for name in headers}:
        headers["Authorization"] = f"Bearer {token}"
    content: Any = call.content
    if call.body is not None:
        content = json.dumps(call.body).encode()
        headers["Content-Type"] = "application/json"
    if call.file is not None:
        headers["Content-Length"] = str(call.file.stat().st_size)
        headers.setdefault("Content-Type", "application/octet-stream")
    return {
        "method": call.method,
        "url": call.path if "://" in call.path else base + call.path,
        "params": {name: value for name, value in call.query.items() if value is not None} or None,
        "headers": headers,
        "content": content,
        "timeout": httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
    }


def _pieces(call: Call) -> Iterator[bytes]:
    assert call.file is not None
    size, sent = call.file.stat().st_size, 0
    with call.file.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
            sent += len(piece)
            if call.progress is not None:
                call.progress(sent, size)


def _failed(error: httpx.HTTPError, call: Call, base: str, timeout_s: float) -> TrivetError:
    where = call.path if "://" in call.path else base
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        timeout_s = timeout_s if call.timeout_s is None else call.timeout_s
        return DeadlineExceeded(
            f"{where} did not answer within {timeout_s:g} s", fix="give a longer timeout, or send fewer rows"
        )
    if call.file is not None and not isinstance(error, httpx.ConnectError):
        return Unavailable(
            f"the upload of {call.file.name} was interrupted",
            why=str(error) or type(error).__name__,
            fix="when the platform answers again, check whether it arrived (list_models); if not, upload it again",
        )
    return Unavailable(
        f"the platform at {where} cannot be reached",
        why=str(error) or type(error).__name__,
        fix="start it with `trivet up`, or give its address: TRIVET_URL, or Client(url)",
    )


def _reply(answer: httpx.Response) -> Reply:
    return Reply(status=answer.status_code, headers=answer.headers, content=answer.content, at=time.monotonic())


@dataclass(slots=True)
class SyncDriver:
    """Runs operations, one step after another."""

    base: str
    token: str | None = field(repr=False)
    http: httpx.Client
    timeout_s: float = 30.0

    def run(self, operation: Operation[T]) -> T:
        """An operation's result."""
        try:
            step = next(operation)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = operation.send(Reply(at=time.monotonic()))
                    continue
                try:
                    reply = self._send(step)
                except httpx.HTTPError as error:
                    step = operation.throw(_failed(error, step, self.base, self.timeout_s))
                else:
                    step = operation.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        except KeyboardInterrupt as interrupt:
            # The operation may print something before it ends.
            operation.throw(interrupt)
            raise

    def _send(self, call: Call) -> Reply:
        request = _request(call, base=self.base, token=self.token, timeout_s=self.timeout_s)
        if call.file is not None:
            request["content"] = _pieces(call)
        answer = self.http.request(**request)
        return _reply(answer)


@dataclass(slots=True)
class AsyncDriver:
    """Runs operations in an event loop."""

    base: str
    token: str | None = field(repr=False)
    http: httpx.AsyncClient
    timeout_s: float = 30.0

    async def run(self, operation: Operation[T]) -> T:
        """An operation's result."""
        try:
            step = next(operation)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = operation.send(Reply(at=time.monotonic()))
                    continue
                try:
                    reply = await self._send(step)
                except httpx.HTTPError as error:
                    step = operation.throw(_failed(error, step, self.base, self.timeout_s))
                else:
                    step = operation.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        except (KeyboardInterrupt, asyncio.CancelledError) as interrupt:
            operation.throw(interrupt)
            raise

    async def _send(self, call: Call) -> Reply:
        request = _request(call, base=self.base, token=self.token, timeout_s=self.timeout_s)
        if call.file is not None:
            pieces = _pieces(call)

            async def read() -> Any:
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    yield piece

            request["content"] = read()
        answer = await self.http.request(**request)
        return _reply(answer)


class Platform(Protocol):
    """A platform that runs operations.

    Attributes:
        say: prints progress for the user.
    """

    say: Callable[[str], None]

    def run(self, operation: Operation[T]) -> T:
        """Run an operation."""

    def async_driver(self, http: "httpx.AsyncClient") -> AsyncDriver:
        """A driver that runs operations in an event loop."""

    def async_http(self, connections: int) -> "httpx.AsyncClient":
        """Connections for an event loop."""
