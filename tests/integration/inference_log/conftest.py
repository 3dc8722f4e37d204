"""Gateways and platforms as processes, what they serve, and the logs that they leave on a disk."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import onnx
import psutil
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from trivet import Client
from trivet.domain.encoding import decode, encode
from trivet.domain.routes import Flushed, FlushLogs, GatewayMessage, GatewayReport, NativeStep, Route, RouteTable
from trivet.domain.schema import parse_schema
from trivet.inference_log import LogPage, folder_of, read_logs
from trivet_tests.gateway import GatewayProcess
from trivet_tests.peers import SECRET

WITHIN_S = 60.0


def until(condition: Callable[[], Any], what: str, *, within_s: float = WITHIN_S) -> Any:
    """Wait for something to become so; gives what it became."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
    return found


class Gateway(GatewayProcess):
    """A gateway process in a home of its own, with the test as its parent and its supervisor."""

    def __init__(self, home: Path, **settings: Any) -> None:
        super().__init__(home, **settings)
        self._supervisor: socket.socket | None = None
        self._lines: Any = None
        self._number = 0
        self._tokens = 0

    def start(self, *routes: Route) -> "Gateway":
        """Begin to run, and to serve; without routes, what was served before."""
        self.start_process()
        self._hang_up()
        until(self._connect, "nobody listens at the gateway's socket")
        if routes:
            self.serve(*routes)
        return self

    def serve(self, *routes: Route) -> None:
        """Have exactly these served."""
        self._number += 1
        self._say(RouteTable(number=self._number, routes=routes))
        wanted = {route.deployment_id: route.digest for route in routes}
        while True:
            heard = self._hear()
            if isinstance(heard, GatewayReport) and heard.number == self._number:
                states = {each.deployment_id: each for each in heard.states}
                assert not any(each.state == "failed" for each in states.values()), states
                if {key: each.serving for key, each in states.items()} == wanted and all(
                    each.state == "serving" for each in states.values()
                ):
                    return

    def flush(self) -> None:
        """What was answered before is in the log's files, or the gateway gave up waiting for them."""
        self._tokens += 1
        self._say(FlushLogs(token=str(self._tokens)))
        while self._hear() != Flushed(token=str(self._tokens)):
            pass

    def ask(
        self,
        rows: Sequence[dict[str, Any]] | bytes,
        *,
        path: str = "/pipelines/p/infer",
        content_type: str = "application/json",
        connection: http.client.HTTPConnection | None = None,
    ) -> list[dict[str, Any]]:
        """The answer's rows."""
        used = connection or self.connect()
        try:
            headers = {"Content-Type": content_type, "Accept": "application/json; format=pandas-records"}
            used.request("POST", path, body=rows if isinstance(rows, bytes) else json.dumps(rows), headers=headers)
            reply = used.getresponse()
            body = json.loads(reply.read())
        finally:
            if connection is None:
                used.close()
        assert reply.status == 200, (reply.status, body)
        return body

    def dropped(self, pipeline: str = "p") -> int:
        """What the metric says."""
        connection = self.connect()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        pattern = rf'^trivet_inference_log_dropped_rows_total{{pipeline="{pipeline}"[^}}]*}} (\S+)$'
        return int(sum(float(found) for found in re.findall(pattern, text, re.MULTILINE)))

    def folder(self, deployment_id: int = 1, workspace_id: int = 1) -> Path:
        return folder_of(self.home, workspace_id=workspace_id, deployment_id=deployment_id)

    def logs(self, *, deployment_id: int = 1, workspace_id: int = 1, flush: bool = True, **asked: Any) -> LogPage:
        """A page of a log."""
        if flush:
            self.flush()
        return read_logs(self.folder(deployment_id, workspace_id), **{"limit": 10**7, **asked})

    def values(self, column: str = "in.x", **asked: Any) -> list[Any]:
        """One column of a log, all of it, in order of time."""
        return self.logs(**{"order": "Asc", **asked}).table[column].to_pylist()

    def limit_files(self, most_bytes: int | None) -> None:
        """No file of the process may be larger from now on: a disk without room for it, undone with None."""
        assert self.process is not None
        limits = (resource.RLIM_INFINITY if most_bytes is None else most_bytes, resource.RLIM_INFINITY)
        psutil.Process(self.process.pid).rlimit(psutil.RLIMIT_FSIZE, limits)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)

    def close(self) -> None:
        self._hang_up()
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.listener.close()
        assert "Traceback" not in self.said(), self.said()

    def _connect(self) -> bool:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(WITHIN_S)
        try:
            made.connect(str(self.home / "run" / "gateway.sock"))
            made.sendall(SECRET.encode())
            self._lines = made.makefile("rb")
            self._supervisor = made
            self._hear()
        except (OSError, EOFError):
            self._hang_up()
            made.close()
            return False
        self._number = 0
        return True

    def _hang_up(self) -> None:
        if self._supervisor is not None:
            self._lines.close()
            self._supervisor.close()
            self._supervisor = None

    def _say(self, message: Any) -> None:
        assert self._supervisor is not None
        self._supervisor.sendall(encode(message) + b"\n")

    def _hear(self) -> GatewayMessage:
        line = self._lines.readline()
        if not line:
            raise EOFError
        return decode(line, GatewayMessage)


@pytest.fixture
def home() -> Iterator[Path]:
    # A socket's path is short, and pytest's folders have long names.
    with tempfile.TemporaryDirectory(prefix="tt-") as short:
        yield Path(short)


@pytest.fixture
def gateway(home: Path) -> Iterator[Callable[..., Gateway]]:
    """`gateway(inference_log_mib=1)` is one that has yet to be started."""
    made: list[Gateway] = []

    def make(**settings: Any) -> Gateway:
        made.append(Gateway(home, **settings))
        return made[-1]

    with contextlib.ExitStack() as ends:
        yield make
        for each in made:
            ends.callback(each.close)


KINDS = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT, "string": TensorProto.STRING}


class Routes:
    """Routes of one ONNX step that answers `y`: what came as `x`, or a multiple of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        *,
        factor: int = 1,
        kind: str = "int64",
        width: int | None = None,
        takes: str = "x",
        gives: str = "y",
        pipeline: str = "p",
        deployment_id: int = 1,
        workspace_id: int = 1,
        **about: Any,
    ) -> Route:
        path = self.folder / f"{kind}-{width}-{factor}-{takes}-{gives}.onnx"
        if not path.exists():
            self._write(path, factor=factor, kind=kind, width=width, takes=takes, gives=gives)
        step = NativeStep(
            name=path.stem,
            version=f"version {path.stem}",
            version_id=1,
            sha=hashlib.sha256(path.read_bytes()).hexdigest(),
            framework="onnx",
            path=str(path),
            output_schema=None if width is not None else parse_schema(f"{gives}: {kind}"),
        )
        bare = Route(
            deployment_id=deployment_id,
            pipeline=pipeline,
            workspace_id=workspace_id,
            pipeline_version=f"of {path.stem}",
            digest="",
            steps=(step,),
            **about,
        )
        return msgspec.structs.replace(bare, digest=hashlib.sha256(encode(bare)).hexdigest())

    def _write(self, path: Path, *, factor: int, kind: str, width: int | None, takes: str, gives: str) -> None:
        shape = ["N"] if width is None else ["N", width]
        ends = [helper.make_tensor_value_info(name, KINDS[kind], shape) for name in (takes, gives)]
        if factor == 1:
            node, constants = helper.make_node("Identity", [takes], [gives]), []
        else:
            node = helper.make_node("Mul", [takes, "factor"], [gives])
            constants = [helper.make_tensor("factor", KINDS[kind], [], [factor])]
        graph = helper.make_graph([node], "graph", ends[:1], ends[1:], constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def routes(tmp_path: Path) -> Routes:
    return Routes(tmp_path)


def stream_of(table: pa.Table | pa.RecordBatch) -> bytes:
    """An Arrow stream, as a client sends it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    return sink.getvalue().to_pybytes()


@pytest.fixture(scope="session")
def arrow_stream() -> Callable[[pa.Table | pa.RecordBatch], bytes]:
    return stream_of


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    return until


@dataclass(kw_only=True)
class Platform:
    """`trivet up` in a home."""

    home: Path
    process: subprocess.Popen[bytes] | None = None
    control_url: str = ""
    infer_url: str = ""
    environ: dict[str, str] = field(default_factory=dict)

    def start(self) -> "Platform":
        (self.home / "logs").mkdir(exist_ok=True)
        with (self.home / "logs" / "up.log").open("ab") as log:
            trivet = Path(sys.executable).with_name("trivet")
            command = [trivet, "up", "--home", self.home, "--port", "0", "--http-port", "0"]
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        info = until(self._info, "the platform is not ready", within_s=90)
        self.control_url, self.infer_url = info["control_url"], info["infer_url"]
        return self

    def client(self) -> Client:
        return Client(self.control_url, token=(self.home / "token").read_text().strip(), quiet=True)

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, (self.home / "logs" / "up.log").read_text(errors="replace")

    def _info(self) -> Any:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "logs" / "up.log").read_text(errors="replace")
        try:
            info = json.loads((self.home / "run" / "platform.json").read_text())
        except (OSError, ValueError):
            return None
        return info if info["pid"] == self.process.pid else None


@pytest.fixture(scope="module")
def platform(module_home: Path) -> Iterator[Platform]:
    """One that the tests of a module share."""
    running = Platform(home=module_home).start()
    yield running
    running.stop()
