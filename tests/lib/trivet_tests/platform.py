"""`trivet up` as processes: one home, and the platform that runs from it."""

import base64
import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import requests

from trivet import Client
from trivet_tests.command import TRIVET, Ran, run_here, run_process
from trivet_tests.waiting import eventually


def worker_records(home: Path) -> list[dict[str, Any]]:
    """What is written down of a platform's workers."""
    found = []
    for path in (home / "run" / "workers").glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # a worker that ends meanwhile
            found.append(json.loads(path.read_text()))
    return found


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
        eventually(lambda: self._info() or self.process.poll() is not None, self.log)
        info = self._info()
        assert info is not None, f"the platform ended before it was ready\n{self.log()}"
        self.control_url, self.infer_url = info["control_url"], info["infer_url"]
        return self

    def _info(self) -> dict[str, Any] | None:
        """What the platform says of itself once it is ready; not what an earlier one left."""
        assert self.process is not None
        try:
            info: dict[str, Any] = json.loads((self.home / "run" / "platform.json").read_text())
        except (OSError, ValueError):
            return None
        return info if info["pid"] == self.process.pid else None

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
        self.process.wait(timeout=60)

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
        return [record.get("model_pid") or record["pid"] for record in worker_records(self.home)]

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
        """What the control API needs."""
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

        def ended() -> Any:
            version = self.call("GET", f"/v1/versions/{uuid}")
            return version if version["status"] in {"ready", "error"} else None

        return eventually(ended, self.log, within_s=within_s)

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

        def ended() -> Any:
            deployment = self.call("GET", f"/v1/pipelines/{pipeline}/deployment")["deployment"]
            status = deployment["status"]
            return deployment if status["generation"] >= generation and status["state"] != "Starting" else None

        return eventually(ended, self.log, within_s=within_s)

    def client(self, **said: Any) -> Client:
        """The SDK's client of it."""
        return Client(self.control_url, **{"token": self.token, "quiet": True, **said})

    def trivet(self, *words: object, stdin: str = "", **environ: str) -> Ran:
        """A command of a user on this machine, run in this process."""
        return run_here(*words, environ={**os.environ, "TRIVET_HOME": str(self.home), **environ}, stdin=stdin)

    def trivet_process(self, *words: object, stdin: str = "", **environ: str) -> Ran:
        """The same as a process of its own."""
        return run_process(*words, environ={**os.environ, "TRIVET_HOME": str(self.home), **environ}, stdin=stdin)

    def metrics(self) -> str:
        """The gateway's metrics."""
        return requests.get(f"{self.infer_url}/metrics", timeout=60).text

    def infer(self, pipeline: str, rows: Any, *, timeout: float = 30.0) -> requests.Response:
        """Ask a pipeline."""
        headers = {"Content-Type": "application/json; format=pandas-records"}
        url = f"{self.infer_url}/pipelines/{pipeline}/infer"
        return requests.post(url, json=rows, headers=headers, timeout=timeout)
