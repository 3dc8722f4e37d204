"""Pipelines: built, deployed, looked at, undeployed."""

import concurrent.futures
import socket
from typing import Any

import pyarrow as pa
import pytest

from trivet.domain.deployment import DeploymentState, DeploymentStatus, WorkerStatus
from trivet.domain.fault import Fault
from trivet.domain.schema import parse_schema
from trivet.domain.version import VersionStatus

FRAUD = "fraud-pipeline"


def steps_of(*versions: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"step": "model", "version": version["uuid"]} for version in versions]


def test_a_pipeline_is_made_once_and_given_again(api) -> None:
    first = api.ask("POST", "/v1/pipelines", json={"name": FRAUD})
    again = api.ask("POST", "/v1/pipelines", json={"name": FRAUD})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["deployed"] is None
    assert [version["steps"] for version in first.json()["versions"]] == [[]]
    assert api.call("GET", "/v1/pipelines")["pipelines"] == [first.json()]


def test_a_name_that_is_none_is_proposed_one(api) -> None:
    assert api.refused(400, "POST", "/v1/pipelines", json={"name": "My Pipeline"})["fix"] == "'my-pipeline' would do"


def test_an_unknown_pipeline_gets_the_nearest_name(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    refusal = api.refused(404, "GET", "/v1/pipelines/fraud-pipelin")
    assert refusal["what"] == "Pipeline fraud-pipelin not found in this workspace"
    assert refusal["fix"] == f"did you mean '{FRAUD}'?"


def test_a_deploy_makes_a_version_and_says_what_is_wanted(api) -> None:
    version = api.ready()
    answer = api.deploy(FRAUD, version, config={"engine": {"replicas": 2}}, log_inferences=False)
    made, deployment = answer["pipeline_version"], answer["deployment"]
    assert made["number"] == 2
    assert made["steps"] == [
        {"step": "model", "version": version["uuid"], "config_id": None, "name": "fraud", "sha": version["sha"]}
    ]
    assert deployment["pipeline_version"] == made["uuid"]
    assert (deployment["wanted"], deployment["generation"]) == ("running", 1)
    assert (deployment["config"], deployment["log_inferences"]) == ({"engine": {"replicas": 2}}, False)
    assert api.control.catalog.deployments.all()[0].config.replicas == 2
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/deployment")["deployment"] == deployment
    assert api.call("GET", f"/v1/pipelines/{FRAUD}")["deployed"] is True


def test_an_earlier_version_can_be_deployed_again(api) -> None:
    first = api.deploy(FRAUD, api.ready())["pipeline_version"]
    api.deploy(FRAUD, api.ready("other"))
    answer = api.call("POST", f"/v1/pipelines/{FRAUD}/deploy", json={"version": first["uuid"]})
    assert answer["pipeline_version"] == first
    assert answer["deployment"]["generation"] == 3
    assert len(api.call("GET", f"/v1/pipelines/{FRAUD}")["versions"]) == 3


def test_another_pipelines_version_cannot(api) -> None:
    other = api.deploy("other", api.ready())["pipeline_version"]
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    api.refused(404, "POST", f"/v1/pipelines/{FRAUD}/deploy", json={"version": other["uuid"]})


def test_the_configuration_is_part_of_the_step(api) -> None:
    version = api.ready()
    config = api.call("POST", f"/v1/versions/{version['uuid']}/configurations", json={"tensor_fields": ["tensor"]})
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    body = {"steps": [{"step": "model", "version": version["uuid"], "config_id": config["id"]}]}
    made = api.call("POST", f"/v1/pipelines/{FRAUD}/deploy", json=body)["pipeline_version"]
    assert made["steps"][0]["config_id"] == config["id"]
    assert api.call("GET", f"/v1/versions/{version['uuid']}")["config"] == config


def test_another_versions_configuration_is_refused(api) -> None:
    version, other = api.ready(), api.ready("other")
    config = api.call("POST", f"/v1/versions/{other['uuid']}/configurations", json={"batch_config": "single"})
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    body = {"steps": [{"step": "model", "version": version["uuid"], "config_id": config["id"]}]}
    api.refused(404, "POST", f"/v1/pipelines/{FRAUD}/deploy", json=body)


def test_a_step_that_does_not_fit_is_refused_with_step_column_and_types(api) -> None:
    clean = api.ready("clean", outputs=parse_schema("age: int64"))
    score = api.ready("score", inputs=parse_schema("age: float32"))
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    refusal = api.refused(409, "POST", f"/v1/pipelines/{FRAUD}/deploy", json={"steps": steps_of(clean, score)})
    assert refusal["what"] == "step 'score' cannot follow step 'clean'"
    assert refusal["why"] == "column 'age' leaves as int64 and is expected as float32"
    assert refusal["reason"] == "steps_do_not_fit"
    assert len(api.call("GET", f"/v1/pipelines/{FRAUD}")["versions"]) == 1
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/deployment") == {"deployment": None}


def test_a_configuration_can_make_a_step_fit(api) -> None:
    clean = api.ready("clean", outputs=parse_schema("age: float32"))
    score = api.ready("score", inputs=parse_schema("input_1: float32"))
    config = api.call("POST", f"/v1/versions/{score['uuid']}/configurations", json={"tensor_fields": ["age"]})
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    steps = steps_of(clean, score)
    api.refused(409, "POST", f"/v1/pipelines/{FRAUD}/deploy", json={"steps": steps})
    steps[1]["config_id"] = config["id"]
    api.call("POST", f"/v1/pipelines/{FRAUD}/deploy", json={"steps": steps})


def test_a_version_that_failed_to_load_is_to_be_fixed(api) -> None:
    version = api.upload("fraud")
    fault = Fault(error="BadPackage", what="the output is a seq(map)\nand more", fix="export with zipmap=False")
    api.control.catalog.models.set_status(version["id"], VersionStatus.ERROR, fault=fault)
    api.call("POST", "/v1/pipelines", json={"name": "pipe"})
    steps = [{"step": "model", "version": version["uuid"]}]
    for path, body in (
        ("/v1/pipelines/pipe/deploy", {"steps": steps}),
        (f"/v1/versions/{version['uuid']}/configurations", {"batch_config": "single"}),
    ):
        refusal = api.refused(409, "POST", path, json=body)
        assert refusal["reason"] == "not_ready"
        assert refusal["why"] == "the output is a seq(map)"
        assert refusal["fix"] == (
            "its status is error, and waiting does not help: upload a corrected one; export with zipmap=False"
        )


def test_a_version_that_is_not_ready_cannot_be_deployed(api) -> None:
    waiting = api.upload()
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    refusal = api.refused(409, "POST", f"/v1/pipelines/{FRAUD}/deploy", json={"steps": steps_of(waiting)})
    assert (refusal["reason"], refusal["why"]) == ("not_ready", "its status is pending_load_native")
    fault = Fault(error="BadPackage", what="No Inference-inherited class found in the model directory")
    api.control.catalog.models.set_status(waiting["id"], VersionStatus.ERROR, fault=fault)
    refusal = api.refused(409, "POST", f"/v1/pipelines/{FRAUD}/deploy", json={"steps": steps_of(waiting)})
    assert refusal["why"] == fault.what
    assert api.call("GET", f"/v1/versions/{waiting['uuid']}")["error_summary"] == fault.what


def test_validations_follow_a_step_and_are_checked(api) -> None:
    version = api.ready()
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    path = f"/v1/pipelines/{FRAUD}/deploy"

    def with_check(name: str, expression: str, *, first: bool = False) -> dict[str, Any]:
        check = {"step": "check", "validations": [{"name": name, "expression": expression}]}
        return {"steps": [check, *steps_of(version)] if first else [*steps_of(version), check]}

    made = api.call("POST", path, json=with_check("fraud", '{"Column":"out.x"}'))["pipeline_version"]
    assert made["steps"][1] == {"step": "check", "validations": [{"name": "fraud", "expression": '{"Column":"out.x"}'}]}
    assert api.refused(400, "POST", path, json=with_check("fraud", "nonsense"))["what"] == "this is not an expression"
    assert "count" in api.refused(400, "POST", path, json=with_check("count", "{}"))["what"]
    assert api.refused(400, "POST", path, json=with_check("fraud", "{}", first=True))["path"] == "steps[0]"


@pytest.mark.parametrize("body", [{}, {"steps": []}, {"steps": None}, {"steps": [], "version": "x"}])
def test_a_deploy_has_steps_or_a_version(api, body: dict[str, Any]) -> None:
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    api.refused(400, "POST", f"/v1/pipelines/{FRAUD}/deploy", json=body)


def test_an_unknown_kind_of_step_is_refused(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    api.refused(400, "POST", f"/v1/pipelines/{FRAUD}/deploy", json={"steps": [{"step": "split"}]})


def test_of_deploys_at_the_same_time_none_is_lost(api) -> None:
    versions = [api.ready(f"model-{number}") for number in range(4)]
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    path = f"/v1/pipelines/{FRAUD}/deploy"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda version: api.call("POST", path, json={"steps": steps_of(version)}), versions))
    assert sorted(answer["deployment"]["generation"] for answer in answers) == [1, 2, 3, 4]
    assert sorted(answer["pipeline_version"]["number"] for answer in answers) == [2, 3, 4, 5]
    last = max(answers, key=lambda answer: answer["deployment"]["generation"])
    now = api.call("GET", f"/v1/pipelines/{FRAUD}/deployment")["deployment"]
    assert now["pipeline_version"] == last["pipeline_version"]["uuid"]


def test_a_deployed_pipeline_is_not_deleted_and_a_stopped_one_is(api) -> None:
    api.deploy(FRAUD, api.ready())
    assert api.refused(409, "DELETE", f"/v1/pipelines/{FRAUD}")["fix"] == "undeploy it first"
    stopped = api.call("POST", f"/v1/pipelines/{FRAUD}/undeploy")["deployment"]
    assert (stopped["wanted"], stopped["generation"]) == ("stopped", 2)
    assert api.call("POST", f"/v1/pipelines/{FRAUD}/undeploy")["deployment"]["generation"] == 2
    api.call("DELETE", f"/v1/pipelines/{FRAUD}")
    api.refused(404, "GET", f"/v1/pipelines/{FRAUD}")


def test_a_pipeline_that_was_never_deployed_cannot_be_undeployed(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    assert api.refused(409, "POST", f"/v1/pipelines/{FRAUD}/undeploy")["reason"] == "not_deployed"


def test_a_pipeline_has_its_references_url_once_it_has_a_deployment(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    short = f"http://127.0.0.1:8080/pipelines/{FRAUD}/infer"
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/url") == {"url": None, "pipeline_url": short}
    deployment = api.deploy(FRAUD, api.ready())["deployment"]
    full = f"http://127.0.0.1:8080/v1/api/pipelines/infer/{FRAUD}-{deployment['id']}/{FRAUD}"
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/url") == {"url": full, "pipeline_url": short}


def test_addresses_come_from_the_configuration_and_never_from_the_request(api) -> None:
    api.deploy(FRAUD, api.ready())
    answer = api.ask(
        "GET", f"/v1/pipelines/{FRAUD}/url", headers={"Host": "localhost:6666", "X-Forwarded-Host": "evil"}
    )
    assert "6666" not in answer.text
    assert "evil" not in answer.text


def test_the_status_of_a_running_pipeline_is_the_references(api) -> None:
    version = api.ready()
    answer = api.deploy(FRAUD, version)
    uuid = answer["pipeline_version"]["uuid"]
    worker = WorkerStatus(id="w1", model="fraud", version=version["uuid"], status=DeploymentState.RUNNING)
    seen = DeploymentStatus(
        state=DeploymentState.RUNNING, generation=1, serving=uuid, gateway="engine-1", workers=(worker,)
    )
    api.control.catalog.deployments.set_status(answer["deployment"]["id"], seen)
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/status") == {
        "status": "Running",
        "details": [],
        "engines": [
            {
                "ip": "127.0.0.1:8080",
                "name": "engine-1",
                "status": "Running",
                "reason": None,
                "details": [],
                "pipeline_statuses": {"pipelines": [{"id": FRAUD, "status": "Running", "version": uuid}]},
                "model_statuses": {
                    "models": [
                        {
                            "model_version_id": version["id"],
                            "name": "fraud",
                            "sha": version["sha"],
                            "status": "Running",
                            "version": version["uuid"],
                        }
                    ]
                },
            }
        ],
        "engine_lbs": [
            {"ip": "127.0.0.1:8080", "name": "engine-1", "status": "Running", "reason": None, "details": []}
        ],
        "sidekicks": [
            {
                "ip": "127.0.0.1:8080",
                "name": "fraud-w1",
                "status": "Running",
                "reason": None,
                "details": [],
                "statuses": "\n",
            }
        ],
    }


def test_a_status_is_starting_until_the_newest_wish_was_seen(api) -> None:
    deployment = api.deploy(FRAUD, api.ready())["deployment"]
    path = f"/v1/pipelines/{FRAUD}/status"
    assert api.call("GET", path)["status"] == "Starting"
    running = DeploymentStatus(state=DeploymentState.RUNNING, generation=1)
    api.control.catalog.deployments.set_status(deployment["id"], running)
    assert api.call("GET", path)["status"] == "Running"
    api.deploy(FRAUD, api.ready("other"))
    assert api.call("GET", path)["status"] == "Starting"
    fault = Fault(error="ModelFailed", what="it does not answer")
    failed = DeploymentStatus(state=DeploymentState.ERROR, generation=2, fault=fault)
    api.control.catalog.deployments.set_status(deployment["id"], failed)
    said = api.call("GET", path)
    assert (said["status"], said["details"]) == ("Error", ["it does not answer"])


def test_the_status_of_a_pipeline_that_is_not_deployed_is_the_references(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": FRAUD})
    nothing = {"status": f"Pipeline {FRAUD} is not deployed"}
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/status") == nothing
    deployment = api.deploy(FRAUD, api.ready())["deployment"]
    api.call("POST", f"/v1/pipelines/{FRAUD}/undeploy")
    stopped = DeploymentStatus(state=DeploymentState.STOPPED, generation=2)
    api.control.catalog.deployments.set_status(deployment["id"], stopped)
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/status") == nothing


def test_a_pipeline_that_is_still_stopping_is_not_deployed(api) -> None:
    deployment = api.deploy(FRAUD, api.ready())["deployment"]
    running = DeploymentStatus(state=DeploymentState.RUNNING, generation=1, serving=deployment["pipeline_version"])
    api.control.catalog.deployments.set_status(deployment["id"], running)
    api.call("POST", f"/v1/pipelines/{FRAUD}/undeploy")
    nothing = {"status": f"Pipeline {FRAUD} is not deployed"}
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/status") == nothing
    name = {"name": f"{FRAUD}-{deployment['id']}"}
    assert api.call("POST", "/v1/api/status/get_deployment", json=name) == nothing
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/deployment")["deployment"]["status"]["state"] == "Running"
    api.deploy(FRAUD, api.ready("other"))
    assert api.call("GET", f"/v1/pipelines/{FRAUD}/status")["status"] == "Starting"


def test_workspaces_keep_their_pipelines_and_models_apart(api) -> None:
    made = api.ask("POST", "/v1/workspaces", json={"name": "other"})
    assert made.status_code == 201
    api.upload(workspace="other")
    api.call("POST", "/v1/pipelines", json={"name": FRAUD, "workspace": "other"})
    assert api.call("GET", "/v1/models")["models"] == []
    assert api.call("GET", "/v1/pipelines")["pipelines"] == []
    assert [each["name"] for each in api.call("GET", "/v1/models?workspace=other")["models"]] == ["fraud"]
    assert api.call("GET", f"/v1/pipelines/{FRAUD}?workspace=other")["workspace"] == "other"
    assert [each["name"] for each in api.call("GET", "/v1/workspaces")["workspaces"]] == ["default", "other"]
    assert api.call("GET", "/v1/workspaces/other") == made.json()
    api.refused(409, "POST", "/v1/workspaces", json={"name": "other"})
    api.refused(404, "GET", "/v1/workspaces/othr")


SINGLE_WITH_DYNAMIC = (
    "Dynamic batching is not supported with single batch mode. Please update the model configuration or contact wallaroo "
    "for support at support@wallaroo.ai."
)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"tensor_fields": ["a", "b"]}, "2 tensor fields for 1 inputs"),
        ({"tensor_fields": [""]}, "tensor fields need names, each its own"),
        (
            {"batch_config": "single", "max_batch_delay_ms": 5},
            SINGLE_WITH_DYNAMIC,
        ),
        ({"batch_config": "whole", "max_batch_delay_ms": 5}, "a whole request is one call"),
        ({"batch_size_target": 9, "batch_size_limit": 8}, "a target of 9 rows with a limit of 8"),
        ({"max_batch_delay_ms": -1}, "invalid value for the field"),
        ({"tensor_feilds": ["a"]}, "unknown field 'tensor_feilds'"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(api, said: dict[str, Any], what: str) -> None:
    version = api.ready()
    assert api.refused(400, "POST", f"/v1/versions/{version['uuid']}/configurations", json=said)["what"] == what
    assert api.call("GET", f"/v1/versions/{version['uuid']}")["config"] is None


def test_a_version_shows_whether_its_code_may_use_the_network(api) -> None:
    address = f"/v1/versions/{api.ready()['uuid']}"
    assert api.call("GET", address)["network"] == "full"
    config = api.call("POST", f"{address}/configurations", json={"network": "none"})
    assert config["network"] == "none"
    version = api.call("GET", address)
    assert (version["network"], version["config"]) == ("none", config)


def test_a_configurations_schemas_travel_as_arrow(api) -> None:
    import base64

    version = api.ready()
    schema = parse_schema("z: float32[2]")
    text = base64.b64encode(schema.serialize()).decode()
    config = api.call("POST", f"/v1/versions/{version['uuid']}/configurations", json={"input_schema": text})
    assert pa.ipc.read_schema(pa.py_buffer(base64.b64decode(config["input_schema"]))) == schema


def test_the_supervisor_is_poked_after_what_it_should_see(api) -> None:
    path = api.control.settings.home / "run" / "supervisor.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen(8)
        door.settimeout(2.0)

        def poked() -> bool:
            door.accept()[0].close()
            return True

        version = api.upload()
        assert poked()
        api.load(version["id"])
        api.deploy(FRAUD, version)
        assert poked()
        api.call("POST", f"/v1/pipelines/{FRAUD}/undeploy")
        assert poked()
        api.call("DELETE", f"/v1/pipelines/{FRAUD}")
        assert poked()


def test_deploys_are_notified_in_order(api) -> None:
    deployment = api.deploy(FRAUD, api.ready())["deployment"]
    api.call("POST", f"/v1/pipelines/{FRAUD}/undeploy")
    events = [event for event in api.call("GET", "/v1/events")["events"] if event["subject"] == "deployment"]
    assert [event["kind"] for event in events] == ["deploy", "undeploy"]
    assert {event["subject_id"] for event in events} == {str(deployment["id"])}
