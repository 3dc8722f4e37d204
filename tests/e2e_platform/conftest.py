"""Real platforms, started as users start them: `trivet up` in a home of its own, on ports of its own."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import pyarrow as pa
import pytest
import requests
from onnx import TensorProto, helper, numpy_helper, save

from trivet import Client
from trivet_tests.command import TRIVET, Ran, run_here, run_process

READY_WITHIN_S = 60.0


@dataclass(kw_only=True)
class Platform:
    """One home, and the platform that runs from it; it can be killed, in parts or as a whole, and started again."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    control_url: str = ""
    infer_url: str = ""

    def start(self) -> "Platform":
        """`trivet up`, until it is ready. Started again it takes the ports that it had."""
        ports = [url.rpartition(":")[2] or "0" for url in (self.control_url, self.infer_url)]
        (self.home / "logs").mkdir(exist_ok=True)
        with (self.home / "logs" / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [TRIVET, "up", "--home", self.home, "--port", ports[0], "--http-port", ports[1]],
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                info = json.loads((self.home / "run" / "platform.json").read_text())
                if info["pid"] == self.process.pid:
                    break
            except (OSError, ValueError):
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the platform is not ready\n{self.log()}")
            time.sleep(0.02)
        self.control_url, self.infer_url = info["control_url"], info["infer_url"]
        return self

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """kill -9 of the parent."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def log(self) -> str:
        """What the platform said so far."""
        return (self.home / "logs" / "up.log").read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Everything below the parent."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def pid(self, role: str) -> int:
        """Of control, supervisor or gateway, as it is now."""
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            try:
                words = child.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if words[-2:] == ["trivet.wiring.child", role]:
                return child.pid
        raise LookupError(f"there is no {role} process at the moment")

    def workers(self) -> list[int]:
        """Pids of processes that run models."""
        found = []
        for path in (self.home / "run" / "workers").glob("*.json"):
            record = json.loads(path.read_text())
            found.append(record.get("model_pid") or record["pid"])
        return found

    def kill_role(self, role: str) -> int:
        """kill -9 of one process; gives its pid."""
        pid = self.pid(role)
        os.kill(pid, signal.SIGKILL)
        return pid

    @property
    def token(self) -> str:
        """What its control API asks for."""
        return (self.home / "token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        """What the control API wants."""
        return {"Authorization": f"Bearer {self.token}"}

    def call(self, method: str, path: str, *, ok: bool = True, **arguments: Any) -> Any:
        """One request to the control API; gives what its body says."""
        answer = requests.request(method, self.control_url + path, headers=self.headers, timeout=60, **arguments)
        if ok:
            assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def upload(
        self, name: str, path: Path, *, framework: str = "onnx", wait: bool = True, **said: Any
    ) -> dict[str, Any]:
        """A new version of a model; waits until it is loaded."""
        for key in ("input_schema", "output_schema"):
            if isinstance(said.get(key), pa.Schema):
                said[key] = base64.b64encode(said[key].serialize()).decode()
        body = {"name": name, "file_name": path.name, "framework": framework, **said}
        created = self.call("POST", "/v1/uploads", json=body)
        version = self.call("PUT", f"/v1/uploads/{created['id']}/content", data=path.read_bytes())
        return self.loaded(version["uuid"]) if wait else version

    def loaded(self, uuid: str, *, within_s: float = 120.0) -> dict[str, Any]:
        """A version once its loading has ended, well or not."""
        deadline = time.monotonic() + within_s
        while True:
            version = self.call("GET", f"/v1/versions/{uuid}")
            if version["status"] in {"ready", "error"}:
                return version
            assert time.monotonic() < deadline, f"{version}\n{self.log()}"
            time.sleep(0.05)

    def deploy(self, pipeline: str, *versions: dict[str, Any], wait: bool = True, **said: Any) -> dict[str, Any]:
        """Deploy models as a pipeline; waits until it answers or cannot."""
        self.call("POST", "/v1/pipelines", json={"name": pipeline})
        steps = [
            {"step": "model", "version": version["uuid"], "config_id": version.get("config_id")} for version in versions
        ]
        answer = self.call("POST", f"/v1/pipelines/{pipeline}/deploy", json={"steps": steps, **said})
        return self.settled(pipeline, answer["deployment"]["generation"]) if wait else answer["deployment"]

    def settled(self, pipeline: str, generation: int, *, within_s: float = 60.0) -> dict[str, Any]:
        """A deployment once what was asked for runs, or has failed."""
        deadline = time.monotonic() + within_s
        while True:
            deployment = self.call("GET", f"/v1/pipelines/{pipeline}/deployment")["deployment"]
            status = deployment["status"]
            if status["generation"] >= generation and status["state"] != "Starting":
                return deployment
            assert time.monotonic() < deadline, f"{deployment}\n{self.log()}"
            time.sleep(0.02)

    def client(self, **said: Any) -> Client:
        """The SDK's client of it."""
        return Client(self.control_url, **{"token": self.token, "quiet": True, **said})

    def trivet(self, *words: object, stdin: str = "", **environ: str) -> Ran:
        """A command of a user on this machine, run in this process."""
        return run_here(*words, environ={**os.environ, "TRIVET_HOME": str(self.home), **environ}, stdin=stdin)

    def trivet_process(self, *words: object, stdin: str = "", **environ: str) -> Ran:
        """The same as a process of its own."""
        return run_process(*words, environ={**os.environ, "TRIVET_HOME": str(self.home), **environ}, stdin=stdin)

    def infer(self, pipeline: str, rows: Any, *, timeout: float = 30.0) -> requests.Response:
        """Ask a pipeline."""
        headers = {"Content-Type": "application/json; format=pandas-records"}
        url = f"{self.infer_url}/pipelines/{pipeline}/infer"
        return requests.post(url, json=rows, headers=headers, timeout=timeout)


@pytest.fixture
def platform(free_home: Path) -> Iterator[Platform]:
    """A platform of the test's own."""
    running = Platform(home=free_home).start()
    yield running
    code = running.stop()
    assert code == 0, running.log()


@pytest.fixture(scope="module")
def start_platform(module_home: Path) -> Callable[..., AbstractContextManager[Platform]]:
    """`with start_platform(TRIVET_DATABASE_URL=…) as running:` for the tests of a module. Its home is new each time."""

    @contextmanager
    def start(**environ: str) -> Iterator[Platform]:
        home = module_home / uuid4().hex[:8]
        home.mkdir(mode=0o700)
        (home / "envs").symlink_to((module_home / "envs").resolve(), target_is_directory=True)
        running = Platform(home=home, environ=environ).start()
        try:
            yield running
        finally:
            code = running.stop()
        assert code == 0, running.log()

    return start


@pytest.fixture(scope="module")
def shared_platform(start_platform: Callable[..., AbstractContextManager[Platform]]) -> Iterator[Platform]:
    """A platform that the tests of a module share: each has models and pipelines of names of its own."""
    with start_platform() as running:
        yield running


@pytest.fixture
def platform_in(free_home: Path) -> Iterator[Callable[..., Platform]]:
    """A platform that the test starts itself, in a home of its own: `platform_in(environ={…})`."""
    made: list[Platform] = []

    def make(**environ: str) -> Platform:
        made.append(Platform(home=free_home, environ=environ))
        return made[-1]

    yield make
    for each in made:
        if each.process is not None:
            each.stop()


@pytest.fixture(scope="session")
def times(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """`times(3)` is an ONNX file: `x` float32[2] in, `y` float32[2] out, three times as large."""
    folder = tmp_path_factory.mktemp("models")

    def make(factor: float) -> Path:
        path = folder / f"times-{factor:g}.onnx".replace(".", "-", 1 if factor % 1 else 0)
        if not path.exists():
            graph = helper.make_graph(
                name="times",
                inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
                outputs=[helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
                initializer=[numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")],
                nodes=[helper.make_node("Mul", ["x", "factor"], ["y"])],
            )
            save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
        return path

    return make


STEP = """
from mac.types import InferenceData


def process_data(input_data: InferenceData) -> InferenceData:
    return {{"x": input_data["x"] * {factor}}}
"""


@pytest.fixture(scope="session")
def step_schema() -> pa.Schema:
    """What those steps take and answer."""
    return pa.schema([pa.field("x", pa.list_(pa.float32(), 2))])


@pytest.fixture(scope="session")
def step_times(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """`step_times(3)` is a zip with a Python step: `x` float32[2] in, `x` float32[2] out, three times as large."""
    import zipfile

    folder = tmp_path_factory.mktemp("steps")

    def make(factor: float) -> Path:
        path = folder / f"step{factor:g}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("step.py", STEP.format(factor=factor))
            archive.writestr("requirements.txt", "")
        return path

    return make
