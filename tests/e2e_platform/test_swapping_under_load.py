"""One version after another takes the place of the last while clients ask without a pause."""

import threading
import time
from typing import Any, Self

import pytest
import requests

CLIENTS = 4
ROW = [{"x": [1.0, 2.0]}]


class Asking:
    """Clients that ask without a pause, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ends = threading.Event()
        self.answers: list[float] = []
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        for thread in self.threads:
            thread.join(60)

    def _run(self) -> None:
        with requests.Session() as session:
            while not self.ends.is_set():
                try:
                    answer = session.post(self.url, json=ROW, timeout=30)
                except requests.RequestException as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text}")
                    continue
                first, second = answer.json()[0]["out"]["y"]
                self.answers.append(first)
                if second != 2 * first:
                    self.failures.append(f"mixed: {first}, {second}")

    def until_last(self, factor: float) -> None:
        """Wait until what answers is this; what was asked before may still be answered by what was there."""
        deadline = time.monotonic() + 60
        while not self.answers or self.answers[-1] != factor:
            assert time.monotonic() < deadline, (factor, self.answers[-5:], self.failures[:3])
            time.sleep(0.01)


@pytest.fixture
def versions(platform: Any, times: Any) -> list[dict[str, Any]]:
    return [platform.upload("times", times(float(factor))) for factor in (2, 3, 5)]


def test_swapping_native_versions_under_load_loses_no_request(platform: Any, versions: list[dict[str, Any]]) -> None:
    platform.deploy("swapped", versions[0])
    with Asking(f"{platform.infer_url}/pipelines/swapped/infer") as asking:
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
    with Asking(f"{platform.infer_url}/pipelines/swapped/infer") as asking:
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
    with Asking(f"{platform.infer_url}/pipelines/kept/infer") as asking:
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
    with Asking(f"{platform.infer_url}/pipelines/short/infer") as asking:
        asking.until_last(2.0)
        platform.call("POST", "/v1/pipelines/short/undeploy")
        deadline = time.monotonic() + 60
        while not asking.failures and time.monotonic() < deadline:
            time.sleep(0.01)
    assert asking.failures
    assert all(failure.startswith("404 ") for failure in asking.failures), asking.failures[:3]
