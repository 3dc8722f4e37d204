"""What a body of JSON may hold, and that nothing else reaches a route."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.control.http.body_reading import JsonBodies, plain_json
from trivet.domain.held_bytes import HeldBytes
from trivet.errors import Invalid

JSON = [(b"content-type", b"application/json")]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


def ask(
    *pieces: bytes,
    method: str = "POST",
    path: str = "/v1/pipelines",
    headers: Sequence[tuple[bytes, bytes]] = JSON,
    query: bytes = b"",
    most_bytes: int = 1000,
    within_s: float = 5.0,
    ends: bool = True,
    held: HeldBytes | None = None,
) -> tuple[int, Any]:
    """The status, and the body that a route was handed or the error that came instead of it."""
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    waiting.append({"type": "http.request", "body": b"", "more_body": False} if ends else {"type": "http.disconnect"})
    said: dict[str, Any] = {"status": 0, "body": b""}

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        said["status"] = message.get("status", said["status"])
        said["body"] += message.get("body", b"")

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        length = dict(scope["headers"]).get(b"content-length")
        assert length is None or int(length) == len(body)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": orjson.dumps(body.decode())})

    async def run() -> None:
        scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": list(headers)}
        await JsonBodies(echo, most_bytes=most_bytes, within_s=within_s, held=held)(scope, receive, send)

    asyncio.run(run())
    return said["status"], orjson.loads(said["body"]) if said["body"] else None


def test_json_that_comes_in_pieces_reaches_the_route_whole() -> None:
    assert ask(b'{"name"', b': "fraud"}', headers=[*JSON, (b"content-length", b"17")]) == (200, '{"name":"fraud"}')


def test_a_missing_body_is_not_an_error() -> None:
    assert ask(headers=[]) == (200, "")


def test_a_body_beyond_the_limit_is_refused_before_it_is_whole() -> None:
    status, said = ask(b"[" + b"1," * 400, b"1," * 400, b"1]", most_bytes=1000)
    assert (status, said["class"]) == (413, "TooLarge")


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-www-form-urlencoded", b"application/jsonp", b""])
def test_another_media_type_is_refused(kind: bytes) -> None:
    status, said = ask(b"{}", headers=[(b"content-type", kind)])
    assert (status, said["reason"]) == (415, "media_type")


def test_a_charset_behind_the_media_type_does_no_harm() -> None:
    assert ask(b"{}", headers=[(b"content-type", b"Application/JSON; charset=utf-8")]) == (200, "{}")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b"1" + b"0" * 400,
        b'"\\ud800"',
        b'"\xff"',
        b"[" * 900 + b"]" * 900,
        b'"\\u0000"',
    ],
)
def test_what_not_every_part_of_the_platform_can_keep_is_refused(body: bytes) -> None:
    status, said = ask(body, most_bytes=10_000)
    assert (status, said["path"]) == (400, "body")


def test_an_escaped_backslash_before_u0000_is_not_a_nul_character() -> None:
    assert ask(b'"\\\\u0000"')[0] == 200
    assert ask(b'"\\\\\\u0000"')[0] == 400


def test_a_nul_character_in_the_address_is_refused() -> None:
    assert ask(path="/v1/models/a\0b", headers=[])[0] == 400
    assert ask(query=b"workspace=a%00b", headers=[])[0] == 400


def test_a_body_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async def silence() -> Any:
        await asyncio.Event().wait()

    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    async def unreachable(*_: Any) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/v1/pipelines", "query_string": b"", "headers": JSON}
    asyncio.run(JsonBodies(unreachable, within_s=0.05)(scope, silence, send))
    assert answers[0]["status"] == 408


def test_bodies_that_hold_too_much_together_are_refused() -> None:
    held = HeldBytes(20 * 1000)
    held.hold(10 * 1000)
    status, said = ask(b"[" + b"1," * 800, b"1," * 400, b"1]", held=held)
    assert (status, said["class"], said["reason"]) == (429, "Overloaded", "memory_held")
    assert held.held == 10 * 1000
    assert ask(b"[1]", held=held)[0] == 200
    assert held.held == 10 * 1000


def test_a_caller_who_goes_away_is_not_answered() -> None:
    assert ask(b"{", ends=False) == (0, None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/uploads/0123456789abcdef0123456789abcdef/content"),
        ("POST", "/v1/api/models/upload_and_convert"),
        ("POST", "/v1/api/models/upload_stream"),
    ],
)
def test_a_files_bytes_are_not_looked_at(method: str, path: str) -> None:
    assert ask(b"x" * 2000, method=method, path=path, headers=[]) == (200, "x" * 2000)


@pytest.mark.parametrize(
    "path", ["/v1/uploads/a/b/content", "/v1/uploads/a/content/", "/v1/uploads//content", "/v1/uploads"]
)
def test_what_only_looks_like_an_upload_is(path: str) -> None:
    assert ask(b"x" * 2000, method="PUT", path=path, headers=[])[0] == 413


@given(PLAIN)
def test_plain_json_stays_what_it_is(value: Any) -> None:
    text = json.dumps(value).encode()
    try:
        assert orjson.loads(plain_json(text)) == value
    except Invalid:
        assert "\0" in str(value) or "\\x00" in repr(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    with contextlib.suppress(Invalid):
        json.loads(plain_json(body))
