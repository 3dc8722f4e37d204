"""How long from `trivet serve` to Ready, beyond the imports that no server can do without?

An ONNX file against `python -c "import onnxruntime, pyarrow, uvicorn"`; a custom model with a warm environment against its
own interpreter importing what it imports.

`uv run python benchmarks/startup.py [--rounds 7]`
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import TRIVET, make_models, print_report, ready_url

SCHEMAS = ("--input-schema", "tensor: float32[29]", "--output-schema", "dense_1: float32[1]")


def seconds_to_ready(*arguments: str | Path) -> float:
    """From exec to the line `Ready:`."""
    command = [str(TRIVET), "serve", *map(str, arguments), "--http-port", "0"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        ready_url(process)
        took = time.perf_counter() - start
        process.terminate()
    return took


def seconds_to_import(program: str) -> float:
    """A fresh interpreter that imports and ends."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Alternate the sides, report medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make_models(Path(folder))
        sides = {
            "imports of a native server": lambda: seconds_to_import("import onnxruntime, pyarrow, uvicorn"),
            "trivet serve model.onnx": lambda: seconds_to_ready(files.onnx),
            "imports of the custom model": lambda: seconds_to_import("import numpy"),
            "trivet serve custom, warm environment": lambda: seconds_to_ready(files.byop, *SCHEMAS),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for run in sides.values():
            run()
        for _ in range(options.rounds):
            for name, run in sides.items():
                times[name].append(run())
    median = {name: round(statistics.median(series), 3) for name, series in times.items()}
    native = median["trivet serve model.onnx"] - 1.5 * median["imports of a native server"]
    custom = median["trivet serve custom, warm environment"] - median["imports of the custom model"]
    results = {
        "median seconds": median,
        "ONNX: beyond 1.5 x its imports, s (at most 0.5)": round(native, 3),
        "custom: beyond its imports, s (at most 2)": round(custom, 3),
    }
    print_report("Seconds from start to Ready", results)


if __name__ == "__main__":
    main()
