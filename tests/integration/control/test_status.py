"""What runs, as an operator looks at it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from trivet.domain.deployment import DeploymentState, DeploymentStatus, WorkerStatus
from trivet.domain.fault import Fault
from trivet.domain.statistics import PipelineStatistics, RequestError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def status_of(api: Any, pipeline: str) -> dict[str, Any]:
    [found] = api.call("GET", "/v1/status", params={"pipeline": pipeline})["pipelines"]
    return dict(found)


def observe(api: Any, answer: dict[str, Any], state: DeploymentState, **fields: Any) -> None:
    """Have the supervisor report a state of a deploy."""
    status = DeploymentStatus(state=state, generation=answer["deployment"]["generation"], **fields)
    api.control.catalog.deployments.set_status(answer["deployment"]["id"], status)


def measured(api: Any, *found: PipelineStatistics) -> None:
    api.control = replace(api.control, statistics=lambda: found)


def test_a_pipeline_that_is_not_deployed_has_no_steps_and_no_numbers(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": "churn"})
    found = status_of(api, "churn")
    assert (found["status"], found["steps"], found["workers"], found["statistics"], found["url"]) == (
        *("not deployed", [], []),
        *(None, None),
    )


def test_the_live_version_of_each_step_is_the_one_that_answers(api) -> None:
    old, new = api.ready("churn"), api.ready("churn")
    first = api.deploy("churn", old)
    observe(api, first, DeploymentState.RUNNING, serving=first["pipeline_version"]["uuid"])
    assert [step["version"] for step in status_of(api, "churn")["steps"]] == [1]
    api.deploy("churn", new)
    found = status_of(api, "churn")
    assert (found["status"], found["answers"]) == ("Starting", True)
    assert [(step["model"], step["version"]) for step in found["steps"]] == [("churn", 1)]


def test_restarts_and_the_last_error_of_workers_are_shown(api) -> None:
    version = api.ready("churn")
    answer = api.deploy("churn", version)
    worker = WorkerStatus(
        id="w1",
        model="churn",
        version=version["uuid"],
        status=DeploymentState.ERROR,
        restarts=7,
        last_error="the worker of churn died: exit code 3",
        last_error_at=NOON,
    )
    fault = Fault(error="Unavailable", what="the worker of churn died")
    serving = answer["pipeline_version"]["uuid"]
    observe(api, answer, DeploymentState.ERROR, serving=serving, workers=(worker,), fault=fault)
    found = status_of(api, "churn")
    assert found["status"] == "Error"
    assert found["details"][0] == "the worker of churn died"
    assert (found["restarts"], found["workers"][0]["restarts"]) == (7, 7)
    assert found["steps"][0]["runs"] == "isolated"
    assert (found["steps"][0]["workers_ready"], found["steps"][0]["workers"]) == (0, 1)
    assert found["last_error"] == {
        "at": "2026-01-31T12:00:00+00:00",
        "of": "worker",
        "text": "the worker of churn died: exit code 3",
    }


def test_numbers_are_those_of_the_pipeline_in_its_workspace(api) -> None:
    answer = api.deploy("churn", api.ready("churn"))
    observe(api, answer, DeploymentState.RUNNING, serving=answer["pipeline_version"]["uuid"])
    ours = PipelineStatistics(
        pipeline="churn", workspace_id=1, over_s=300.0, requests_per_s=12.5, error_rate=0.01, refused_rate=0.0,
        p50_s=0.0021, p99_s=0.25, in_flight=3, last_error=RequestError(at_s=NOON.timestamp(), text="ValueError: no"),
    )  # fmt: skip
    theirs = PipelineStatistics(
        pipeline="churn", workspace_id=2, over_s=1.0, requests_per_s=0.0, error_rate=0.0, refused_rate=0.0,
        p50_s=None, p99_s=None, in_flight=0,
    )  # fmt: skip
    measured(api, ours, theirs)
    found = status_of(api, "churn")
    assert found["statistics"] == {
        "over_s": 300.0,
        "requests_per_s": 12.5,
        "error_rate": 0.01,
        "refused_rate": 0.0,
        "p50_ms": 2.1,
        "p99_ms": 250.0,
        "in_flight": 3,
    }
    assert found["last_error"] == {"at": "2026-01-31T12:00:00+00:00", "of": "request", "text": "ValueError: no"}


@pytest.mark.parametrize(
    ("state", "expected"), [(DeploymentState.RUNNING, "Stopping"), (DeploymentState.STOPPED, "not deployed")]
)
def test_a_pipeline_is_stopping_until_it_has_stopped(api, state: DeploymentState, expected: str) -> None:
    api.deploy("churn", api.ready("churn"))
    deployment = api.call("POST", "/v1/pipelines/churn/undeploy", json={})
    observe(api, deployment, state)
    assert status_of(api, "churn")["status"] == expected


def test_an_unknown_pipeline_gets_the_nearest_name(api) -> None:
    api.call("POST", "/v1/pipelines", json={"name": "churn"})
    assert api.refused(404, "GET", "/v1/status?pipeline=chrun")["fix"] == "did you mean 'churn'?"
