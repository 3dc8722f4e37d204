"""Whichever step of a version swap fails, or is the last of its process: each request is answered by exactly one version, and
what is deployed next gets through.
"""

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import psutil
import pytest
import requests

from trivet.domain.deployment import Deployment, DeploymentState
from trivet.workers.folders import sweep_stale_folders

# Each step of a swap fails or is killed once, one after another: long by nature.
pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("failing_process.py")
MORE_DESCRIPTORS = 4  # a connection of the catalog, or of a client, may be open or not


@pytest.fixture(scope="module")
def processes() -> ModuleType:
    """The module `test_processes`, which has the supervisor and the gateway as processes."""
    spec = importlib.util.spec_from_file_location("kept_processes", Path(__file__).with_name("test_processes.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Platform:
    """A supervisor and a gateway whose calls can be made to fail, and two versions of a pipeline that take turns.

    Args:
        parent: what they are children of.
        temporary: for workers' private folders.
    """

    def __init__(self, parent: Any, temporary: Path) -> None:
        self.parent = parent
        self.temporary = temporary
        self.doors: dict[str, Any] = {}
        self.versions: dict[str, list[Any]] = {}
        self.factors: dict[str, list[int]] = {}

    def start(self, role: str) -> None:
        here, there = Pipe()
        with pytest.MonkeyPatch.context() as patch:
            real = subprocess.Popen

            def popen(_: list[str], *, pass_fds: list[int], **options: Any) -> Any:
                own = [sys.executable, str(PROGRAM), role, str(there.fileno())]
                environ = {**os.environ, "TMPDIR": str(self.temporary)}
                return real(own, pass_fds=[*pass_fds, there.fileno()], env=environ, **options)

            patch.setattr(subprocess, "Popen", popen)
            self.parent.start(role)
        there.close()
        self.doors[role] = here

    def arm(self, role: str, what: tuple[str, str, int] | None) -> str:
        """Says what shall fail next; gives what the fault before has met."""
        self.doors[role].send(what)
        return str(self.doors[role].recv())

    def disarm(self, role: str) -> str:
        """What the fault has met; starts the process again if it has died of it."""
        try:
            return self.arm(role, None)
        except (EOFError, OSError):
            self.parent.children[role].wait(timeout=30)
            assert self.restarted(role)
            return "death"

    def restarted(self, role: str) -> bool:
        """Whether a process has ended, and is there again."""
        child = self.parent.children[role]
        if child.poll() is None:
            return False
        assert child.returncode == -signal.SIGKILL, self.parent.output()
        self.doors.pop(role).close()
        self.start(role)
        return True

    def upload(self, kind: str) -> None:
        self.factors[kind] = [3, 5]
        self.versions[kind] = [getattr(self.parent, kind)(factor) for factor in self.factors[kind]]
        self.ready(self.parent.deploy(kind, self.versions[kind][0]))

    def turn(self, kind: str) -> None:
        """What is new now is old next."""
        self.versions[kind].reverse()
        self.factors[kind].reverse()

    def ready(self, deployment: Deployment) -> None:
        """Waits until a deployment answers; its status never is an error."""
        self.parent.until(lambda: self.ended(deployment))
        status = self.parent.status(deployment.pipeline)
        assert status.state is DeploymentState.RUNNING, f"{status.fault}\n{self.parent.output()}"

    def ended(self, deployment: Deployment) -> bool:
        """Whether the status of a deployment is final."""
        status = self.parent.status(deployment.pipeline)
        final = status.state in {DeploymentState.RUNNING, DeploymentState.ERROR}
        return bool(final and status.generation == deployment.generation)

    def forget_package(self, kind: str) -> None:
        """The files of the new version go, as when they were pruned."""
        folder = self.parent.home / "packages" / self.versions[kind][1].sha
        if folder.exists():
            for path in [folder, *folder.rglob("*")]:
                if path.is_dir():
                    path.chmod(0o700)
            shutil.rmtree(folder)

    def sweep(self) -> None:
        """What every supervisor does at its start, a minute after folders were left."""
        for folder in self.temporary.glob("trivet-w-*"):
            with contextlib.suppress(FileNotFoundError):
                os.utime(folder, (0, 0))
        sweep_stale_folders(self.temporary)

    def left(self) -> list[str]:
        """Temporary files of this home, and folders of workers that are not there any more."""
        home = self.parent.home
        patterns = ("run/*.new", "run/workers/*.new", "tmp/*", "packages/tmp-*", "blobs/tmp-*", "worker/new-*")
        found = [str(path.relative_to(home)) for pattern in patterns for path in home.glob(pattern)]
        found = [each for each in found if not each.endswith("/.sweep")]
        folders = list(self.temporary.glob("trivet-w-*"))
        return found + [str(each) for each in folders[1:]]

    def tidy(self) -> bool:
        """Whether there is the one worker of the one pipeline that needs one, and nothing beside."""
        return len(self.processes()) == 1 and not self.left()

    def processes(self) -> list[int]:
        """The processes that run models."""
        guardians = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.parent.home / "worker") in " ".join(process.cmdline()):
                    guardians.append(process)
        pids = {each.pid for each in guardians}
        found = []
        for process in guardians:
            with contextlib.suppress(psutil.Error):
                if process.ppid() not in pids:
                    found.append(process.pid)
        return found


class Clients:
    """A client that sends requests without a pause for the length of a `with` block, and looks at each row of each answer."""

    def __init__(self, platform: Platform, kind: str) -> None:
        self.platform = platform
        self.url = f"{platform.parent.url}/pipelines/{kind}/infer"
        self.factors = set(platform.factors[kind])
        self.answered = 0
        self.broken = 0
        self.failures: list[str] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(timeout=40)
        assert not self.failures, f"{self.failures[:3]}\n{self.platform.parent.output()}"
        assert self.answered

    def _run(self) -> None:
        session = requests.Session()
        while not self._ends.is_set():
            try:
                answer = session.post(self.url, json=[{"x": [1.0, 2.0]}, {"x": [3.0, 4.0]}], timeout=30)
            except requests.ConnectionError:
                self.broken += 1
                continue
            self.answered += 1
            if answer.status_code != 200:
                self.failures.append(f"{answer.status_code} {answer.text}")
                continue
            rows = [row.get("out.y") or row["out"]["y"] for row in answer.json()]
            if rows not in [[[factor, 2 * factor], [3 * factor, 4 * factor]] for factor in self.factors]:
                self.failures.append(f"no version answers {rows}")
            time.sleep(0.002)


@pytest.fixture(scope="module")
def platform(processes: ModuleType, module_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Both run from a home of their own, and each of two pipelines answers with the first of its versions."""
    with tempfile.TemporaryDirectory(prefix="nth-") as temporary:
        made = Platform(processes.Parent(module_home, tmp_path_factory.mktemp("models")), Path(temporary))
        try:
            made.start("gateway")
            made.start("supervisor")
            made.upload("native")
            made.upload("custom")
            yield made
        finally:
            made.parent.close()
        made.parent.until(lambda: not made.processes())
        assert not list(Path(temporary).glob("trivet-w-*"))


FAULTS = [
    ("supervisor", "catalog", "Unavailable", "native"),
    ("supervisor", "memory", "ENOSPC", "native"),
    ("supervisor", "package", "ENOSPC", "native"),
    ("supervisor", "record", "ENOSPC", "custom"),
    ("supervisor", "worker", "EMFILE", "custom"),
    ("supervisor", "worker", "ENOSPC", "custom"),
    ("gateway", "routes", "ENOSPC", "native"),
    ("gateway", "load", "Unavailable", "native"),
    ("gateway", "load", "EMFILE", "native"),
]


@pytest.mark.parametrize(("role", "boundary", "fault", "kind"), FAULTS)
def test_whichever_step_of_a_swap_fails_one_version_answers(
    platform: Platform, role: str, boundary: str, fault: str, kind: str
) -> None:
    parent = platform.parent
    process = psutil.Process(parent.children[role].pid)
    descriptors = process.num_fds()
    met = []
    platform.ready(parent.deploy(kind, platform.versions[kind][0]))
    with Clients(platform, kind) as clients:
        for number in itertools.count(1):
            new = platform.versions[kind][1]
            if boundary == "package":
                platform.forget_package(kind)
            before = parent.status(kind).serving
            platform.arm(role, (boundary, fault, number))
            swapped = parent.deploy(kind, new)
            parent.until(lambda d=swapped: platform.ended(d))
            status = parent.status(kind)
            if status.state is DeploymentState.ERROR:
                assert status.fault.message, met
                assert status.serving == before
                assert parent.answer(kind)[0] == platform.factors[kind][0]
            else:
                assert status.serving == swapped.pipeline_version
                assert parent.answer(kind)[0] == platform.factors[kind][1]
                # Reports and removals after the new version answers are steps, too.
                time.sleep(0.1)
            met.append(platform.arm(role, None))
            again = parent.deploy(kind, new)
            platform.ready(again)
            assert parent.answer(kind)[0] == platform.factors[kind][1]
            parent.until(platform.tidy)
            platform.turn(kind)
            if not met[-1]:
                assert status.state is DeploymentState.RUNNING
                break
    assert len(met) > 1, "nothing was met"
    assert clients.broken == 0
    parent.until(lambda: process.num_fds() <= descriptors + MORE_DESCRIPTORS, within_s=20)


DEATHS = [
    ("supervisor", "catalog+memory+message", "native"),
    ("supervisor", "worker+record", "custom"),
    ("gateway", "routes+load+message", "native"),
]


@pytest.mark.parametrize(("role", "boundary", "kind"), DEATHS)
def test_a_kill_at_any_step_of_a_swap_leaves_one_version_answering(
    platform: Platform, role: str, boundary: str, kind: str
) -> None:
    parent = platform.parent
    platform.ready(parent.deploy(kind, platform.versions[kind][0]))
    deaths = 0
    with Clients(platform, kind) as clients:
        while True:
            new = platform.versions[kind][1]
            platform.arm(role, (boundary, "crash", deaths + 1))
            swapped = parent.deploy(kind, new)
            died = False
            while not platform.ended(swapped):
                died = platform.restarted(role) or died
                time.sleep(0.01)
            # Reports and removals after the new version answers are steps, too.
            time.sleep(0 if died else 0.1)
            died = bool(platform.disarm(role)) or died
            # Nothing was wrong but that a process ended.
            platform.ready(swapped)
            assert parent.answer(kind)[0] == platform.factors[kind][1]
            again = parent.deploy(kind, new)
            platform.ready(again)
            assert parent.answer(kind)[0] == platform.factors[kind][1]
            platform.sweep()
            parent.until(platform.tidy)
            platform.turn(kind)
            if not died:
                break
            deaths += 1
    assert deaths > 1
    # At most the request in flight at each death.
    assert clients.broken <= (deaths if role == "gateway" else 0)
