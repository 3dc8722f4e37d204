"""Compressed bodies, limits, content negotiation, request ids, and routes that are not there."""

import asyncio
import gzip
import itertools
import zlib

import pyarrow as pa
import pytest
import zstandard

from trivet_tests.asgi import request_scope

RECORDS = "application/json; format=pandas-records"
FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
SOUND = b'[{"k": 1}]'
PADDED = SOUND + b" " * 300_000
COMPRESSORS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.fixture(scope="module")
def server(serve):
    return serve("k: int64", sound=SOUND.decode(), max_body=2**20)


@pytest.mark.parametrize("encoding", COMPRESSORS)
@pytest.mark.parametrize("spelt", [str.lower, str.upper, " {} ".format])
def test_compressed_bodies_are_taken(server, encoding, spelt):
    for body in (SOUND, PADDED):
        assert server.ask(COMPRESSORS[encoding](body), content_encoding=spelt(encoding)).status == 200


def test_identity_is_not_a_compression(server):
    assert server.ask(SOUND, content_encoding="identity").status == 200


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_a_compressed_body_that_is_cut_off_is_refused(server, encoding):
    """Also where what is there inflates to a whole JSON text: half a request is no request."""
    whole = COMPRESSORS[encoding](PADDED)
    for length in range(len(whole)):
        reply = server.ask(whole[:length], content_encoding=encoding)
        assert reply.status == 400, (length, reply.body)
    assert f"the body is not valid {encoding}" in reply.json["error"]
    assert reply.json["fix"] == f"compress it with {encoding}"
    assert server.still_answers()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_pieces_put_one_after_the_other_are_one_body(server, encoding):
    compress = COMPRESSORS[encoding]
    assert server.ask(compress(SOUND[:4]) + compress(SOUND[4:]), content_encoding=encoding).status == 200
    # The second is read as well: a body is never taken for its first part.
    reply = server.ask(compress(SOUND) + compress(b"nonsense"), content_encoding=encoding)
    assert reply.status == 400
    assert server.ask(compress(SOUND) + b"nonsense", content_encoding=encoding).status == 400


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_very_many_empty_pieces_are_refused_soon(server, encoding):
    body = COMPRESSORS[encoding](b"") * 10_000
    error = server.ask(body, content_encoding=encoding).json
    assert error["code"] == 400
    assert "more than 1000 members" in error["error"]


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_a_bomb_is_too_large(server, encoding):
    bomb = COMPRESSORS[encoding](SOUND + b" " * 60_000_000)
    assert len(bomb) < 100_000
    reply = server.ask(bomb, content_encoding=encoding)
    assert reply.status == 413
    assert reply.json["error"] == "the body is larger than 1 MiB"
    assert server.still_answers()


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_a_small_body_does_not_become_a_large_one(serve, encoding):
    """A hundred times as large, or a mebibyte: otherwise some kilobytes make the server hold all of `max_body`."""
    server = serve("k: int64", max_body=2**26)
    bomb = COMPRESSORS[encoding](SOUND + b" " * 60_000_000)
    reply = server.ask(bomb, content_encoding=encoding)
    assert reply.status == 413
    assert reply.json["error"] == "the body becomes more than 100 times as large when decompressed"
    assert reply.json["fix"] == "send it uncompressed, without Content-Encoding"
    assert server.ask(COMPRESSORS[encoding](SOUND + b" " * 1_000_000), content_encoding=encoding).status == 200


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_a_body_that_is_not_compressed_as_it_says_is_refused(server, encoding):
    reply = server.ask(SOUND, content_encoding=encoding)
    assert reply.status == 400
    assert f"the body is not valid {encoding}" in reply.json["error"]


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "compress", "\xe9"])
def test_other_encodings_are_not_taken(server, encoding):
    reply = server.ask(SOUND, content_encoding=encoding)
    assert reply.status == 415
    assert reply.json["fix"] == "send gzip, deflate, zstd or no encoding"


def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(server):
    calls = server.runner.calls
    reply = server.ask(SOUND, content_length=str(2**20 + 1))
    assert reply.status == 413
    assert reply.json["fix"] == "send fewer rows at once, send Arrow, or raise --max-body"
    assert server.ask(SOUND, content_length="9" * 30).status == 413
    assert server.runner.calls == calls


def test_the_limit_holds_for_bodies_in_one_piece_and_in_many(server):
    exact = SOUND + b" " * (2**20 - len(SOUND))
    assert server.ask(exact).status == 200
    assert server.ask(exact + b" ").status == 413
    pieces = [exact[start : start + 100_000] for start in range(0, len(exact), 100_000)]
    assert server.ask(pieces).status == 200
    assert server.ask([*pieces, b" "]).status == 413
    assert server.ask([SOUND[:3], b"", SOUND[3:], b""]).status == 200


def test_a_disconnected_client_does_no_harm(server):
    messages = itertools.chain(
        [{"type": "http.request", "body": SOUND[:4], "more_body": True}], itertools.repeat({"type": "http.disconnect"})
    )
    sent = []

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    async def call():
        await server.app(request_scope(), receive, send)

    asyncio.run(call())
    assert sent == []
    assert server.still_answers()


@pytest.mark.parametrize(
    "content_type",
    [
        RECORDS,
        "application/json",
        "APPLICATION/JSON;FORMAT=Pandas-Records",
        'application/json; format="pandas-records"',
        "application/json; charset=utf-8",
    ],
)
def test_records_go_by_several_names(server, content_type):
    reply = server.ask(SOUND, content_type=content_type)
    assert (reply.status, reply.headers["content-type"]) == (200, RECORDS)


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/json; format=pandas-split", "application/x-www-form-urlencoded", ";", "\xe9"],
)
def test_other_content_is_not_taken(server, content_type):
    reply = server.ask(SOUND, content_type=content_type)
    assert reply.status == 415
    assert ("has no Content-Type" if content_type in ("", ";") else "is not supported") in reply.json["error"]
    assert RECORDS in reply.json["fix"]
    assert ("curl" in reply.json["error"]) is (content_type == "application/x-www-form-urlencoded")


ACCEPTED = {
    "": None,
    "*/*": None,
    "application/*": None,
    "application/json": RECORDS,
    RECORDS: RECORDS,
    FILE: FILE,
    STREAM: STREAM,
    f"text/html, {STREAM};q=0.5, {FILE};q=0.4": STREAM,
    f"{FILE};q=0.1, application/json;q=0.9": RECORDS,
    f"{FILE}, {STREAM}": FILE,
    f"{FILE};q=0, {STREAM}": STREAM,
    f"{FILE};q=x, {STREAM}": STREAM,
    "text/html, */*;q=0.1": None,
}


@pytest.mark.parametrize("accept", ACCEPTED)
@pytest.mark.parametrize("sent", [RECORDS, FILE, STREAM])
def test_an_answer_comes_in_the_form_that_is_accepted_or_in_the_request_s(server, as_ipc, accept, sent):
    body = SOUND if sent == RECORDS else as_ipc(pa.table({"k": [1]}), form=sent)
    reply = server.ask(body, content_type=sent, accept=accept)
    wanted = ACCEPTED[accept] or sent
    assert (reply.status, reply.headers["content-type"]) == (200, wanted)
    assert reply.headers["x-content-type-options"] == "nosniff"
    rows = reply.json if wanted == RECORDS else reply.table.to_pylist()
    assert rows[0]["out"] == {"k": 1}
    assert reply.body.startswith(b"ARROW1") is (wanted == FILE)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json; format=pandas-split", f"{FILE};q=0", "nonsense", ","]
)
def test_an_answer_that_is_not_made_is_406(server, accept):
    reply = server.ask(SOUND, accept=accept)
    assert reply.status == 406
    assert reply.json["error"] == f"Accept {accept!r} cannot be met"
    assert FILE in reply.json["fix"]


def test_very_many_different_headers_are_no_burden(server):
    for number in range(600):
        assert server.ask(SOUND, content_type=f"{RECORDS}; n={number}").status == 200


def test_a_request_id_is_kept_where_it_is_harmless(server):
    assert server.ask(SOUND, x_request_id="Abc-1.2_3").headers["x-request-id"] == "Abc-1.2_3"
    assert server.ask(b"", x_request_id="Abc-1.2_3").json["request_id"] == "Abc-1.2_3"
    for odd in ("a b", "a\nb", "<b>", "x" * 129, "é"):
        made = server.ask(SOUND, x_request_id=odd).headers["x-request-id"]
        assert made != odd
        assert set(made) <= set("0123456789abcdef-")


def test_each_request_has_an_id_of_its_own(server):
    ids = {server.ask(SOUND).headers["x-request-id"] for _ in range(50)}
    assert len(ids) == 50


@pytest.mark.parametrize("path", ["/", "/infer/", "/INFER", "/nothing", "//infer", "/models/x", "/é<script>"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_paths_are_404(server, path, method):
    reply = server.ask(SOUND, path=path, method=method)
    assert reply.status == 404
    assert reply.json["reason"] == "not_found"
    assert reply.json["fix"].startswith("there are /infer, /models")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/infer", "POST"),
        ("HEAD", "/infer", "POST"),
        ("PUT", "/infer", "POST"),
        ("POST", "/models", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/docs", "GET, HEAD"),
    ],
)
def test_other_methods_are_405(server, method, path, allowed):
    reply = server.ask(method=method, path=path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert reply.json["reason"] == "method_not_allowed"
    assert reply.json["fix"] == f"send {allowed}"


@pytest.mark.parametrize("path", ["/models", "/pipelines", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_head_is_get_without_the_body(server, path):
    get = server.ask(method="GET", path=path)
    head = server.ask(method="HEAD", path=path)
    assert get.status == head.status == 200
    assert head.body == b""
    assert get.body
    assert head.headers.keys() == get.headers.keys()
