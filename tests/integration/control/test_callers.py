"""Who may do what: each route refuses a caller without a role, and the owner may use all of them."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from trivet.control.app import routes_of
from trivet.control.http.access import CALLER, PUBLIC
from trivet.control.reference_api import ABSENT
from trivet.domain.access import Caller

NOTHING: Any = None
GUEST = Caller(name="guest")
STEPS = [{"ModelInference": {"models": [{"version": "UUID"}]}}]

ROUTES = sorted(
    f"{method} {route.path}"
    for route in iter_route_contexts(routes_of(NOTHING).routes)
    for method in route.methods or ()
    if route.path not in {*PUBLIC, *ABSENT}
)

# A request to each route, on a platform that `prepared` has filled. The text UUID stands for that of the version.
REQUESTS: dict[str, tuple[str, Any]] = {
    "GET /v1/platform": ("/v1/platform", None),
    "GET /v1/status": ("/v1/status", None),
    "GET /v1/events": ("/v1/events", None),
    "GET /v1/workspaces": ("/v1/workspaces", None),
    "POST /v1/workspaces": ("/v1/workspaces", {"name": "other"}),
    "GET /v1/workspaces/{name}": ("/v1/workspaces/default", None),
    "GET /v1/models": ("/v1/models", None),
    "GET /v1/models/{name}": ("/v1/models/fraud", None),
    "DELETE /v1/models/{name}": ("/v1/models/spare", None),
    "GET /v1/models/{name}/versions": ("/v1/models/fraud/versions", None),
    "POST /v1/uploads": ("/v1/uploads", {"name": "new", "file_name": "new.onnx", "framework": "onnx"}),
    "PUT /v1/uploads/{upload_id}/content": ("/v1/uploads/UPLOAD/content", b"\x08\x08onnx"),
    "GET /v1/versions/{uuid}": ("/v1/versions/UUID", None),
    "DELETE /v1/versions/{uuid}": ("/v1/versions/SPARE", None),
    "GET /v1/versions/{uuid}/logs": ("/v1/versions/UUID/logs", None),
    "GET /v1/versions/{uuid}/runtime-logs": ("/v1/versions/UUID/runtime-logs", None),
    "POST /v1/versions/{uuid}/configurations": ("/v1/versions/UUID/configurations", {"tensor_fields": ["x"]}),
    "GET /v1/pipelines": ("/v1/pipelines", None),
    "POST /v1/pipelines": ("/v1/pipelines", {"name": "new"}),
    "GET /v1/pipelines/{name}": ("/v1/pipelines/pipe", None),
    "DELETE /v1/pipelines/{name}": ("/v1/pipelines/idle", None),
    "POST /v1/pipelines/{name}/deploy": (
        "/v1/pipelines/pipe/deploy",
        {"steps": [{"step": "model", "version": "UUID"}]},
    ),
    "POST /v1/pipelines/{name}/undeploy": ("/v1/pipelines/pipe/undeploy", {}),
    "POST /v1/pipelines/{name}/rollback": ("/v1/pipelines/pipe/rollback", {}),
    "GET /v1/pipelines/{name}/deployment": ("/v1/pipelines/pipe/deployment", None),
    "GET /v1/pipelines/{name}/status": ("/v1/pipelines/pipe/status", None),
    "GET /v1/pipelines/{name}/url": ("/v1/pipelines/pipe/url", None),
    "GET /v1/pipelines/{name}/logs": ("/v1/pipelines/pipe/logs", None),
    "GET /v1/tags": ("/v1/tags", None),
    "POST /v1/tags": ("/v1/tags", {"tag": "new"}),
    "PUT /v1/tags/{tag_id}/models/{version_id}": ("/v1/tags/1/models/1", None),
    "DELETE /v1/tags/{tag_id}/models/{version_id}": ("/v1/tags/1/models/1", None),
    "PUT /v1/tags/{tag_id}/pipelines/{pipeline_id}": ("/v1/tags/1/pipelines/1", None),
    "DELETE /v1/tags/{tag_id}/pipelines/{pipeline_id}": ("/v1/tags/1/pipelines/1", None),
    "POST /v1/api/models/list": ("/v1/api/models/list", {"workspace_id": 1}),
    "POST /v1/api/models/list_versions": ("/v1/api/models/list_versions", {"model_id": "fraud"}),
    "POST /v1/api/models/get_version_by_id": ("/v1/api/models/get_version_by_id", {"model_version_id": 1}),
    "POST /v1/api/models/get_config_by_id": ("/v1/api/models/get_config_by_id", {"model_id": 1}),
    "POST /v1/api/models/insert_model_config": ("/v1/api/models/insert_model_config", {"model_version_id": 1}),
    "POST /v1/api/models/get_upload_logs": ("/v1/api/models/get_upload_logs", {"model_version_id": 1}),
    "POST /v1/api/models/upload_and_convert": (
        "/v1/api/models/upload_and_convert",
        {"metadata": {"name": "new", "workspace_id": 1, "conversion": {"framework": "onnx"}}},
    ),
    "POST /v1/api/models/upload_stream": ("/v1/api/models/upload_stream", {"name": "new", "workspace_id": "1"}),
    "POST /v1/api/pipelines/create": (
        "/v1/api/pipelines/create",
        {"pipeline_id": "new", "workspace_id": 1, "definition": {"steps": STEPS}},
    ),
    "POST /v1/api/pipelines/copy": (
        "/v1/api/pipelines/copy",
        {"name": "new", "workspace_id": 1, "source_pipeline": 1},
    ),
    "POST /v1/api/pipelines/deploy": (
        "/v1/api/pipelines/deploy",
        {"pipeline_id": 1, "pipeline_version_pk_id": 2},
    ),
    "POST /v1/api/pipelines/undeploy": ("/v1/api/pipelines/undeploy", {"pipeline_id": 1, "deployment_id": 1}),
    "POST /v1/api/pipelines/get_logs": ("/v1/api/pipelines/get_logs", {"pipeline_name": "pipe", "workspace_id": 1}),
    "POST /v1/api/status/get_deployment": ("/v1/api/status/get_deployment", {"name": "pipe-1"}),
    "POST /v1/api/admin/get_pipeline_external_url": (
        "/v1/api/admin/get_pipeline_external_url",
        {"workspace_id": 1, "pipeline_name": "pipe"},
    ),
    "POST /v1/api/workspaces/list": ("/v1/api/workspaces/list", {}),
    "POST /v1/api/workspaces/create": ("/v1/api/workspaces/create", {"workspace_name": "other"}),
    "POST /v1/api/workspaces/list_users": ("/v1/api/workspaces/list_users", {"workspace_id": 1}),
    "POST /v1/api/workspaces/add_user": ("/v1/api/workspaces/add_user", {"workspace_id": 1, "email": "owner"}),
    "POST /v1/api/users/query": ("/v1/api/users/query", {}),
    "POST /v1/api/users/activate": ("/v1/api/users/activate", {"email": "owner"}),
}


@pytest.fixture
def prepared(api):
    """The platform, and texts that stand for something in `REQUESTS`."""
    version = api.ready("fraud")
    spare = api.upload("spare")
    for _ in range(2):
        api.deploy("pipe", version)
    api.call("POST", "/v1/pipelines", json={"name": "idle"})
    api.call("POST", "/v1/tags", json={"tag": "label"})
    return api, {"UUID": version["uuid"], "SPARE": spare["uuid"], "UPLOAD": api.announce("announced")["id"]}


def request_to(route: str, texts: dict[str, str]) -> tuple[str, str, dict[str, Any]]:
    """Method, address and body of a request."""
    assert route in REQUESTS, f"add a request for {route} to REQUESTS"
    method, (address, body) = route.partition(" ")[0], REQUESTS[route]
    for text, value in texts.items():
        address = address.replace(text, value)
        body = json.loads(json.dumps(body).replace(text, value)) if isinstance(body, dict) else body
    if "/upload_" in address:
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
        return method, address, {"data": fields, "files": {"file": ("new.onnx", b"\x08\x08onnx")}}
    if isinstance(body, bytes):
        return method, address, {"content": body}
    return method, address, {} if body is None else {"json": body}


def ask_as(caller: Caller, api, method: str, address: str, **body: Any) -> httpx.Response:
    """One request of a caller, without the check of a token."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await api.without_access({**scope, CALLER: caller}, receive, send)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, address, **body)

    return asyncio.run(ask())


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_refuses_a_caller_without_a_role_and_serves_the_owner(prepared, route: str) -> None:
    api, texts = prepared
    method, address, body = request_to(route, texts)
    revision, uploads = api.control.catalog.revision(), sorted(api.control.uploads.iterdir())
    refused = ask_as(GUEST, api, method, address, **body)
    assert refused.status_code == 403, refused.text
    assert refused.json()["class"] == "Forbidden"
    assert refused.json()["error"].startswith("'guest' may not ")
    assert (api.control.catalog.revision(), sorted(api.control.uploads.iterdir())) == (revision, uploads)
    answer = api.ask(method, address, **body)
    assert answer.status_code < 300, answer.text


def test_a_route_without_a_caller_answers_with_an_error(api) -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(api.without_access, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/v1/models")

    assert asyncio.run(ask()).status_code == 500


def test_what_the_owner_creates_is_created_by_the_owner(api) -> None:
    assert api.upload()["created_by"] == "owner"
    assert api.call("POST", "/v1/workspaces", json={"name": "other"})["created_by"] == "owner"
