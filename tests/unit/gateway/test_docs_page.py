"""The page of documentation: its policy, its forms, and what it shows to a request without a token."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from trivet.gateway.access import GatewayAccess

NASTY = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.scripts = []
        self.texts = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        is_script = bool(self.tags) and self.tags[-1][0] == "script" and self.get_starttag_text() == "<script>"
        (self.scripts if is_script and self.cdata_elem == "script" else self.texts).append(data)

    def of(self, tag):
        return [attrs for each, attrs in self.tags if each == tag]

    def fields(self):
        return {attrs["data-field"]: attrs for _, attrs in self.tags if "data-field" in attrs}


def page_of(server, **headers):
    reply = server.ask(method="GET", path="/docs", **headers)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    return reply, Page(reply.body.decode())


def test_the_only_script_of_the_page_is_that_of_its_policy(serve):
    reply, page = page_of(serve(f"{json.dumps(NASTY)}: int64; {json.dumps(chr(39) + '&')}: string", name=NASTY))
    policy = reply.headers["content-security-policy"]
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; connect-src 'self'; form-action 'none'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'; base-uri 'none'" in policy
    assert page.of("script") == [{}]
    assert NASTY in page.fields()


def test_the_page_loads_nothing_and_has_no_inline_handlers(serve):
    _, page = page_of(serve("k: int64"))
    for tag, attrs in page.tags:
        assert not {name for name in attrs if name.startswith("on")} | ({"src", "action", "style"} & set(attrs)), tag
        assert re.match(r"/[a-z]", attrs.get("href", "/x"))


def test_the_form_has_a_field_with_an_example_for_each_column(serve):
    schema = "i: int64; f: float32; b: bool; s: string; t: timestamp[us]; l: int64[]; n: int8?; d: decimal128(10,2); y: binary"
    server = serve(schema)
    _, page = page_of(server)
    fields = page.fields()
    kinds = {name: attrs["data-kind"] for name, attrs in fields.items()}
    assert kinds == {
        "i": "integer",
        "f": "number",
        "b": "boolean",
        "s": "text",
        "t": "time",
        "l": "json",
        "n": "integer",
        "d": "text",
        "y": "text",
    }
    assert [name for name, attrs in fields.items() if "data-nullable" in attrs] == ["n"]
    assert [attrs["data-null"] for attrs in page.of("input") if "data-null" in attrs] == ["6"]
    assert page.of("form") == [{"data-path": "/infer", "autocomplete": "off"}]


def test_a_large_example_is_left_out_of_its_field(serve):
    reply, _ = page_of(serve("x: float32[64,64]"))
    assert re.search(rb'data-field="x"[^>]*>\n</textarea>', reply.body)


def test_a_page_without_tokens_has_no_field_for_one(serve):
    reply, _ = page_of(serve("k: int64"))
    assert b'id="token"' not in reply.body


def test_without_a_token_the_page_has_a_field_for_it_alone(serve):
    server = serve("secret_column: int64", name="secret-model", access=GatewayAccess(["first-token"]))
    for headers in ({}, {"authorization": "Bearer first-toke"}):
        reply, page = page_of(server, **headers)
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert "script-src 'sha256-" in reply.headers["content-security-policy"]
        assert b"secret" not in reply.body
        assert [attrs["id"] for attrs in page.of("input")] == ["token"]
    reply, page = page_of(server, authorization="Bearer first-token")
    assert reply.status == 200
    assert "secret_column" in page.fields()
    assert {"id": "token", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"} in page.of("input")
    assert server.ask(method="POST", path="/docs").json["reason"] == "unauthorized"
