"""Going back to the version before, deleting a version, and the newest events."""

from typing import Any

from trivet.domain.digest import Digest


def numbers_of(api: Any, pipeline: str) -> list[int]:
    return [version["number"] for version in api.call("GET", f"/v1/pipelines/{pipeline}")["versions"]]


def test_a_rollback_deploys_the_version_before_with_the_same_configuration(api) -> None:
    old, new = api.ready("fraud"), api.ready("fraud")
    first = api.deploy("pipe", old)["pipeline_version"]
    images = {f"fraud-{new['id']}": {"resources": {"limits": {"memory": "1Gi"}}}}
    config = {"engine": {"replicas": 2}, "engineAux": {"images": images}}
    api.deploy("pipe", new, config=config, log_inferences=False)
    answer = api.call("POST", "/v1/pipelines/pipe/rollback", json={})
    deployment = answer["deployment"]
    assert answer["pipeline_version"] == first
    assert (deployment["pipeline_version"], deployment["log_inferences"]) == (first["uuid"], False)
    assert deployment["config"]["engine"] == {"replicas": 2}
    assert list(deployment["config"]["engineAux"]["images"]) == [f"fraud-{old['id']}"]
    assert api.control.catalog.deployments.all()[0].config.sidekicks[old["uuid"]].memory_bytes == 2**30
    assert numbers_of(api, "pipe") == [3, 2, 1]


def test_a_rollback_is_refused_where_there_is_no_earlier_version(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": "pipe"})
    refusal = api.refused(409, "POST", "/v1/pipelines/pipe/rollback", json={})
    assert refusal["reason"] == "not_deployed"
    api.deploy("pipe", api.ready("fraud"))
    refusal = api.refused(409, "POST", "/v1/pipelines/pipe/rollback", json={})
    assert (refusal["what"], refusal["fix"]) == (
        "pipeline 'pipe' has no version before 2",
        "its versions are in `trivet pipelines pipe`",
    )


def test_a_rollback_to_a_deleted_model_version_changes_nothing(api) -> None:
    old, new = api.ready("fraud"), api.ready("fraud")
    api.deploy("pipe", old)
    deployed = api.deploy("pipe", new)["deployment"]
    assert api.call("DELETE", f"/v1/versions/{old['uuid']}") == {"deleted": old["uuid"]}
    api.refused(404, "POST", "/v1/pipelines/pipe/rollback", json={})
    assert api.call("GET", "/v1/pipelines/pipe/deployment")["deployment"] == deployed


def test_a_version_that_is_deployed_is_not_deleted(api) -> None:
    version = api.ready("fraud")
    api.deploy("pipe", version)
    refusal = api.refused(409, "DELETE", f"/v1/versions/{version['uuid']}")
    assert refusal["what"] == "model 'fraud' version 1 is deployed"
    assert refusal["why"] == "pipeline 'pipe' uses it"
    assert refusal["fix"] == "undeploy first (trivet undeploy pipe), or deploy other steps"


def test_the_last_version_takes_its_model_and_its_bytes_along(api) -> None:
    version = api.ready("fraud")
    assert api.control.blobs.has(Digest(version["sha"]))
    api.call("DELETE", f"/v1/versions/{version['uuid']}")
    assert api.call("GET", "/v1/models")["models"] == []
    assert not api.control.blobs.has(Digest(version["sha"]))
    assert api.call("GET", "/v1/events", params={"newest": "true"})["events"][-1]["kind"] == "deleted"


def test_bytes_that_another_version_has_are_kept(api) -> None:
    first, second = api.ready("fraud"), api.ready("fraud")
    assert first["sha"] == second["sha"]
    api.call("DELETE", f"/v1/versions/{first['uuid']}")
    assert api.control.blobs.has(Digest(second["sha"]))
    assert [each["number"] for each in api.call("GET", "/v1/models/fraud/versions")["versions"]] == [2]


def test_the_newest_events_are_the_last_ones_in_their_order(api) -> None:
    api.deploy("pipe", api.ready("fraud"))
    api.call("POST", "/v1/pipelines/pipe/undeploy", json={})
    everything = api.call("GET", "/v1/events")["events"]
    newest = api.call("GET", "/v1/events", params={"newest": "true", "limit": 2})["events"]
    assert newest == everything[-2:]
    assert [(each["kind"], each["pipeline"]) for each in newest] == [("deploy", "pipe"), ("undeploy", "pipe")]
