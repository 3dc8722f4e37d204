"""Every name that notebooks use is there: it works, or it says that it is not supported yet."""

import importlib
import json
from types import ModuleType
from typing import Any

import pytest

import trivet
import trivet.sdk.calls
from trivet.errors import Conflict, NotFound, Unavailable, Unsupported
from trivet_tests.wallaroo_names import HOLDERS

MODULES = {
    "wallaroo": ["Client", "DeploymentConfigBuilder", "__version__"],
    "wallaroo.client": ["Client"],
    "wallaroo.framework": ["Framework", "CustomConfig", "VLLMConfig"],
    "wallaroo.deployment_config": ["DeploymentConfig", "DeploymentConfigBuilder"],
    "wallaroo.engine_config": ["Acceleration", "Architecture", "QaicConfig"],
    "wallaroo.auth": ["logout"],
    "wallaroo.deployment": ["Deployment", "WaitForDeployError", "WaitForError"],
    "wallaroo.object": [
        "CommunicationError",
        "DeploymentError",
        "EntityNotFoundError",
        "InferenceError",
        "InferenceTimeoutError",
        "InvalidNameError",
        "LimitError",
        "ModelConversionError",
        "ModelConversionTimeoutError",
        "ModelUploadError",
        "ObjectNotFoundError",
        "RequiredAttributeMissing",
    ],
    "wallaroo.user": ["User", "UserList"],
    "wallaroo.pipeline": ["Pipeline", "PipelineList"],
    "wallaroo.model": ["Model", "ModelList"],
    "wallaroo.model_version": ["ModelVersion", "ModelVersionList"],
    "wallaroo.workspace": ["Workspace"],
    "wallaroo.dynamic_batching_config": ["DynamicBatchingConfig"],
    "wallaroo.continuous_batching_config": ["ContinuousBatchingConfig"],
    "wallaroo.openai_config": ["OpenaiConfig"],
    "wallaroo.assay_config": ["Aggregation", "BinMode", "Metric"],
    "wallaroo.tag": ["Tag", "TagList"],
}
THERE = {
    "Client": """upload_model get_workspace set_current_workspace get_current_workspace create_workspace list_workspaces
        build_pipeline get_pipeline get_model model_by_name pipelines_by_name list_models list_pipelines search_models
        search_model_versions search_pipelines generate_upload_model_api_command mlops list_users get_current_user
        get_user_by_email activate_user create_tag list_tags""",
    "Pipeline": """status undeploy add_model_step deploy infer clear infer_from_file logs id name _url url export_logs
        versions steps add_validations replace_with_model_step parallel_infer async_infer remove_step tags add_tag remove_tag""",
    "ModelVersion": """status configure id name version config get_upload_logs versions sha file_name arch accel tags add_tag
        remove_tag""",
    "Workspace": "id name models pipelines users owners add_user add_owner",
    "DeploymentConfigBuilder": """replica_count cpus memory gpus arch deployment_label sidekick_cpus sidekick_memory
        sidekick_gpus sidekick_env build""",
}
ABSENT = {
    "Client": """build_assay upload_orchestration list_orchestrations list_tasks create_connection get_connection
        list_connections create_model_registry list_model_registries register_model_image invite_user
        deactivate_user""",
    "Pipeline": """publish publishes list_edges add_shadow_deploy add_random_split add_key_split
        replace_with_shadow_deploy replace_with_random_split openai_completion openai_chat_completion generate_api_spec
        add_validation""",
    "Workspace": "remove_user add_connection remove_connection list_connections add_registry_to_workspace",
    "DeploymentConfigBuilder": """replica_autoscale_min_max autoscaling_window scale_up_queue_depth
        scale_down_queue_depth""",
}
MOMENT = "2025-05-21T17:41:25+00:00"
VERSION: dict[str, Any] = {
    "number": 1,
    "framework": "onnx",
    "id": 1,
    "uuid": "d0cb7d27",
    "name": "ccfraud",
    "workspace": "default",
    "workspace_id": 1,
    "file_name": "ccfraud.onnx",
    "sha": "bc85",
    "status": "ready",
    "arch": "x86",
    "accel": "none",
    "updated_at": MOMENT,
    "runtime": "onnx",
}


def words(said: dict[str, str]) -> list[tuple[str, str]]:
    return [(holder, name) for holder, names in said.items() for name in names.split()]


@pytest.fixture
def client(wallaroo: ModuleType) -> Any:
    """Nothing answers there: what is tested asks nobody."""
    return wallaroo.Client(api_endpoint="http://127.0.0.1:9", auth_type="sso", request_timeout=45)


@pytest.mark.parametrize("module", MODULES)
def test_what_notebooks_import_is_there(wallaroo: ModuleType, module: str):
    found = importlib.import_module(module)
    assert [name for name in MODULES[module] if not hasattr(found, name)] == []


@pytest.mark.parametrize(("holder", "name"), words(THERE))
def test_what_is_there_is_no_refusal(wallaroo: ModuleType, holder: str, name: str):
    found = getattr(getattr(importlib.import_module(HOLDERS[holder]), holder), name)
    assert callable(found)
    assert "not supported yet: it raises" not in (found.__doc__ or "")


@pytest.mark.parametrize(("holder", "name"), words(ABSENT))
def test_what_is_not_there_yet_says_so(wallaroo: ModuleType, holder: str, name: str):
    found = getattr(getattr(importlib.import_module(HOLDERS[holder]), holder), name)
    with pytest.raises(wallaroo.object.NotThereYetError, match="not supported yet") as caught:
        found(object(), "anything", at="all")
    assert caught.value.fix
    assert "README" not in caught.value.fix


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("engine_config", "QaicConfig"),
        ("framework", "CustomConfig"),
        ("framework", "VLLMConfig"),
        ("openai_config", "OpenaiConfig"),
        ("continuous_batching_config", "ContinuousBatchingConfig"),
        ("assay_config", "AssayBuilder"),
    ],
)
def test_configurations_of_what_is_not_there_yet_say_so_when_they_are_made(
    wallaroo: ModuleType, module: str, name: str
):
    with pytest.raises(wallaroo.object.NotThereYetError, match="not supported yet"):
        getattr(getattr(wallaroo, module), name)(num_cores=4)


def test_an_accelerators_configuration_is_not_there_yet(wallaroo: ModuleType):
    with pytest.raises(wallaroo.object.NotThereYetError, match="an accelerator's configuration is not supported yet"):
        wallaroo.engine_config.Acceleration.QAIC.with_config({"num_cores": 4})


def test_every_framework_is_accepted_or_refused_before_anything_is_sent(
    wallaroo: ModuleType, client: Any, tmp_path: Any
):
    refused = []
    for framework in wallaroo.framework.Framework:
        with pytest.raises(trivet.TrivetError) as caught:
            client.upload_model("ccfraud", tmp_path / "none.zip", framework=framework)
        if isinstance(caught.value, wallaroo.object.NotThereYetError):
            assert f"Framework.{framework.name} is not supported yet" in str(caught.value)
            assert "export the model to ONNX" in str(caught.value)
            refused.append(framework.value)
        else:
            assert "file not found" in str(caught.value)
    taken = {framework.value for framework in trivet.Framework}
    assert set(refused) == {framework.value for framework in wallaroo.framework.Framework} - taken
    assert "vllm" in refused


@pytest.mark.parametrize(("name", "value"), [("Python", "python"), ("PyTorch", "pytorch"), ("VLLM", "vllm")])
def test_frameworks_have_the_references_values(wallaroo: ModuleType, name: str, value: str):
    assert wallaroo.framework.Framework[name].value == value


def test_framework_configurations_and_unknown_accelerators_are_refused(wallaroo: ModuleType, client: Any):
    with pytest.raises(wallaroo.object.NotThereYetError, match="framework_config"):
        client.upload_model("ccfraud", "ccfraud.onnx", framework_config={"gpu_memory_utilization": 0.9})


def test_every_accelerator_of_the_reference_is_one_of_trivets(wallaroo: ModuleType):
    assert {each.value for each in wallaroo.engine_config.Acceleration} == {each.value for each in trivet.Acceleration}


def test_the_framework_may_be_given_as_the_documents_write_it(wallaroo: ModuleType, client: Any, tmp_path: Any):
    onnx = wallaroo.framework.Framework.ONNX
    with pytest.raises(trivet.TrivetError, match="file not found"):
        client.upload_model("ccfraud", tmp_path / "none.onnx", Framework=onnx)
    with pytest.raises(trivet.TrivetError, match="the framework is given twice"):
        client.upload_model("ccfraud", tmp_path / "none.onnx", onnx, Framework=onnx)


def test_the_mlops_api_has_the_platforms_address_and_token(wallaroo: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRIVET_TOKEN", "secret")
    client = wallaroo.Client(api_endpoint="http://127.0.0.1:9")
    connection = client.mlops().__dict__
    assert (connection["base_url"], connection["token"]) == ("http://127.0.0.1:9", "secret")
    assert "secret" not in repr(client.mlops())
    assert client.auth._bearer_token_str() == "secret"
    assert wallaroo.auth.logout() is None
    assert client.auth.auth_header() == {"Authorization": "Bearer secret"}


class Answering:
    """A client whose platform answers with documents that are known before, by the end of the path."""

    def __init__(self, wallaroo: ModuleType, **answers: Any) -> None:
        self.drafts: dict[int, Any] = {}
        self.asked: list[Any] = []
        self._answers = answers

    def run(self, operation: Any) -> Any:
        reply = None
        while True:
            try:
                call = operation.send(reply)
            except StopIteration as done:
                return done.value
            self.asked.append(call)
            found = self._answers[call.path.rpartition("/")[2]]
            reply = trivet.sdk.calls.Reply(status=200, headers={}, content=json.dumps(found).encode(), at=0.0)


PIPELINE: dict[str, Any] = {
    "id": 3,
    "name": "ccfraud",
    "workspace": "default",
    "workspace_id": 1,
    "deployed": True,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "versions": [{"id": 7, "uuid": "4f", "number": 1, "steps": [], "created_at": MOMENT}],
}


def test_a_pipelines_deployment_has_its_address(wallaroo: ModuleType):
    url = "http://127.0.0.1:8080/v1/api/pipelines/infer/ccfraud-3/ccfraud"
    pipeline = wallaroo.pipeline.Pipeline(Answering(wallaroo, url={"url": url}), PIPELINE)
    assert pipeline._deployment._url() == pipeline._deployment.url() == pipeline._url() == url
    assert pipeline._deployment.name() == "ccfraud"


def test_the_address_of_a_pipeline_that_is_not_deployed_is_not_found(wallaroo: ModuleType):
    pipeline = wallaroo.pipeline.Pipeline(Answering(wallaroo, url={"url": None}), PIPELINE)
    with pytest.raises(wallaroo.object.EntityNotFoundError, match="Pipeline ccfraud is not deployed"):
        pipeline._deployment._url()


def test_a_pipelines_version_has_the_names_that_notebooks_read(wallaroo: ModuleType):
    pipeline = wallaroo.pipeline.Pipeline(Answering(wallaroo, ccfraud=PIPELINE), PIPELINE)
    assert [(each._name, each.name(), each._id) for each in pipeline.versions()] == [("4f", "4f", 7)]


def test_a_printed_pipeline_has_its_tags(wallaroo: ModuleType):
    tagged = {**PIPELINE, "tags": ["bank", "of 2024"]}
    pipeline = wallaroo.pipeline.Pipeline(Answering(wallaroo), tagged)
    assert "'accel': 'none', 'tags': 'bank, of 2024', 'versions': '4f', 'steps': ''}" in repr(pipeline)
    assert "bank, of 2024" in wallaroo.pipeline.PipelineList([pipeline])._repr_html_()


def test_steps_that_are_not_deployed_are_kept_for_the_next_look(wallaroo: ModuleType):
    client = Answering(wallaroo)
    model = wallaroo.model_version.ModelVersion(client, VERSION)
    pipeline = wallaroo.pipeline.Pipeline(client, PIPELINE).add_model_step(model)
    again = wallaroo.pipeline.Pipeline(client, PIPELINE)
    assert again.steps() == []
    again.take_draft()
    assert again.steps() == pipeline.steps() != []
    pipeline.clear()
    last = wallaroo.pipeline.Pipeline(client, PIPELINE)
    last.take_draft()
    assert last.steps() == []


@pytest.mark.parametrize(
    "given",
    [
        {"model_class": "ccfraud"},
        {"model_name": "ccfraud"},
        {"name": "ccfraud"},
        {"model_class": "ccfraud", "model_name": "d0cb7d27"},
        {"name": "ccfraud", "version": "d0cb7d27"},
    ],
    ids="-".join,
)
def test_a_model_is_found_by_every_way_to_name_it(wallaroo: ModuleType, client: Any, given: dict[str, str]):
    asked: list[Any] = []

    def known(name: str, version: str | None = None) -> None:
        asked.append((name, version))

    client.get_model = known
    client.model_by_name(**given)
    assert asked == [("ccfraud", "d0cb7d27" if len(given) == 2 else None)]
    with pytest.raises(trivet.TrivetError, match="model_by_name has 0 arguments"):
        client.model_by_name()


def test_a_batch_configuration_may_be_a_list_of_one(wallaroo: ModuleType):
    client = Answering(wallaroo, configurations={"id": 4, "batch_config": "single"})
    model = wallaroo.model_version.ModelVersion(client, VERSION)
    assert model.configure(batch_config=["single"]).config().batch_config() == "single"
    assert client.asked[0].body == {"batch_config": "single"}
    assert model.configure("onnx", batch_config=[]) is model
    with pytest.raises(trivet.TrivetError, match="batch_config has 2 values"):
        model.configure(batch_config=["single", "whole"])


@pytest.mark.parametrize("runtime", ["onnx", "tensorflow", "flight", "mlflow"])
def test_the_references_runtimes_change_nothing(wallaroo: ModuleType, client: Any, runtime: str):
    model = wallaroo.model_version.ModelVersion(client, VERSION)
    assert model.configure(runtime) is model


def test_an_unknown_runtime_is_an_error(wallaroo: ModuleType, client: Any):
    model = wallaroo.model_version.ModelVersion(client, VERSION)
    with pytest.raises(trivet.TrivetError, match="unknown runtime 'onyx'"):
        model.configure("onyx")


def test_a_deployment_configuration_has_the_references_form(wallaroo: ModuleType, client: Any):
    model = wallaroo.model_version.ModelVersion(client, VERSION)
    built = (
        wallaroo.DeploymentConfigBuilder()
        .replica_count(1)
        .cpus(0.5)
        .memory("1Gi")
        .gpus(0)
        .sidekick_cpus(model, 2)
        .sidekick_memory(model, "8Gi")
        .sidekick_env(model, {"K": "V"})
        .build()
    )
    half = {"cpu": 0.5, "memory": "1Gi"}
    image = {"cpu": 2, "memory": "8Gi"}
    assert built["engine"] == {"replicas": 1, "cpu": 0.5, "resources": {"limits": half, "requests": half}}
    assert built["engineAux"]["images"] == {
        "ccfraud-1": {"resources": {"limits": image, "requests": image}, "env": [{"name": "K", "value": "V"}]}
    }
    built = wallaroo.DeploymentConfigBuilder().sidekick_gpus(model, 1).build()
    assert built["engineAux"]["images"]["ccfraud-1"]["resources"]["limits"] == {"gpu": 1}
    said = "GPUs for models that run in the gateway are not supported yet"
    with pytest.raises(wallaroo.object.NotThereYetError, match=said):
        wallaroo.DeploymentConfigBuilder().gpus(1)


def test_the_settings_come_from_the_environment(wallaroo: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRIVET_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("TRIVET_TOKEN", "secret")
    client = wallaroo.Client()
    assert client.api_endpoint == "http://127.0.0.1:9"
    header = client.auth.auth_header()
    assert header == {"Authorization": "Bearer secret"}
    header["Content-Type"] = "application/json"
    assert client.auth.auth_header() == {"Authorization": "Bearer secret"}


def test_a_platform_that_is_not_there_is_named(wallaroo: ModuleType, client: Any):
    with pytest.raises(wallaroo.object.CommunicationError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        client.list_models()


def test_a_version_shows_itself_and_its_runtime(wallaroo: ModuleType, client: Any):
    model = wallaroo.model_version.ModelVersion(client, VERSION)
    assert str(model).startswith("{'name': 'ccfraud', 'version': 'd0cb7d27', 'file_name': 'ccfraud.onnx',")
    assert model.config().runtime() == "onnx"
    assert "<td>2025-21-May 17:41:25</td>" in model._repr_html_()
    with pytest.raises(wallaroo.object.NotThereYetError, match="continuous_batching_config"):
        model.configure(continuous_batching_config={"max_concurrent_batch_size": 4})
    with pytest.raises(wallaroo.object.NotThereYetError, match="openai_config"):
        model.configure(openai_config={})


@pytest.mark.parametrize(
    ("module", "kind", "text"),
    [
        ("model_version", "ModelVersionList", "(no model versions)"),
        ("model", "ModelList", "(no models)"),
        ("pipeline", "PipelineList", "(no pipelines)"),
        ("workspace", "WorkspaceList", "(no workspaces)"),
    ],
)
def test_an_empty_list_says_so(wallaroo: ModuleType, module: str, kind: str, text: str):
    empty = getattr(getattr(wallaroo, module), kind)()
    assert str(empty) == text
    assert empty._repr_html_() == text
    assert empty == []


def test_a_list_is_shown_as_a_table(wallaroo: ModuleType, client: Any):
    listed = wallaroo.model_version.ModelVersionList([wallaroo.model_version.ModelVersion(client, VERSION)])
    assert "<th>Image Path</th>" in listed._repr_html_()
    assert "<td>ccfraud.onnx</td>" in listed._repr_html_()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotFound("Pipeline x not found in this workspace."), "EntityNotFoundError"),
        (Unavailable("nothing answers"), "CommunicationError"),
        (Unsupported("assays are not supported yet"), "NotThereYetError"),
    ],
)
def test_errors_have_the_references_names_and_stay_trivets(wallaroo: ModuleType, error: Any, kind: str):
    found = wallaroo.object.translated(error)
    assert type(found).__name__ == kind
    assert found.what == error.what
    assert isinstance(found, type(error))


def test_other_errors_stay_what_they_are(wallaroo: ModuleType):
    error = Conflict("the name is taken")
    assert wallaroo.object.translated(error) is error


TAGS: dict[str, Any] = {
    "tags": [
        {
            "id": 5,
            "tag": "Of the Bank",
            "models": [{"id": 1, "name": "ccfraud", "uuid": "d0cb7d27"}],
            "pipelines": [{"id": 3, "name": "ccfraud"}],
        }
    ]
}


def test_a_tag_is_given_and_taken_in_the_references_form(wallaroo: ModuleType):
    client = Answering(wallaroo, **{"1": {}, "3": {}})
    tag = wallaroo.tag.Tag(client, TAGS["tags"][0])
    assert tag.add_to_model(1) == {"model_id": 1, "tag_id": 5}
    assert tag.add_to_pipeline(pipeline_id=3) == {"pipeline_pk_id": 3, "tag_pk_id": 5}
    tag.remove_from_model(1)
    tag.remove_from_pipeline(3)
    assert [(call.method, call.path) for call in client.asked] == [
        ("PUT", "/v1/tags/5/models/1"),
        ("PUT", "/v1/tags/5/pipelines/3"),
        ("DELETE", "/v1/tags/5/models/1"),
        ("DELETE", "/v1/tags/5/pipelines/3"),
    ]


def test_tags_are_shown_with_what_has_them(wallaroo: ModuleType):
    client = Answering(wallaroo, tags=TAGS)
    listed = wallaroo.tag.tags_in(client)
    assert "<th>id</th><th>tag</th><th>models</th><th>pipelines</th>" in listed._repr_html_()
    assert str(listed[0]) == (
        "{'id': 5, 'tag': 'Of the Bank', 'models': [('ccfraud', ['d0cb7d27'])], 'pipelines': ['ccfraud']}"
    )
    model = wallaroo.model_version.ModelVersion(client, VERSION)
    pipeline = wallaroo.pipeline.Pipeline(client, PIPELINE)
    assert [each.tag() for each in (*model.tags(), *pipeline.tags())] == ["Of the Bank", "Of the Bank"]
    other = wallaroo.model_version.ModelVersion(client, {**VERSION, "id": 2})
    assert str(other.tags()) == "(no tags)"
