"""Nothing is done, and nothing told, without the token: every route with every method."""

import asyncio
import os
import re
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from trivet.control.app import build_app, openapi_document, routes_of
from trivet.control.http.access import PUBLIC
from trivet.control.reference_api import ABSENT
from trivet.control.token import token_of
from trivet.domain.access import OWNER, callers_of
from trivet.domain.own_hosts import OwnHosts
from trivet.errors import Invalid, Unavailable

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
OPEN = {("/healthz", "GET"), ("/readyz", "GET"), ("/docs", "GET"), ("/openapi.json", "GET"), ("/openapi.json", "HEAD")}
"""What anybody may read. A line more here is a decision, not a repair."""


def every_path() -> list[str]:
    nothing: Any = None
    return sorted({str(route.path) for route in iter_route_contexts(routes_of(nothing).routes)})


def called(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "1", path)


def statuses(api, requests: list[tuple[str, str]], **headers: str) -> dict[tuple[str, str], int]:
    async def all_of(client: httpx.AsyncClient) -> dict[tuple[str, str], int]:
        found = {}
        for path, method in requests:
            content = b"{}" if method in {"POST", "PUT", "PATCH"} else None
            sent = {"Content-Type": "application/json"} if content else {}
            answer = await client.request(method, called(path), content=content, headers=sent)
            found[path, method] = answer.status_code
        return found

    async def whole() -> dict[tuple[str, str], int]:
        transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            return await all_of(client)

    return asyncio.run(whole())


def test_the_list_of_routes_is_whole() -> None:
    paths = set(every_path())
    assert set(openapi_document()["paths"]) <= paths
    assert set(ABSENT) <= paths
    assert paths >= PUBLIC
    assert len(paths) > 70


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic 0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef",
        "Bearer 0123456789abcdef0123456789abcde",
        "Bearer 0123456789abcdef0123456789abcdef0",
        "Bearer 0123456789ABCDEF0123456789ABCDEF",
        "Bearer 0123456789abcdef0123456789abcdef, x",
    ],
)
def test_every_route_and_method_requires_the_token_except_open_ones(api, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    asked = [(path, method) for path in every_path() for method in METHODS]
    found = statuses(api, asked, **headers)
    assert {request for request, status in found.items() if status == 200} == OPEN
    # The other methods of open paths reach the router, which has nothing for them: never more than that.
    let_through = {request for request, status in found.items() if status != 401}
    assert let_through - OPEN == {(path, "HEAD") for path in PUBLIC} - OPEN
    assert all(found[request] == 405 for request in let_through - OPEN)


def test_every_route_can_be_reached_with_the_token(api) -> None:
    nothing: Any = None
    there = [
        (str(route.path), method)
        for route in iter_route_contexts(routes_of(nothing).routes)
        for method in route.methods or ()
    ]
    found = statuses(api, there, Authorization=f"Bearer {api.token}")
    assert not {request: status for request, status in found.items() if status in {401, 403, 405, 421}}
    assert not {request: status for request, status in found.items() if status >= 500 and status != 501}


@pytest.mark.parametrize(
    "path",
    [
        "/healthz/",
        "//healthz",
        "/healthz/../v1/models",
        "/docs/../v1/models",
        "/v1/models?x=/healthz",
        "/openapi.json/",
        "/%68ealthz/x",
        "/v1/models/%2e%2e/healthz",
        "/HEALTHZ",
        "/docs;/v1/models",
        "/v1/",
        "/",
    ],
)
def test_nothing_that_only_resembles_an_open_path_is_open(api, path: str) -> None:
    assert statuses(api, [(path, "GET")])[path, "GET"] == 401


def test_the_scheme_may_be_written_in_any_case(api) -> None:
    assert statuses(api, [("/v1/workspaces", "GET")], Authorization=f"bEaReR  {api.token}") == {
        ("/v1/workspaces", "GET"): 200
    }


def test_a_refusal_has_the_usual_form_and_says_where_the_token_is(api) -> None:
    answer = api.run(lambda client: client.get("/v1/models", headers={"Authorization": "Bearer wrong"}))
    said = answer.json()
    assert (said["code"], said["reason"], said["source"]) == (401, "unauthorized", "platform")
    assert said["request_id"]
    assert "home" in said["fix"]
    assert answer.headers["www-authenticate"] == "Bearer"
    assert api.token not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "[::1]:8000"]
)
def test_loopback_names_are_answered(api, host: str) -> None:
    assert api.ask("GET", "/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "evil.example:8000",
        "localhost@evil.example",
        "",
        "[",
        "127.0.0.2",
        "0.0.0.0",
    ],
)
def test_a_foreign_host_is_refused_with_the_token_and_on_open_paths(api, host: str) -> None:
    for path in ("/v1/models", "/healthz"):
        assert api.ask("GET", path, headers={"Host": host}).status_code == 421


def test_a_name_that_is_configured_is_answered(api) -> None:
    async def ask() -> int:
        transport = httpx.ASGITransport(
            build_app(api.control, callers=callers_of({api.token: OWNER}), hosts=OwnHosts(["Trivet.example"]))
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://trivet.example:8000") as client:
            return (await client.get("/healthz")).status_code

    assert asyncio.run(ask()) == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://127.0.0.2"]
)
def test_another_sites_page_is_refused(api, origin: str) -> None:
    assert api.refused(403, "GET", "/v1/models", headers={"Origin": origin})["reason"] == "foreign_origin"


def test_a_page_of_our_own_is_not(api) -> None:
    assert api.ask("GET", "/v1/models", headers={"Origin": "http://localhost:8000"}).status_code == 200


@pytest.mark.parametrize("name", ["Authorization", "Host", "Origin"])
def test_a_header_that_decides_may_be_there_once(api, name: str) -> None:
    values = {"Authorization": f"Bearer {api.token}", "Host": "localhost", "Origin": "http://localhost"}
    twice = [*values.items(), (name, "evil.example")]
    assert api.run(lambda client: client.get("/v1/models", headers=twice)).status_code == 400


def test_every_answer_forbids_sniffing_keeping_and_framing(api) -> None:
    for path, headers in (
        ("/v1/models", {}),
        ("/v1/nothing", {}),
        ("/v1/models", {"Authorization": "x"}),
        ("/docs", {}),
    ):
        answer = api.ask("GET", path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_the_docs_page_loads_nothing_and_runs_nothing(api) -> None:
    page = api.ask("GET", "/docs").text
    assert "This is <code>http://localhost</code>" in page
    assert api.call("GET", "/openapi.json")["servers"] == [{"url": "/"}]
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)='(?:https?:)?//", page)
    assert "/v1/pipelines/{name}/deploy" in page


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = token_of(tmp_path, {})
    finally:
        os.umask(before)
    assert len(made) >= 32
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert token_of(tmp_path, {}) == made


def test_an_incomplete_token_file_gets_a_new_token(tmp_path: Path) -> None:
    (tmp_path / "token").touch(mode=0o600)
    made = token_of(tmp_path, {})
    assert (tmp_path / "token").read_text() == made + "\n"


def test_the_environments_token_comes_first_and_must_be_long_enough(tmp_path: Path) -> None:
    assert token_of(tmp_path, {"TRIVET_TOKEN": "x" * 16}) == "x" * 16
    assert not (tmp_path / "token").exists()
    with pytest.raises(Invalid, match="fewer than 16") as caught:
        token_of(tmp_path, {"TRIVET_TOKEN": "short-secret"})
    assert "short-secret" not in str(caught.value)


def test_a_link_in_the_tokens_place_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "token").symlink_to(victim)
    with pytest.raises(Unavailable):
        token_of(tmp_path, {})
    assert not victim.exists()


def test_every_error_of_a_route_is_documented_with_its_form(api) -> None:
    document = api.call("GET", "/openapi.json")
    assert document == openapi_document()
    schema = document["components"]["schemas"]["Error"]
    asked = [(path, method) for path, operations in document["paths"].items() for method in operations]

    async def bodies(client: httpx.AsyncClient) -> dict[tuple[str, str, int], Any]:
        found = {}
        for path, method in asked:
            for content, kind in ((b"{}", "application/json"), (b"[", "application/json"), (b"x", "text/plain")):
                for token in (api.token, "wrong"):
                    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
                    sent = content if method not in {"get", "delete"} else None
                    answer = await client.request(method, called(path), content=sent, headers=headers)
                    if answer.status_code >= 400:
                        found[path, method, answer.status_code] = answer.json()
        return found

    found = api.run(bodies)
    assert {status for _, _, status in found} >= {400, 401, 404, 415}
    for (path, method, status), body in found.items():
        declared = document["paths"][path][method]["responses"]
        assert declared[str(status)]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
        assert set(schema["required"]) <= set(body) <= set(schema["properties"]), (path, method, status)
    for path, method in asked:
        assert "422" not in document["paths"][path][method]["responses"]
    assert "content" not in document["paths"]["/readyz"]["get"]["responses"]["503"]
