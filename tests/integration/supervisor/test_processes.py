"""The real supervisor and the real gateway as processes, with real models, a real catalog, and a parent that holds their lifeline."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import psutil
import pyarrow as pa
import pytest
import requests
from onnx import TensorProto, helper

from trivet.blobs import open_blobs
from trivet.catalog import open_catalog
from trivet.disk.files import remove_tree
from trivet.domain.deployment import Deployment, DeploymentConfig, DeploymentState, Resources
from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings
from trivet.domain.pipeline import ModelStep
from trivet.domain.version import Acceleration, Architecture, ModelVersion, VersionStatus
from trivet.settings import Settings, settings_to_json
from trivet_tests.asking import Asking
from trivet_tests.peers import SECRET, peers_in
from trivet_tests.platform import worker_records

WITHIN_S = 60.0
X = pa.schema([pa.field("x", pa.list_(pa.float32(), 2), nullable=False)])
Y = pa.schema([pa.field("y", pa.list_(pa.float32(), 2), nullable=False)])
CUSTOM = """
    import os, time
    from mac.inference import Inference
    from mac.inference.creation import InferenceBuilder
    from mac.types import InferenceData

    TOP

    class Times(Inference):
        @property
        def expected_model_types(self):
            return {int}

        def _predict(self, input_data: InferenceData) -> InferenceData:
            if (input_data["x"] < -1e6).any():
                os.abort()
            return {"y": input_data["x"] * self.model}

    class TimesBuilder(InferenceBuilder):
        @property
        def inference(self):
            return Times

        def create(self, config):
            CREATE
            times = self.inference()
            times.model = FACTOR
            return times
"""


class Parent:
    """What `trivet up` is to supervisor and gateway, and what control is to the catalog."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.settings = Settings(home=home)
        (home / "run").mkdir(mode=0o700)
        self.catalog = open_catalog(f"sqlite:///{home / 'catalog.db'}")
        self.blobs = open_blobs(None, home=home)
        self.lifeline = os.pipe()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.pipelines: dict[str, int] = {}

    def start(self, role: str) -> None:
        listeners = {"http": self.listener.fileno()} if role == "gateway" else {}
        with (self.home / f"{role}.log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "trivet.wiring.child", role],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[self.lifeline[0], *listeners.values()],
            )
        config = {
            "settings": settings_to_json(self.settings),
            "listeners": listeners,
            "lifeline": self.lifeline[0],
            "control_url": "",
            "infer_url": self.url,
            "parent": os.getpid(),
            "anyone": False,
            "secret": SECRET,
            "credentials": {"token": "0" * 32, "certificate": None},
        }
        assert child.stdin is not None
        child.stdin.write(json.dumps(config).encode() + b"\n")
        child.stdin.close()
        self.children[role] = child

    def end(self, role: str, number: signal.Signals = signal.SIGKILL) -> int:
        child = self.children.pop(role)
        child.send_signal(number)
        return child.wait(timeout=30)

    def close(self) -> None:
        for role in ("gateway", "supervisor"):
            if role in self.children:
                self.end(role, signal.SIGTERM)
        for descriptor in self.lifeline:
            os.close(descriptor)
        self.listener.close()
        self.catalog.close()

    def output(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')}" for path in self.home.glob("*.log"))

    def until(self, holds: Callable[[], Any], *, within_s: float = WITHIN_S) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.01)

    def poke(self) -> None:
        with contextlib.suppress(OSError), peers_in(self.home / "run").connected("supervisor", timeout_s=60):
            pass

    # What control does.

    def upload(self, name: str, path: Path, framework: Framework, **options: Any) -> ModelVersion:
        with path.open("rb") as file:
            sha, size = self.blobs.put(file)
        version = self.catalog.models.add_version(
            workspace_id=1,
            name=name,
            file_name=path.name,
            sha=sha,
            size=size,
            framework=framework,
            settings=ModelSettings(framework=framework, **options),
            arch=Architecture.X86,
            accel=Acceleration.NONE,
            visibility="private",
            created_by="me",
        )
        self.poke()
        self.until(lambda: self.catalog.models.version(version.id).status.is_final)
        loaded = self.catalog.models.version(version.id)
        assert loaded.status is VersionStatus.READY, loaded.fault
        return loaded

    def native(self, factor: float) -> ModelVersion:
        graph = helper.make_graph(
            [helper.make_node("Mul", ["x", "factor"], ["y"])],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
            [helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])],
        )
        path = self.folder / f"times-{factor:g}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return self.upload("native", path, Framework.ONNX)

    def custom(self, factor: float, *, create: str = "pass", top: str = "") -> ModelVersion:
        path = self.folder / f"custom-{factor:g}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            source = (
                textwrap.dedent(CUSTOM).replace("FACTOR", str(factor)).replace("CREATE", create).replace("TOP", top)
            )
            archive.writestr("custom_inference.py", source)
            archive.writestr("requirements.txt", "")
        return self.upload("custom", path, Framework.CUSTOM, input_schema=X, output_schema=Y)

    def deploy(self, pipeline: str, *versions: ModelVersion, config: DeploymentConfig | None = None) -> Deployment:
        if pipeline not in self.pipelines:
            self.pipelines[pipeline] = self.catalog.pipelines.create(1, pipeline).id
        steps = tuple(ModelStep(name=each.name, version=each.uuid, sha=each.sha) for each in versions)
        made = self.catalog.deployments.deploy(
            self.pipelines[pipeline], steps=steps, config=config or DeploymentConfig()
        )[1]
        self.poke()
        return made

    def status(self, pipeline: str) -> Any:
        deployment = self.catalog.deployments.of(self.pipelines[pipeline])
        assert deployment is not None
        return deployment.status

    def running(self, deployment: Deployment) -> bool:
        status = self.status(deployment.pipeline)
        assert status.state is not DeploymentState.ERROR, status.fault
        return bool(status.state is DeploymentState.RUNNING and status.generation == deployment.generation)

    # What clients do.

    def asking(self, pipeline: str) -> Asking:
        """One client that asks a pipeline without a pause, for the length of a `with` block."""
        return Asking(f"{self.url}/pipelines/{pipeline}/infer", [{"x": [1.0, 2.0]}], clients=1)

    def infer(self, pipeline: str, rows: Any = None) -> requests.Response:
        rows = [{"x": [1.0, 2.0]}] if rows is None else rows
        return requests.post(f"{self.url}/pipelines/{pipeline}/infer", json=rows, timeout=90)

    def answer(self, pipeline: str) -> Any:
        answer = self.infer(pipeline)
        assert answer.status_code == 200, f"{answer.text}\n{self.output()}"
        return answer.json()[0]["out.y"] if "out.y" in answer.json()[0] else answer.json()[0]["out"]["y"]

    def workers(self) -> dict[str, int]:
        """The process that runs the model, by worker."""
        return {record["worker"]["id"]: record["model_pid"] for record in worker_records(self.home)}


@pytest.fixture
def parent(free_home: Path, tmp_path: Path, first_catalog: Path) -> Iterator[Parent]:
    """A supervisor and a gateway that run from a home of their own; at the end nothing of them is left."""
    shutil.copy(first_catalog, free_home / "catalog.db")
    made = Parent(free_home, tmp_path)
    before = set(psutil.process_iter())
    made.start("gateway")
    made.start("supervisor")
    yield made
    made.close()
    deadline = time.monotonic() + 60

    def left() -> list[psutil.Process]:
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process not in before and str(free_home) in " ".join(process.cmdline()):
                    mine.append(process)
        return mine

    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left() == []


def test_models_of_both_kinds_load_deploy_swap_and_survive_a_kill(parent: Parent) -> None:
    native, custom = parent.native(3), parent.custom(3)
    first = [parent.deploy("native", native), parent.deploy("custom", custom)]
    parent.until(lambda: all(parent.running(each) for each in first))
    assert parent.answer("native") == parent.answer("custom") == [3.0, 6.0]
    with parent.asking("native") as of_native, parent.asking("custom") as of_custom:
        second = [parent.deploy("native", parent.native(5)), parent.deploy("custom", parent.custom(5))]
        parent.until(lambda: all(parent.running(each) for each in second))
    for asked in (of_native, of_custom):
        assert asked.failures == [], parent.output()
        # Each answer comes from exactly one version, and once the new one answers the old one does not.
        assert set(asked.answers) <= {3.0, 5.0}
        assert asked.answers == sorted(asked.answers)
    assert parent.answer("native") == parent.answer("custom") == [5.0, 10.0]
    parent.until(lambda: len(parent.workers()) == 1)
    before = parent.workers()
    with parent.asking("native") as of_native, parent.asking("custom") as of_custom:
        parent.end("supervisor")
        time.sleep(0.3)
        parent.start("supervisor")
        parent.until((parent.home / "run" / "supervisor.sock").exists)
        # It works again: a version is loaded, deployed, and takes over.
        third = parent.deploy("native", parent.native(7))
        parent.until(lambda: parent.running(third))
    assert of_native.failures == of_custom.failures == [], parent.output()
    assert parent.answer("native") == [7.0, 14.0]
    # The worker is the same process, and its new supervisor looks after it.
    assert parent.workers() == before
    assert set(of_custom.answers) == {5.0}
    os.kill(next(iter(before.values())), signal.SIGKILL)
    parent.until(lambda: parent.workers().keys().isdisjoint(before) and parent.workers())
    parent.until(lambda: parent.infer("custom").status_code == 200)


def test_a_failed_update_leaves_the_old_version_through_restarts(parent: Parent, flag_file: Path) -> None:
    good = parent.deploy("p", parent.custom(2), config=DeploymentConfig(replicas=2))
    parent.until(lambda: parent.running(good))
    # It loads as long as this file is not there, as when it was uploaded.
    bad = parent.custom(9, create=f"assert not os.path.exists({str(flag_file)!r}), 'there is a flag'")
    flag_file.touch()
    with parent.asking("p") as asking:
        broken = parent.deploy("p", bad)
        parent.until(lambda: parent.status("p").state is DeploymentState.ERROR)
        status = parent.status("p")
        assert status.generation == broken.generation
        assert status.serving == good.pipeline_version
        assert "there is a flag" in status.fault.message
        parent.end("supervisor")
        parent.start("supervisor")
        time.sleep(1.0)
        parent.until(lambda: parent.status("p").state is DeploymentState.ERROR)
    assert asking.failures == [], parent.output()
    assert set(asking.answers) == {2.0}
    # Also a gateway that starts again finds the version that works.
    parent.end("gateway")
    parent.start("gateway")
    parent.until(lambda: parent.infer("p").status_code == 200)
    assert parent.answer("p") == [2.0, 4.0]
    # The next deploy brings its own desired state.
    flag_file.unlink()
    mended = parent.deploy("p", bad)
    parent.until(lambda: parent.status("p").serving == mended.pipeline_version)
    assert parent.answer("p") == [9.0, 18.0]


def test_a_loading_worker_ends_with_a_killed_supervisor(parent: Parent, flag_file: Path) -> None:
    version = parent.custom(2, create=f"while os.path.exists({str(flag_file)!r}): time.sleep(0.05)")
    flag_file.touch()
    deployed = parent.deploy("p", version)
    parent.until(lambda: workers_of(parent))
    lost = set(workers_of(parent))
    assert parent.workers() == {}
    parent.end("supervisor")
    flag_file.unlink()
    parent.start("supervisor")
    parent.until(lambda: parent.running(deployed))
    parent.until(lambda: lost.isdisjoint(workers_of(parent)), within_s=5)
    assert parent.answer("p") == [2.0, 4.0]


def workers_of(parent: Parent) -> list[int]:
    """Every process of a worker, also of those that are not ready."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(parent.home / "worker") in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


def test_removed_files_are_restored_when_the_gateway_needs_them(parent: Parent) -> None:
    deployed = parent.deploy("p", parent.native(2))
    parent.until(lambda: parent.running(deployed))
    packages = parent.home / "packages"
    for path in [packages, *packages.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(packages)
    parent.end("gateway")
    parent.until(lambda: list(packages.rglob("*.onnx")))
    parent.start("gateway")
    parent.until(lambda: parent.infer("p").status_code == 200)
    shutil.rmtree(packages, onerror=lambda remove, path, _: (Path(path).parent.chmod(0o700), remove(path)))
    again = parent.deploy("p", parent.catalog.models.version(1))
    parent.until(lambda: parent.running(again))
    assert list(packages.rglob("*.onnx"))


def test_files_that_are_removed_under_a_worker_are_back_for_the_next_one(parent: Parent) -> None:
    deployed = parent.deploy("custom", parent.custom(2))
    parent.until(lambda: parent.running(deployed))
    before = parent.workers()
    remove_tree(parent.home / "packages")
    os.kill(next(iter(before.values())), signal.SIGKILL)
    parent.until(lambda: parent.workers().keys().isdisjoint(before) and parent.workers())
    assert parent.answer("custom") == [2.0, 4.0]


def test_an_undeploy_ends_the_route_and_its_workers(parent: Parent) -> None:
    deployed = parent.deploy("p", parent.native(2), parent_step(parent))
    parent.until(lambda: parent.running(deployed))
    assert len(parent.workers()) == 1
    stopped = parent.catalog.deployments.undeploy(parent.pipelines["p"])
    parent.poke()
    parent.until(lambda: parent.status("p").state is DeploymentState.STOPPED)
    assert parent.status("p").generation == stopped.generation
    assert parent.infer("p").status_code == 404
    assert parent.workers() == {}


def parent_step(parent: Parent) -> ModelVersion:
    """A step that takes what `native` gives."""
    path = parent.folder / "step.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("step.py", "def process_data(input_data):\n    return {'z': input_data['y'] + 1}\n")
    z = pa.schema([pa.field("z", pa.list_(pa.float32(), 2), nullable=False)])
    return parent.upload("step", path, Framework.PYTHON, input_schema=Y, output_schema=z)


def test_workers_get_the_resources_that_their_deployment_grants(parent: Parent) -> None:
    model = parent.custom(2)
    granted = Resources(cpus=2.5, env={"GREETING": "hello"})
    deployed = parent.deploy("p", model, config=DeploymentConfig(replicas=2, sidekicks={model.uuid: granted}))
    parent.until(lambda: parent.running(deployed))
    assert len(parent.workers()) == 2
    for pid in parent.workers().values():
        environ = psutil.Process(pid).environ()
        assert environ["GREETING"] == "hello"
        assert environ["OMP_NUM_THREADS"] == "3"


def test_a_worker_killed_by_a_request_is_reported_and_replaced(parent: Parent) -> None:
    deployed = parent.deploy("p", parent.custom(2))
    parent.until(lambda: parent.running(deployed))
    before = parent.workers()
    answer = parent.infer("p", [{"x": [-1e9, 0.0]}])
    assert answer.status_code == 503
    assert "SIGABRT" in answer.text
    parent.until(lambda: parent.workers() and parent.workers().keys().isdisjoint(before))
    parent.until(lambda: parent.infer("p").status_code == 200)
    parent.until(lambda: [event for event in parent.catalog.journal.events(limit=1000) if event.kind == "worker_ended"])
    assert parent.status("p").state is DeploymentState.RUNNING


def test_requests_do_not_wait_for_a_worker_that_cannot_start_again(parent: Parent, flag_file: Path) -> None:
    top = f"assert not os.path.exists({str(flag_file)!r}), 'address already in use: ' + __file__"
    deployment = parent.deploy("p", parent.custom(2, top=top))
    parent.until(lambda: parent.running(deployment))
    flag_file.touch()
    for pid in parent.workers().values():
        os.kill(pid, signal.SIGKILL)
    # Those that came before it was known waited for the next worker.
    parent.until(lambda: "worker_failed" in parent.infer("p").text, within_s=120)
    started = time.monotonic()
    answer = parent.infer("p")
    assert time.monotonic() - started < 10.0
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    reason = "a module of custom fails on import: AssertionError: address already in use: <package>/custom_inference.py"
    assert f"no worker of the model can be started: {reason}" in answer.text
    assert str(parent.home) not in answer.text
    parent.until(lambda: parent.status("p").state is DeploymentState.ERROR)
    flag_file.unlink()
    # The pause before the next start has grown meanwhile, to 30 s at most.
    parent.until(lambda: parent.infer("p").status_code == 200, within_s=120)


def test_on_sighup_a_supervisor_leaves_its_workers_on_sigterm_it_ends_them(parent: Parent) -> None:
    deployed = parent.deploy("p", parent.custom(2))
    parent.until(lambda: parent.running(deployed))
    before = parent.workers()
    assert parent.end("supervisor", signal.SIGHUP) == 0
    assert parent.workers() == before
    assert parent.answer("p") == [2.0, 4.0]
    parent.start("supervisor")
    parent.until((parent.home / "run" / "supervisor.sock").exists)
    time.sleep(0.5)
    assert parent.workers() == before
    assert parent.end("supervisor", signal.SIGTERM) == 0
    assert parent.workers() == {}
    assert not any(psutil.pid_exists(pid) for pid in before.values())


def test_a_worker_that_could_not_be_written_down_ends_with_its_supervisor(parent: Parent) -> None:
    version = parent.custom(2)
    records = parent.home / "run" / "workers"
    records.touch()  # nothing can be written below it
    deployed = parent.deploy("p", version)
    parent.until(lambda: parent.running(deployed))
    below = psutil.Process(parent.children["supervisor"].pid).children(recursive=True)
    assert below
    records.unlink()
    parent.end("supervisor")
    assert not psutil.wait_procs(below, timeout=30)[1]
    parent.start("supervisor")
    parent.until(parent.workers)
    parent.until(lambda: parent.infer("p").status_code == 200)
    assert parent.answer("p") == [2.0, 4.0]


def test_the_serving_version_returns_after_a_lost_run_folder(parent: Parent, flag_file: Path) -> None:
    good = parent.deploy("p", parent.custom(2))
    parent.until(lambda: parent.running(good))
    bad = parent.custom(9, create=f"assert not os.path.exists({str(flag_file)!r}), 'there is a flag'")
    flag_file.touch()
    broken = parent.deploy("p", bad)
    parent.until(lambda: parent.status("p").state is DeploymentState.ERROR)
    for role in ("gateway", "supervisor"):
        parent.end(role, signal.SIGTERM)
    shutil.rmtree(parent.home / "run")
    (parent.home / "run").mkdir(mode=0o700)
    parent.start("gateway")
    parent.start("supervisor")
    parent.until(lambda: parent.infer("p").status_code == 200)
    assert parent.answer("p") == [2.0, 4.0]
    # The desired version is tried again after that, and its error is reported.
    parent.until(lambda: parent.status("p").serving == good.pipeline_version)
    parent.until(lambda: parent.status("p").state is DeploymentState.ERROR)
    assert parent.status("p").generation == broken.generation
    assert parent.answer("p") == [2.0, 4.0]
    flag_file.unlink()
    mended = parent.deploy("p", bad)
    parent.until(lambda: parent.status("p").serving == mended.pipeline_version)
    assert parent.answer("p") == [9.0, 18.0]
