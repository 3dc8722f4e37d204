"""What the benchmarks share: real servers as processes, wrk as the client, rounds that alternate between the sides.

A rate means little on its own: machines differ, and so does one machine from minute to minute. So all sides run in the same
round, one after another, and what is reported is the median of each round's ratio.
"""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = [
    "HERE",
    "Load",
    "ModelFiles",
    "bare_server",
    "compare",
    "make_models",
    "platform_server",
    "print_report",
    "trivet_server",
    "wrk",
]

HERE = Path(__file__).parent
ROOT = HERE.parent
TRIVET = Path(sys.executable).with_name("trivet")
CONNECTIONS = 16
RECORDS = "application/json; format=pandas-records"
ARROW = "application/vnd.apache.arrow.file"

LUA = """
wrk.method = "POST"
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = os.getenv("BENCH_TYPE")
wrk.headers["Accept"] = os.getenv("BENCH_TYPE")
"""

BYOP = """
import numpy as np
from mac.config.inference import CustomInferenceConfig
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from mac.types import InferenceData


class Dense(Inference):
    @property
    def expected_model_types(self):
        return {tuple}

    def _predict(self, input_data: InferenceData) -> InferenceData:
        first, second = self.model
        hidden = np.maximum(input_data["tensor"] @ first, 0)
        return {"dense_1": 1 / (1 + np.exp(-(hidden @ second)))}


class DenseBuilder(InferenceBuilder):
    @property
    def inference(self):
        return Dense()

    def create(self, config: CustomInferenceConfig) -> Dense:
        weights = np.load(config.model_path / "weights.npz")
        inference = self.inference
        inference.model = (weights["first"], weights["second"])
        return inference
"""


@dataclass(frozen=True)
class ModelFiles:
    """The one model of the benchmarks, 29 floats to 1, as ONNX and as a custom package, with requests for it."""

    onnx: Path
    byop: Path
    one_json: Path
    thousand_json: Path
    thousand_arrow: Path


@dataclass(frozen=True)
class Load:
    """One request, sent over and over."""

    url: str
    body: Path
    content_type: str = RECORDS


def make_models(folder: Path) -> ModelFiles:
    """Write the model and the requests, the same every time."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    rng = np.random.default_rng(7)
    first = (rng.standard_normal((29, 32)) / 6).astype(np.float32)
    second = (rng.standard_normal((32, 1)) / 6).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["tensor", "first"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "second"], ["c"]),
            helper.make_node("Sigmoid", ["c"], ["dense_1"]),
        ],
        "dense",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["rows", 29])],
        [helper.make_tensor_value_info("dense_1", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    save_model(model, folder / "dense.onnx")
    byop = folder / "dense_byop"
    byop.mkdir()
    (byop / "dense_inference.py").write_text(BYOP.lstrip())
    (byop / "requirements.txt").write_text("numpy\n")
    np.savez(byop / "weights.npz", first=first, second=second)
    values = rng.standard_normal((1000, 29)).astype(np.float32)
    rows = [{"tensor": [round(float(number), 10) for number in row]} for row in values]
    (folder / "one.json").write_text(json.dumps(rows[:1], separators=(",", ":")))
    (folder / "thousand.json").write_text(json.dumps(rows, separators=(",", ":")))
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 29)
    batch = pa.record_batch([column], names=["tensor"])
    with pa.ipc.new_file(folder / "thousand.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    return ModelFiles(
        onnx=folder / "dense.onnx",
        byop=byop,
        one_json=folder / "one.json",
        thousand_json=folder / "thousand.json",
        thousand_arrow=folder / "thousand.arrow",
    )


@contextmanager
def bare_server(model: Path) -> Iterator[str]:
    """The baseline: the hand-written app on the same HTTP server."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    environ = {**os.environ, "BARE_MODEL": str(model)}
    with _process(command, cwd=HERE / "bare", env=environ):
        _wait_for_port(port)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def trivet_server(*arguments: str | Path, trivet: Path = TRIVET) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`trivet serve`: its address and its process."""
    command = [str(trivet), "serve", *map(str, arguments), "--http-port", "0"]
    with _process(command, stdout=subprocess.PIPE, text=True) as process:
        yield ready_url(process), process


@dataclass(frozen=True)
class PlatformServer:
    """A running platform: a client of it, where it answers predictions, and its parent process."""

    client: Any
    infer_url: str
    process: subprocess.Popen[bytes]


@contextmanager
def platform_server(home: Path, *arguments: str, trivet: Path = TRIVET, **environ: str) -> Iterator[PlatformServer]:
    """`trivet up` on free ports, until it is ready."""
    from trivet import Client

    command = [str(trivet), "up", "--home", str(home), "--port", "0", "--http-port", "0", *arguments]
    with _process(command, stdout=subprocess.DEVNULL, env={**os.environ, **environ}) as process:
        info = platform_ready(home, process)
        token = (home / "token").read_text().strip()
        yield PlatformServer(Client(info["control_url"], token=token), info["infer_url"], process)


def platform_ready(home: Path, process: subprocess.Popen[Any], limit_s: float = 60) -> dict[str, Any]:
    """Wait for the file that a platform writes when it is ready."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end and process.poll() is None:
        try:
            info = json.loads((home / "run" / "platform.json").read_text())
        except (OSError, ValueError):
            info = {}
        if info.get("pid") == process.pid:
            return info
        time.sleep(0.005)
    raise SystemExit("trivet up did not get ready")


def ready_url(process: subprocess.Popen[str]) -> str:
    """Wait for the line that says where it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("Ready: "):
        raise SystemExit(f"trivet serve did not get ready: it printed {line!r}")
    return line.removeprefix("Ready: ").strip()


@contextmanager
def _process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for_port(port: int, limit_s: float = 30) -> None:
    import socket

    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on port {port}")


def wrk(load: Load, *, seconds: float, connections: int = CONNECTIONS) -> float:
    """Requests a second that wrk gets answered; any answer but 2xx is an error."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: it is the package `wrk` of Debian, Ubuntu and Homebrew")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA)
        script.flush()
        environ = {**os.environ, "BENCH_BODY": str(load.body), "BENCH_TYPE": load.content_type}
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script.name, load.url]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"{load.url} answered with errors:\n{done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found is not None
    return float(found[1])


def compare(
    sides: Mapping[str, Callable[[], float]], *, baseline: str, rounds: int, warm_up: bool = True
) -> dict[str, Any]:
    """Run all sides in each round, and report medians and the median ratio to the baseline."""
    if warm_up:
        for run in sides.values():
            run()
    values: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            values[name].append(run())
        print(
            f"  round {number + 1}/{rounds}: "
            + ", ".join(f"{name} {series[-1]:.5g}" for name, series in values.items()),
            file=sys.stderr,
            flush=True,
        )
    report: dict[str, Any] = {}
    for name, series in values.items():
        ratios = [value / base for value, base in zip(series, values[baseline], strict=True)]
        report[name] = {"median": statistics.median(series), "ratio": round(statistics.median(ratios), 3)}
    return report


def print_report(question: str, results: Mapping[str, Any]) -> None:
    """Print JSON: the question, the machine, the commit, the results."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    report = {
        "question": question,
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "architecture": platform.machine()},
        "python": platform.python_version(),
        "commit": commit or None,
        "results": results,
    }
    print(json.dumps(report, indent=2))
