"""Processes are killed at random while a client uploads, deploys and asks; afterwards all that was acknowledged is there."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

SECONDS, LONG_SECONDS = 8.0, float(os.environ.get("TRIVET_KILL_SECONDS", "60"))
KILLS, ANSWERS = 5, 100
"""At least; a busy machine takes longer for them."""
ROWS = [{"x": [1.0, 2.0]}, {"x": [3.0, 5.0]}]


class Client:
    """Uploads, deploys and asks, remembers what was acknowledged, and what nobody should ever see."""

    def __init__(self, platform: Any, times: Callable[[float], Path], *, ends: threading.Event) -> None:
        self.platform = platform
        self.times = times
        self.ends = ends
        self.uploads: dict[str, tuple[str, str]] = {}
        self.deployed: dict[str, tuple[int, float]] = {}
        self.asked: dict[str, set[float]] = {}
        self.answers = 0
        self.refused = 0
        self.wrong: list[str] = []
        self.ready: dict[float, dict[str, Any]] = {}

    def guarded(self, work: Callable[[], None], *, pause_s: float) -> threading.Thread:
        """Do it again and again until the end. What a killed process makes of a request is no fault of its client's."""

        def run() -> None:
            while not self.ends.is_set():
                with contextlib.suppress(requests.RequestException, AssertionError, FileNotFoundError):
                    work()
                time.sleep(pause_s)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def upload(self) -> None:
        """A version under a name of its own. Its 201 is a promise."""
        factor = float(random.randint(2, 9))
        name = f"times-{len(self.uploads)}"
        path = self.times(factor)
        version = self.platform.upload(name, path, wait=False)
        self.uploads[version["uuid"]] = (name, version["sha"])

    def deploy(self) -> None:
        """One of two versions in one of two pipelines."""
        factor = random.choice(list(self.ready))
        pipeline = random.choice(["native", "isolated"])
        versions = [self.ready[factor]] if pipeline == "native" else [self.ready[0.0], self.ready[factor]]
        # Also one that is not acknowledged may come about.
        self.asked.setdefault(pipeline, set()).add(factor)
        if factor == 0.0:
            return
        deployment = self.platform.deploy(pipeline, *versions, wait=False)
        generation = deployment["generation"]
        if generation > self.deployed.get(pipeline, (0, 0.0))[0]:
            self.deployed[pipeline] = (generation, factor)

    def ask(self, pipeline: str) -> Callable[[], None]:
        """Every answer is that of one version, to this request."""

        def work() -> None:
            answer = self.platform.infer(pipeline, ROWS, timeout=20)
            if answer.status_code != 200:
                self.refused += 1
                if answer.status_code not in {404, 429, 503, 504}:
                    self.wrong.append(f"{pipeline}: {answer.status_code} {answer.text}")
                return
            self.answers += 1
            extra = 7.0 if pipeline == "isolated" else 1.0
            found = {
                got / (value * extra)
                for row, said in zip(ROWS, answer.json(), strict=True)
                for value, got in zip(row["x"], said["out"]["y"], strict=True)
            }
            if len(found) != 1 or not found <= self.asked[pipeline]:
                self.wrong.append(f"{pipeline}: {found} of {self.asked[pipeline]}")

        return work


def kill_something(platform: Any, killed: list[str]) -> None:
    what = random.choice(["control", "supervisor", "gateway", "worker", "worker", "everything"])
    if what == "everything" and random.random() < 0.7:
        what = "gateway"
    if what == "everything":
        platform.kill()
        platform.start()
    elif what == "worker":
        workers = platform.workers()
        if not workers:
            return
        os.kill(random.choice(workers), signal.SIGKILL)
    else:
        platform.kill_role(what)
    killed.append(what)


def answer(platform: Any, pipeline: str, *, within_s: float) -> Any:
    """What a pipeline answers. The last kill may be so fresh that its status does not tell of it yet."""
    deadline = time.monotonic() + within_s
    while (response := platform.infer(pipeline, ROWS)).status_code != 200:
        assert time.monotonic() < deadline, f"{response.text}\n{platform.log()}"
        time.sleep(0.1)
    return response.json()


@pytest.mark.usefixtures("own_environments")
@pytest.mark.parametrize(
    "seconds",
    [SECONDS, pytest.param(LONG_SECONDS, marks=[pytest.mark.slow, pytest.mark.timeout(LONG_SECONDS * 4 + 240)])],
)
def test_after_any_kill_acknowledged_data_exists_and_answers_are_right(
    platform, times, step_times, step_schema, free_home, seconds
):
    ends = threading.Event()
    client = Client(platform, times, ends=ends)
    for factor in (2.0, 3.0):
        client.ready[factor] = platform.upload(f"base-{factor:g}", times(factor))
        assert client.ready[factor]["status"] == "ready"
    client.ready[0.0] = platform.upload(
        "seven", step_times(7), framework="python", input_schema=step_schema, output_schema=step_schema
    )
    assert client.ready[0.0]["status"] == "ready", client.ready[0.0]
    environments = set((free_home / "envs" / "environments").iterdir())
    threads = [
        client.guarded(client.upload, pause_s=0.3),
        client.guarded(client.deploy, pause_s=0.5),
        client.guarded(client.ask("native"), pause_s=0.005),
        client.guarded(client.ask("isolated"), pause_s=0.005),
    ]
    killed: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(killed) < KILLS or client.answers < ANSWERS:
        time.sleep(random.uniform(0.3, 2.5))
        with contextlib.suppress(LookupError, ProcessLookupError, FileNotFoundError, psutil.NoSuchProcess):
            kill_something(platform, killed)
    ends.set()
    for thread in threads:
        thread.join(60)
    assert client.wrong == [], f"{client.answers} answers, {client.refused} refused, killed {killed}\n{platform.log()}"

    for uuid, (name, sha) in client.uploads.items():
        version = platform.loaded(uuid)
        assert (version["name"], version["sha"], version["status"]) == (name, sha, "ready")
    for pipeline, (generation, factor) in client.deployed.items():
        deployment = platform.settled(pipeline, generation, within_s=120)
        assert deployment["status"]["state"] == "Running", deployment
        if deployment["generation"] == generation:
            said = answer(platform, pipeline, within_s=30)
            extra = 7.0 if pipeline == "isolated" else 1.0
            assert said[1]["out"]["y"] == pytest.approx([3 * factor * extra, 5 * factor * extra])
    # No environment was built a second time, and nothing half-written is left.
    assert set((free_home / "envs" / "environments").iterdir()) == environments
    # (An upload that was announced and never sent is remembered for a day, so that it can be sent again.)
    assert [path for path in (free_home / "uploads").iterdir() if path.suffix != ".json"] == []
