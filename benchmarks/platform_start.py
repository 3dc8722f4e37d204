"""How long from `trivet up` to ready, to what was deployed before, and from an upload to a version that is ready?

`uv run python benchmarks/platform_start.py [--rounds 5]`
"""

import argparse
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pyarrow as pa
from harness import TRIVET, make_models, platform_ready, platform_server, print_report, trivet_server

from trivet import Framework

INPUTS = pa.schema([pa.field("tensor", pa.list_(pa.float32(), 29))])
OUTPUTS = pa.schema([pa.field("dense_1", pa.list_(pa.float32(), 1))])


def seconds_to_ready(home: Path, *, pipelines: tuple[str, ...] = (), rows: bytes = b"") -> tuple[float, float]:
    """From exec to ready, and from there until every pipeline answers."""
    command = [str(TRIVET), "up", "--home", str(home), "--port", "0", "--http-port", "0"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        info = platform_ready(home, process)
        ready = time.perf_counter() - started
        for name in pipelines:
            wait_for_answer(f"{info['infer_url']}/pipelines/{name}/infer", rows)
        back = time.perf_counter() - started
        process.terminate()
    return ready, back


def wait_for_answer(url: str, rows: bytes, limit_s: float = 60) -> None:
    """Ask until there is an answer."""
    end = time.monotonic() + limit_s
    request = urllib.request.Request(url, data=rows, headers={"Content-Type": "application/json"})
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def main() -> None:
    """Each round has an empty home, a home with two deployments, and `trivet serve` of the slower of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    empty: list[float] = []
    back: list[float] = []
    alone: list[float] = []
    uploads: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        files = make_models(Path(folder))
        rows = files.one_json.read_bytes()
        home = Path(folder) / "home"
        byop = files.byop
        schemas = ("--input-schema", "tensor: float32[29]", "--output-schema", "dense_1: float32[1]")
        with platform_server(home) as platform:
            client = platform.client
            dense = client.upload_model("dense", files.onnx, framework=Framework.ONNX)
            client.build_pipeline("native").add_model_step(dense).deploy()
            for number in range(options.rounds + 1):
                # The first upload builds the environment.
                (byop / "note.txt").write_text(str(number))
                started = time.perf_counter()
                version = client.upload_model(
                    "custom", byop, framework=Framework.CUSTOM, input_schema=INPUTS, output_schema=OUTPUTS
                )
                uploads.append(time.perf_counter() - started)
            client.build_pipeline("custom").add_model_step(version).deploy()
        for number in range(options.rounds):
            empty.append(seconds_to_ready(Path(folder) / f"empty-{number}")[0])
            back.append(seconds_to_ready(home, pipelines=("native", "custom"), rows=rows)[1])
            started = time.perf_counter()
            with trivet_server("--home", str(home), byop, *schemas):
                alone.append(time.perf_counter() - started)
    results = {
        "trivet up to ready, empty home, s (under 3)": round(statistics.median(empty), 2),
        "trivet up to two deployments answering, s": round(statistics.median(back), 2),
        "trivet serve of the slower one, s": round(statistics.median(alone), 2),
        "back beyond its own loading, s (under ready + 2)": round(
            statistics.median(back) - statistics.median(alone), 2
        ),
        "upload of a custom model to ready, environment cached, s (under 3)": round(statistics.median(uploads[1:]), 2),
    }
    print_report("Seconds that the platform takes to start, and to take a model in", results)


if __name__ == "__main__":
    main()
