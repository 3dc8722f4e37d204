"""The reference's MLOps API, as programs written for it call it."""

import base64
import json
from typing import Any

import pyarrow as pa
import pytest

from trivet.control.reference_api import ABSENT
from trivet.domain.deployment import DeploymentState, DeploymentStatus
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Runtime
from trivet.domain.schema import parse_schema
from trivet.domain.version import LoadedModel, VersionStatus
from trivet.sdk.steps import Steps

SCHEMA = parse_schema("x: float32[2]")


def post(api, path: str, body: Any = None) -> Any:
    return api.call("POST", f"/v1/api/{path}", json={} if body is None else body)


def upload(api, content: bytes, name: str = "byop", **said: Any) -> int:
    conversion = {"framework": "custom", "python_version": "3.8", "requirements": [], "arch": "x86", "accel": "none"}
    metadata = {"name": name, "visibility": "private", "workspace_id": 1, "conversion": {**conversion, **said}}
    text = base64.b64encode(SCHEMA.serialize()).decode()
    metadata |= {"input_schema": text, "output_schema": text}
    files = {
        "metadata": (None, json.dumps(metadata), "application/json"),
        "file": ("byop.zip", content, "application/octet-stream"),
    }
    answer = api.ask("POST", "/v1/api/models/upload_and_convert", files=files)
    assert answer.status_code == 202, answer.text
    return int(answer.json()["insert_models"]["returning"][0]["models"][0]["id"])


def test_a_model_is_uploaded_with_metadata_and_looked_at(api, zip_of) -> None:
    content = zip_of(model="x = 1")
    key = upload(api, content)
    said = post(api, "models/get_version_by_id", {"model_version_id": key})["model_version"]
    version, config = said["model_version"], said["config"]
    assert version["name"] == "byop"
    assert version["status"] == "pending_load_container"
    assert version["conversion"]["framework"] == "custom"
    assert version["file_info"]["file_name"] == "byop.zip"
    assert version["file_info"]["size"] == len(content)
    assert set(version) == {
        *("name", "visibility", "workspace_id", "conversion", "id", "image_path", "status", "task_id", "file_info"),
        *("created_on_version", "created_by", "created_at", "deployed", "error_summary"),
    }
    assert set(config) == {
        *("id", "model_version_id", "runtime", "filter_threshold", "tensor_fields", "input_schema", "output_schema"),
        *(
            "batch_config",
            "dynamic_batching_config",
            "continuous_batching_config",
            "queue_depth",
            "sidekick_uri",
            "openai",
        ),
    }
    assert pa.ipc.read_schema(pa.py_buffer(base64.b64decode(config["input_schema"]))) == SCHEMA
    # The reference's clients always say 3.8, whatever they mean.
    assert api.control.catalog.models.version(key).settings.python is None
    assert list(api.control.uploads.iterdir()) == []


def test_an_onnx_file_is_uploaded_as_a_stream(api) -> None:
    data = {"name": "fraud", "filename": "cc.onnx", "visibility": "private", "workspace_id": "1"}
    answer = api.ask("POST", "/v1/api/models/upload_stream", data=data, files={"file": ("x", b"\x08\x08onnx")})
    key = answer.json()["insert_models"]["returning"][0]["models"][0]["id"]
    version = api.control.catalog.models.version(key)
    assert (version.name, version.file_name, version.framework) == ("fraud", "cc.onnx", "onnx")


def test_a_file_that_is_not_a_zip_is_refused_as_in_the_reference(api) -> None:
    files = {
        "metadata": (None, json.dumps({"name": "byop", "workspace_id": 1, "conversion": {"framework": "custom"}})),
        "file": ("byop.zip", b"no zip"),
    }
    refusal = api.refused(400, "POST", "/v1/api/models/upload_and_convert", files=files)
    assert refusal["what"] == "Not a valid ZIP file"
    assert refusal["msg"].startswith("Not a valid ZIP file")
    assert list(api.control.uploads.glob("*.form")) == []
    assert api.blobs_kept() == []


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b'"\\ud800"',
        b"{}",
        b'{"name": 5, "conversion": {"framework": "onnx"}}',
        b'{"conversion": 5}',
        b'{"name": "a", "workspace_id": 99, "conversion": {"framework": "onnx"}}',
        b'{"name": "a\\u0000"}',
        b"[" * 5000,
    ],
)
def test_metadata_that_cannot_be_is_refused(api, metadata: bytes) -> None:
    answer = api.ask(
        "POST", "/v1/api/models/upload_and_convert", files={"metadata": (None, metadata), "file": ("a", b"x")}
    )
    assert answer.status_code in {400, 404}
    assert list(api.control.uploads.glob("*.form")) == []
    assert api.blobs_kept() == []


BOUNDARY = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.onnx"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        (BOUNDARY, b""),
        (BOUNDARY, b"--b--\r\n"),
        (BOUNDARY, b"no boundary at all"),
        (BOUNDARY, FILE),
        (BOUNDARY, FILE + FILE + b"--b--\r\n"),
        (BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--b--\r\n'),
        (BOUNDARY, b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 10_000 + b"\r\n\r\n\r\n--b--\r\n"),
        (BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * (5 * 2**20) + b"\r\n--b--\r\n"),
        (BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 100 + FILE + b"--b--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, FILE),
    ],
)
def test_a_form_that_is_broken_is_refused_and_leaves_nothing(api, kind: str, content: bytes) -> None:
    answer = api.ask("POST", "/v1/api/models/upload_stream", content=content, headers={"Content-Type": kind})
    assert answer.status_code in {400, 413}, answer.text
    assert list(api.control.uploads.iterdir()) == []
    assert api.blobs_kept() == []


def test_a_file_beyond_the_limit_is_refused_while_it_comes(api) -> None:
    small = api.with_settings(max_upload_mib=1.0)
    data = {"name": "fraud", "workspace_id": "1"}
    small.refused(413, "POST", "/v1/api/models/upload_stream", data=data, files={"file": ("a", b"x" * (2**20 + 1))})
    assert list(api.control.uploads.iterdir()) == []


def test_models_and_versions_are_listed(api) -> None:
    first, second = api.upload(content=b"1"), api.upload(content=b"2")
    models = post(api, "models/list", {"workspace_id": 1})["models"]
    (listed,) = models
    assert (listed["model"]["id"], listed["model"]["name"], listed["model"]["owner_id"]) == (
        first["model_id"],
        "fraud",
        '""',
    )
    assert [each["model_version"] for each in listed["model_versions"]] == [second["uuid"], first["uuid"]]
    for asked in (
        {"model_id": "fraud", "models_pk_id": first["model_id"]},
        {"model_id": "fraud", "models_pk_id": second["id"] + 100},
        {"models_pk_id": first["model_id"]},
        {"model_id": "fraud"},
    ):
        versions = post(api, "models/list_versions", asked)
        assert [version["model_version"] for version in versions] == [second["uuid"], first["uuid"]]
    api.refused(404, "POST", "/v1/api/models/list_versions", json={"model_id": "none"})


def test_a_version_is_configured(api) -> None:
    version = api.ready()
    made = post(api, "models/insert_model_config", {"model_version_id": version["id"], "tensor_fields": ["tensor"]})
    assert made["model_config"]["tensor_fields"] == ["tensor"]
    assert made["model_config"]["runtime"] == "onnx"
    assert post(api, "models/get_config_by_id", {"model_id": version["id"]}) == made


def test_an_uploads_settings_are_its_first_configuration(api) -> None:
    key = upload(api, b"\x08\x08onnx", "fraud", framework="onnx", tensor_fields=["tensor"])
    config = post(api, "models/get_config_by_id", {"model_id": key})["model_config"]
    assert config["tensor_fields"] == ["tensor"]
    assert post(api, "models/get_version_by_id", {"model_version_id": key})["model_version"]["config"] == config
    settings = api.control.catalog.models.version(key).settings
    loaded = LoadedModel(
        runtime=Runtime.NATIVE, adapter="onnx", settings=settings, input_schema=SCHEMA, output_schema=SCHEMA
    )
    api.control.catalog.models.set_status(key, VersionStatus.READY, loaded=loaded)
    assert post(api, "models/get_config_by_id", {"model_id": key})["model_config"]["tensor_fields"] == ["tensor"]
    post(api, "models/insert_model_config", {"model_version_id": key, "batch_config": "single"})
    config = post(api, "models/get_config_by_id", {"model_id": key})["model_config"]
    assert (config["tensor_fields"], config["batch_config"]) == (["tensor"], "single")
    post(api, "models/insert_model_config", {"model_version_id": key, "tensor_fields": ["other"]})
    assert post(api, "models/get_config_by_id", {"model_id": key})["model_config"]["tensor_fields"] == ["other"]


def test_what_a_package_says_of_single_rows_is_in_its_configuration(api) -> None:
    version = api.upload(batch_config="single")
    assert post(api, "models/get_config_by_id", {"model_id": version["id"]})["model_config"]["batch_config"] == "single"


def test_a_filter_threshold_is_taken_and_changes_nothing(api) -> None:
    key = upload(api, b"\x08\x08onnx", "fraud", framework="onnx", filter_threshold=0.5)
    api.load(key)
    body = {"model_version_id": key, "tensor_fields": ["tensor"], "filter_threshold": 0.5}
    made = post(api, "models/insert_model_config", body)["model_config"]
    assert (made["tensor_fields"], made["filter_threshold"]) == (["tensor"], None)


def test_a_version_is_deployed_while_a_pipeline_that_has_it_answers(api) -> None:
    first, second = api.ready(), api.ready("other")

    def said() -> list[bool]:
        versions = [post(api, "models/get_version_by_id", {"model_version_id": each["id"]}) for each in (first, second)]
        return [version["model_version"]["model_version"]["deployed"] for version in versions]

    def seen(deployment: dict[str, Any], serving: str | None) -> None:
        state = DeploymentState.STARTING if serving is None else DeploymentState.RUNNING
        status = DeploymentStatus(state=state, generation=deployment["generation"], serving=serving)
        api.control.catalog.deployments.set_status(deployment["id"], status)

    assert said() == [False, False]
    deployment = api.deploy("pipe", first)["deployment"]
    assert said() == [False, False]
    seen(deployment, deployment["pipeline_version"])
    assert said() == [True, False]
    # Until the next one answers, the one before goes on.
    swapped = api.deploy("pipe", second)["deployment"]
    assert said() == [True, False]
    seen(swapped, swapped["pipeline_version"])
    assert said() == [False, True]
    stopping = api.call("POST", "/v1/pipelines/pipe/undeploy")["deployment"]
    assert said() == [False, False]
    seen(stopping, None)
    assert said() == [False, False]


def test_upload_logs_are_one_text(api) -> None:
    version = api.upload()
    api.control.catalog.journal.log_upload(version["id"], level="info", stage="unpacking", text="12 files")
    assert "12 files" in post(api, "models/get_upload_logs", {"model_version_id": version["id"]})["logs"]


def test_a_pipeline_is_created_deployed_looked_at_and_undeployed(api) -> None:
    version = api.ready()
    definition = {
        "steps": [
            {"ModelInference": {"models": [{"name": "fraud", "version": version["uuid"], "sha": version["sha"]}]}}
        ]
    }
    made = post(api, "pipelines/create", {"pipeline_id": "pipe", "workspace_id": 1, "definition": definition})
    deployed = post(
        api,
        "pipelines/deploy",
        {
            "deploy_id": "pipe",
            "pipeline_id": made["pipeline_pk_id"],
            "pipeline_version_pk_id": made["pipeline_variant_pk_id"],
            "model_ids": [version["id"]],
            "engine_config": {"engine": {"replicas": 1}},
        },
    )
    seen = DeploymentStatus(state=DeploymentState.RUNNING, generation=1)
    api.control.catalog.deployments.set_status(deployed["id"], seen)
    status = post(api, "status/get_deployment", {"name": f"pipe-{deployed['id']}"})
    assert status["status"] == "Running"
    assert status == api.call("GET", "/v1/pipelines/pipe/status")
    assert status["engines"][0]["pipeline_statuses"]["pipelines"][0]["version"] == made["pipeline_variant_version"]
    url = post(api, "admin/get_pipeline_external_url", {"workspace_id": 1, "pipeline_name": "pipe"})["url"]
    assert url == f"http://127.0.0.1:8080/v1/api/pipelines/infer/pipe-{deployed['id']}/pipe"
    assert (
        post(api, "pipelines/undeploy", {"pipeline_id": made["pipeline_pk_id"], "deployment_id": deployed["id"]}) == {}
    )
    assert api.call("GET", "/v1/pipelines/pipe/deployment")["deployment"]["wanted"] == "stopped"


def test_a_deploy_can_name_configurations(api) -> None:
    version = api.ready()
    definition = {"steps": [{"ModelInference": {"models": [{"version": version["uuid"]}]}}]}
    made = post(api, "pipelines/create", {"pipeline_id": "pipe", "workspace_id": 1, "definition": definition})
    config = post(api, "models/insert_model_config", {"model_version_id": version["id"], "tensor_fields": ["tensor"]})
    key = config["model_config"]["id"]
    body = {"pipeline_id": made["pipeline_pk_id"], "pipeline_version_pk_id": made["pipeline_variant_pk_id"]}
    post(api, "pipelines/deploy", {**body, "model_configs": [key]})
    newest = api.call("GET", "/v1/pipelines/pipe")["versions"][0]
    assert newest["steps"][0]["config_id"] == key
    assert api.call("GET", "/v1/pipelines/pipe/deployment")["deployment"]["pipeline_version"] == newest["uuid"]
    api.refused(404, "POST", "/v1/api/pipelines/deploy", json={**body, "model_configs": [999]})


def test_a_pipeline_is_copied_with_its_steps(api) -> None:
    source = api.deploy("pipe", api.ready())["deployment"]
    made = post(api, "pipelines/copy", {"name": "copy", "workspace_id": 1, "source_pipeline": source["pipeline_id"]})
    copied = api.call("GET", "/v1/pipelines/copy")
    assert copied["id"] == made["pipeline_pk_id"]
    assert copied["versions"][0]["steps"] == api.call("GET", "/v1/pipelines/pipe")["versions"][0]["steps"]
    assert copied["deployed"] is None


def test_steps_that_cannot_be_read_make_no_pipeline(api) -> None:
    definition = {"steps": [{"ModelInference": {"models": [{"version": "none"}]}}]}
    body = {"pipeline_id": "pipe", "workspace_id": 1, "definition": definition}
    api.refused(404, "POST", "/v1/api/pipelines/create", json=body)
    api.refused(501, "POST", "/v1/api/pipelines/create", json={**body, "definition": {"steps": [{"Split": {}}]}})
    assert api.call("GET", "/v1/pipelines")["pipelines"] == []


FRAUD = '{"Alias":[{"BinaryExpr":{"left":{"Column":"out.x"},"op":"Gt","right":1}},"fraud"]}'


def test_validations_are_taken_in_the_form_in_which_steps_are_shown(api) -> None:
    version = api.ready()
    model = {"name": "fraud", "version": version["uuid"], "sha": version["sha"]}
    steps = [
        {"ModelInference": {"models": [model]}},
        {"Check": {"tree": [FRAUD, FRAUD.replace("fraud", "count")]}},
        {"Check": {"tree": [FRAUD.replace("fraud", "count")]}},
    ]
    body = {"pipeline_id": "pipe", "workspace_id": 1, "definition": {"steps": steps}}
    made = post(api, "pipelines/create", body)
    kept = api.call("GET", "/v1/pipelines/pipe")["versions"][0]["steps"]
    assert [step["step"] for step in kept] == ["model", "check"]
    assert [each["name"] for each in kept[1]["validations"]] == ["fraud"]
    shown = Steps(kept).shown()
    assert shown == [steps[0], {"Check": {"tree": [FRAUD]}}]
    asked = {"pipeline_id": made["pipeline_pk_id"], "pipeline_version_pk_id": made["pipeline_variant_pk_id"]}
    post(api, "pipelines/deploy", asked)
    assert api.call("GET", "/v1/pipelines/pipe/deployment")["deployment"]["wanted"] == "running"


@pytest.mark.parametrize(
    ("check", "path"),
    [
        ({}, "tree"),
        ({"tree": FRAUD}, "tree"),
        ({"tree": [5]}, "steps[1].Check.tree[0]"),
        ({"tree": [FRAUD, "{"]}, "steps[1].Check.tree[1]"),
        ({"tree": ["[]"]}, "steps[1].Check.tree[0]"),
        ({"tree": ['{"Column":"out.x"}']}, "steps[1].Check.tree[0]"),
        ({"tree": ['{"Alias":[{"Column":"out.x"},""]}']}, "steps[1].Check.tree[0]"),
        ({"tree": ['{"Alias":[{"Column":"out.x"},"a\\u0000"]}']}, "steps[1].Check.tree[0]"),
        ({"tree": ['{"Alias":[{"Column":"out.x"},"a\\ud800"]}']}, "steps[1].Check.tree[0]"),
        ({"tree": ["[" * 5000]}, "steps[1].Check.tree[0]"),
        ({"tree": ['{"Alias":["no expression","a"]}']}, None),
    ],
)
def test_a_check_that_cannot_be_read_makes_no_pipeline(api, check: dict[str, Any], path: str | None) -> None:
    steps = [{"ModelInference": {"models": [{"version": api.ready()["uuid"]}]}}, {"Check": check}]
    body = {"pipeline_id": "pipe", "workspace_id": 1, "definition": {"steps": steps}}
    assert api.refused(400, "POST", "/v1/api/pipelines/create", json=body).get("path") == path
    assert api.call("GET", "/v1/pipelines")["pipelines"] == []


def test_workspaces_are_created_and_listed_with_what_is_in_them(api) -> None:
    version = api.upload()
    pipeline = api.call("POST", "/v1/pipelines", json={"name": "pipe"})
    key = post(api, "workspaces/create", {"workspace_name": "other"})["workspace_id"]
    first, second = post(api, "workspaces/list")["workspaces"]
    assert (first["models"], first["pipelines"]) == ([version["model_id"]], [pipeline["id"]])
    assert (second["id"], second["name"], second["archived"], second["models"]) == (key, "other", False, [])


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json; format=pandas-records"])
def test_logs_are_records_unless_arrow_is_asked_for(api, accept: str | None) -> None:
    api.deploy("pipe", api.ready())
    headers = {} if accept is None else {"Accept": accept}
    body = {"pipeline_name": "pipe", "workspace_id": 1, "page_size": 10, "order": "Desc"}
    answer = api.ask("POST", "/v1/api/pipelines/get_logs", json=body, headers=headers)
    assert answer.json() == []
    assert answer.headers["x-iteration-status"] == "All"
    arrow = api.ask(
        "POST", "/v1/api/pipelines/get_logs", json=body, headers={"Accept": "application/vnd.apache.arrow.file"}
    )
    assert arrow.headers["content-type"] == "application/vnd.apache.arrow.file"


def test_half_a_range_of_time_reaches_to_the_end_of_the_log(api) -> None:
    api.deploy("pipe", api.ready())
    for half in ({"start_time": "2026-01-01T00:00:00Z"}, {"end_time": "2099-01-01T00:00:00+00:00"}):
        assert post(api, "pipelines/get_logs", {"pipeline_name": "pipe", "workspace_id": 1, **half}) == []


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_not_there_yet_says_what_to_use_instead(api, path: str) -> None:
    refusal = api.refused(501, "POST", path, json={})
    assert f"{path} is not supported yet" in refusal["msg"]
    assert ABSENT[path] in json.dumps(refusal, ensure_ascii=False)


def test_a_missing_deployment_is_reported_as_in_the_reference(api) -> None:
    for name in ("pipe-1", "pipe", "", "-"):
        assert (
            api.refused(404, "POST", "/v1/api/status/get_deployment", json={"name": name})["msg"]
            == "Deployment not found"
        )


def test_the_one_user_is_found_and_another_is_not(api) -> None:
    assert list(post(api, "users/query", {})["users"]) == ["owner"]
    assert post(api, "users/query", {"user_ids": ["other"]}) == {"users": {}}
    members = post(api, "workspaces/list_users", {"workspace_id": 1})
    assert members == {"users": [{"user_id": "owner", "user_type": "OWNER"}]}
    assert post(api, "workspaces/add_user", {"workspace_id": 1, "user_id": "owner"}) == {}
    assert post(api, "users/activate", {"email": "owner"}) == {}
    other = {"workspace_id": 1, "email": "steve@example.com"}
    answer = api.refused(404, "POST", "/v1/api/workspaces/add_user", json=other)
    assert answer["msg"].startswith(
        "user 'steve@example.com' not found: Trivet has one user, 'owner', who may use everything"
    )
    api.refused(404, "POST", "/v1/api/workspaces/list_users", json={"workspace_id": 9})
    api.refused(400, "POST", "/v1/api/users/activate", json={})


def test_a_deploy_is_taken_while_the_model_is_loading(api) -> None:
    version = api.upload()
    steps = [{"ModelInference": {"models": [{"name": "fraud", "version": version["uuid"], "sha": version["sha"]}]}}]
    body = {"pipeline_id": "pipe", "workspace_id": 1, "definition": {"steps": steps}}
    made = post(api, "pipelines/create", body)
    asked = {"pipeline_id": made["pipeline_pk_id"], "pipeline_version_pk_id": made["pipeline_variant_pk_id"]}
    deployment = post(api, "pipelines/deploy", {"deploy_id": "pipe", **asked})
    status = post(api, "status/get_deployment", {"name": f"pipe-{deployment['id']}"})
    assert status["status"] == "Starting"
    # The native API and its clients check all that can be checked, and so wait for the model first.
    native = {"steps": [{"step": "model", "version": version["uuid"]}]}
    refusal = api.refused(409, "POST", "/v1/pipelines/pipe/deploy", json=native)
    assert "is not ready" in refusal["error"]


def test_a_deploy_of_a_model_that_failed_to_load_is_refused(api) -> None:
    version = api.upload()
    fault = Fault(error="BadPackage", what="it is broken")
    api.control.catalog.models.set_status(version["id"], VersionStatus.ERROR, fault=fault)
    steps = [{"ModelInference": {"models": [{"version": version["uuid"]}]}}]
    body = {"pipeline_id": "pipe", "workspace_id": 1, "definition": {"steps": steps}}
    made = post(api, "pipelines/create", body)
    asked = {"pipeline_id": made["pipeline_pk_id"], "pipeline_version_pk_id": made["pipeline_variant_pk_id"]}
    assert "is not ready" in api.refused(409, "POST", "/v1/api/pipelines/deploy", json=asked)["msg"]


def test_a_log_in_arrow_has_a_struct_for_each_part(api) -> None:
    api.deploy("pipe", api.ready())
    body = {"pipeline_name": "pipe", "workspace_id": 1}
    arrow = {"Accept": "application/vnd.apache.arrow.file"}
    answer = api.ask("POST", "/v1/api/pipelines/get_logs", json=body, headers=arrow)
    table = pa.ipc.open_file(answer.content).read_all()
    assert table.column_names == ["time", "in", "out", "anomaly", "metadata"]
    assert [field.name for field in table.schema.field("in").type] == ["x"]
    assert table.num_rows == 0
