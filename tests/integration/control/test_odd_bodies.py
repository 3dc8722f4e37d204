"""Whatever a body holds, it is answered: never with a fault of ours."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivet.control.app import routes_of
from trivet.control.reference_api import ABSENT

NOTHING: Any = None
ROUTES = sorted(
    str(route.path)
    for route in iter_route_contexts(routes_of(NOTHING).routes)
    if "POST" in (route.methods or ()) and route.path not in ABSENT
)
FIELDS = [
    *("name", "workspace", "workspace_id", "workspace_name", "pipeline_id", "pipeline_name", "definition", "steps"),
    *("ModelInference", "models", "version", "model_version_id", "model_id", "models_pk_id", "tensor_fields", "config"),
    *("batch_config", "input_schema", "output_schema", "engine_config", "pipeline_version_pk_id", "source_pipeline"),
    *("page_size", "order", "cursor", "start_time", "end_time", "engine", "resources", "limits", "cpu", "step"),
    *("validations", "expression", "file_name", "framework", "size", "model_configs", "config_id", "log_inferences"),
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(
        [0, 1, 2, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, "", "1", "default", "pipe"]
    )
    | st.sampled_from(
        ["fraud", "pipe-1", "-", "model", "check", "Asc", "2026-01-01", "x: float32", "eA==", "\x00", "\ud800"]
    )
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6) | VALUES


@pytest.mark.parametrize("path", ROUTES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(BODIES, min_size=1, max_size=4))
def test_no_body_is_answered_with_a_fault_of_ours(api, path: str, bodies: list[Any]) -> None:
    if not api.control.catalog.models.all(1):
        api.deploy("pipe", api.ready())
    address = re.sub(r"\{name\}", "pipe", path)
    address = re.sub(r"\{uuid\}", api.control.catalog.models.versions(1, "fraud")[0].uuid, address)

    async def ask() -> None:
        transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            for body in bodies:
                answer = await client.post(address, content=json.dumps(body).encode())
                assert answer.status_code < 500 or answer.status_code == 501, f"{body!r}: {answer.text}"
                if answer.status_code >= 400:
                    assert answer.json()["what"]

    asyncio.run(ask())
    # Nothing that was taken spoils what others read.
    api.control.catalog.deployments.all()
    api.control.catalog.pipelines.all(1)


@pytest.mark.parametrize("path", [path for path in ROUTES if "{" not in path and "upload_" not in path])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"{}" * 2, b"null", b"1e999"])
def test_an_answer_that_is_not_json_is_an_internal_error(api, path: str, content: bytes) -> None:
    answer = api.ask("POST", path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400} if path.endswith("/list") else answer.status_code == 400
