"""One version after another takes the place of the last while clients ask without a pause."""

import time
from typing import Any

import pytest

from trivet_tests.asking import Asking

ROW = [{"x": [1.0, 2.0]}]


@pytest.fixture
def versions(platform: Any, times: Any) -> list[dict[str, Any]]:
    return [platform.upload("times", times(float(factor))) for factor in (2, 3, 5)]


def test_swapping_native_versions_under_load_loses_no_request(platform: Any, versions: list[dict[str, Any]]) -> None:
    platform.deploy("swapped", versions[0])
    with Asking(f"{platform.infer_url}/pipelines/swapped/infer", ROW) as asking:
        for turn in range(9):
            version = versions[(turn + 1) % 3]
            deployment = platform.deploy("swapped", version)
            assert deployment["status"]["state"] == "Running"
            factor = (2.0, 3.0, 5.0)[(turn + 1) % 3]
            assert platform.infer("swapped", ROW).json()[0]["out"]["y"][0] == factor
            asking.until_last(factor)
            time.sleep(0.2)
    assert asking.failures == []
    assert set(asking.answers) == {2.0, 3.0, 5.0}
    assert len(asking.answers) > 300


def test_swapping_models_in_workers_under_load_loses_no_request(
    platform: Any, versions: list[dict[str, Any]], step_times: Any, step_schema: Any
) -> None:
    steps = [
        platform.upload(
            "step", step_times(factor), framework="python", input_schema=step_schema, output_schema=step_schema
        )
        for factor in (7, 11)
    ]
    platform.deploy("swapped", steps[0], versions[0])
    with Asking(f"{platform.infer_url}/pipelines/swapped/infer", ROW) as asking:
        for turn in range(4):
            platform.deploy("swapped", steps[(turn + 1) % 2], versions[0])
            factor = (14.0, 22.0)[(turn + 1) % 2]
            assert platform.infer("swapped", ROW).json()[0]["out"]["y"][0] == factor
            asking.until_last(factor)
    assert asking.failures == []


def test_a_version_that_cannot_run_leaves_the_one_that_does_untouched(
    platform: Any, versions: list[dict[str, Any]], step_times: Any, step_schema: Any
) -> None:
    step = platform.upload(
        "step", step_times(7), framework="python", input_schema=step_schema, output_schema=step_schema
    )
    before = platform.deploy("kept", step, versions[0])
    with Asking(f"{platform.infer_url}/pipelines/kept/infer", ROW) as asking:
        # Python needs more than 16 MiB: no worker of this deployment comes up.
        config = {
            "engineAux": {
                "images": {
                    f"step-{step['id']}": {"resources": {"limits": {"memory": "16Mi"}, "requests": {"memory": "16Mi"}}}
                }
            }
        }
        failed = platform.deploy("kept", step, versions[1], config=config)
        assert failed["status"]["state"] == "Error", failed
        assert failed["status"]["fault"]["what"]
        assert failed["status"]["serving"] == before["pipeline_version"]
        time.sleep(0.3)
    assert set(asking.answers) == {14.0}
    assert asking.failures == []


def test_an_undeploy_answers_requests_in_flight_and_refuses_later_ones(
    platform: Any, versions: list[dict[str, Any]]
) -> None:
    platform.deploy("short", versions[0])
    with Asking(f"{platform.infer_url}/pipelines/short/infer", ROW) as asking:
        asking.until_last(2.0)
        platform.call("POST", "/v1/pipelines/short/undeploy")
        deadline = time.monotonic() + 60
        while not asking.failures and time.monotonic() < deadline:
            time.sleep(0.01)
    assert asking.failures
    assert all(failure.startswith("404 ") for failure in asking.failures), asking.failures[:3]
