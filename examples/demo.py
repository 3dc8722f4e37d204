"""Serve three packages, each of another kind, and send each its rows; then run a platform with two models in it.

    make demo

Its files are in `.cache` beside the examples, or in TRIVET_HOME. A platform's models and pipelines
stay there: each run adds a version.
"""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

EXAMPLES = Path(__file__).resolve().parent
BUILD = EXAMPLES / "build"
HOME = EXAMPLES.parent / ".cache" / "demo-home"
TRIVET = Path(sys.executable).with_name("trivet")
READY = re.compile(r"^Ready: (?:http://\S+ \(control\), )?(?P<url>http://\S+)(?: \(predictions\))?$")
PANDAS_RECORDS = "application/json; format=pandas-records"
FEATURES = 18
PRICE_FILES = {300.0: BUILD / "house-price.onnx", 330.0: BUILD / "house-price-dearer.onnx"}
"""The price of a square foot in each version of the model, and the version's file."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENVIRON = {"TRIVET_HOME": str(HOME)} | os.environ

console = Console(highlight=False)


def fraud_file() -> Path:
    """An ONNX file, as an exporter writes it."""
    python("examples/fraud_onnx/make_model.py")
    return BUILD / "fraud.onnx"


def optional_inputs_zip() -> Path:
    """A custom model, zipped as its author would."""
    files = [f"examples/optional_inputs/{name}" for name in ("custom_inference.py", "requirements.txt")]
    python("-m", "zipfile", "-c", "examples/build/optional_inputs.zip", *files)
    return BUILD / "optional_inputs.zip"


def python(*words: str) -> None:
    """Run a command and show it; show its output if it fails."""
    typed("python", *words)
    done = subprocess.run([sys.executable, *words], cwd=EXAMPLES.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"it ended with exit code {done.returncode}\n{done.stdout}{done.stderr}")


def trivet(*words: str) -> None:
    """Run a command of Trivet, and show it with its output."""
    typed("trivet", *words)
    code = subprocess.run([TRIVET, *words], cwd=EXAMPLES.parent, env=ENVIRON, stdin=subprocess.DEVNULL, check=False)
    if code.returncode:
        sys.exit(f"it ended with exit code {code.returncode}")


@contextmanager
def started(*words: str, unshown: Sequence[str] = ()) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run a command of Trivet for the length of the block: its URL. Its progress goes to this terminal."""
    begun = time.monotonic()
    server = None
    try:
        with undisturbed():
            server = subprocess.Popen(
                [TRIVET, *words, *unshown],
                cwd=EXAMPLES.parent, env=ENVIRON, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert server.stdout is not None
        ready = next((match for line in server.stdout if (match := READY.match(line.rstrip()))), None)
        if ready is None:
            sys.exit(f"trivet {words[0]} ended with exit code {server.wait()} before it was ready")
        console.print(ready[0], f"[dim]after {time.monotonic() - begun:.1f} s[/dim]", soft_wrap=True)
        sys.stdout.flush()
        yield ready["url"], server
    finally:
        if server is not None:
            end(server)
    if server.returncode:
        sys.exit(f"trivet {words[0]} ended with exit code {server.returncode}")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, so that no half-started process is left behind."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def end(server: "subprocess.Popen[str]") -> None:
    """Stop a process, by force if needed: nothing is left running, even after several Ctrl-C."""
    try:
        if server.poll() is None:
            server.terminate()
        server.wait(timeout=60)
    except BaseException:
        server.kill()
        raise


def answers(url: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answer of `POST …/infer` to some rows: one record for each."""
    request = urllib.request.Request(  # noqa: S310 - the URL is the one that Trivet printed
        f"{url}/infer", data=json.dumps(rows).encode(), headers={"Content-Type": PANDAS_RECORDS}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            records: list[dict[str, Any]] = json.load(answer)
            return records
    except urllib.error.HTTPError as error:
        sys.exit(f"POST {url}/infer: {error.read().decode(errors='replace')}")


@contextmanager
def asking(url: str, rows: Sequence[dict[str, Any]]) -> Iterator[list[list[dict[str, Any]]]]:
    """A client that sends requests for the length of the block: its answers. A failed one ends the demo."""
    done = threading.Event()
    seen: list[list[dict[str, Any]]] = []

    def ask() -> None:
        while not done.wait(0.01):
            seen.append(answers(url, rows))

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            yield seen
        finally:
            done.set()
    asked.result()


def typed(*words: str, after: str = "") -> None:
    """Show the command that gives the same result."""
    console.print(f"\n$ {shlex.join(words)}{after}", style="bold", markup=False, soft_wrap=True)
    # In a file, the command must come before its output.
    sys.stdout.flush()


def show(rows: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> None:
    """Rows and answers side by side."""
    table = Table("row", "in", "out", show_lines=True)
    for number, (row, answer) in enumerate(zip(rows, found, strict=True)):
        table.add_row(str(number), brief(row), brief(answer["out"]))
    console.print(table)


def brief(values: dict[str, Any]) -> str:
    """The first few fields, cut so that two columns fit the terminal."""
    width = max(30, (console.width - 20) * 2 // 3)
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    cut = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines[:4]]
    return "\n".join([*cut, f"and {len(lines) - 4} more"] if len(lines) > 4 else cut)


def serve_packages() -> None:
    """A file, a folder without flags, and a zip with its schemas on the command line."""
    packages: list[tuple[str, Callable[[], Path], list[str]]] = [
        ("fraud_onnx", fraud_file, ["--tensor-fields", "tensor"]),
        ("preprocess_step", lambda: EXAMPLES / "preprocess_step", []),
        (
            "optional_inputs",
            optional_inputs_zip,
            [
                "--input-schema",
                "input_1: float32[]; input_2: float32[]?; multiply_factor: int32?",
                "--output-schema",
                "output: float32[]",
            ],
        ),
    ]
    for example, made, flags in packages:
        rows = json.loads((EXAMPLES / example / "rows.json").read_text())
        words = ["serve", str(made().relative_to(EXAMPLES.parent)), *flags]
        typed("trivet", *words)
        with started(*words, unshown=["--http-port", "0"]) as (url, _server):
            found = answers(url, rows)
        # Shown after the server has ended, so that its last output is not in the table.
        show(rows, found)


def run_platform() -> None:
    """A Python step and an ONNX model as one pipeline, and a second version of the model during requests."""
    asked = EXAMPLES / "preprocess_step" / "rows.json"
    rows = json.loads(asked.read_text())
    infer = ("infer", "houses", str(asked.relative_to(EXAMPLES.parent)), "--dataset", "out")
    price, dearer = (str(path.relative_to(EXAMPLES.parent)) for path in PRICE_FILES.values())
    up = ("up", "--port", "0", "--http-port", "0")
    typed("trivet", *up, after=" &")
    with started(*up) as (url, server):
        python("examples/demo.py", "--write-price-models")
        trivet("upload", "house-features", "examples/preprocess_step")
        trivet("upload", "house-price", price)
        trivet("deploy", "houses", "house-features", "house-price")
        trivet(*infer)
        trivet("upload", "house-price", dearer)
        with asking(f"{url}/pipelines/houses", rows) as seen:
            trivet("deploy", "houses", "house-features", "house-price")
        prices = list(dict.fromkeys(answer[0]["out"]["price"][0] for answer in seen))
        worth = " and then ".join(f"{price:.0f}" for price in prices)
        console.print(
            f"Meanwhile {len(seen)} requests were sent and all were answered. The first house was worth {worth}.",
            soft_wrap=True,
        )
        trivet(*infer)
        trivet("logs", "houses", "--limit", "2", "--dataset", "time", "--dataset", "out")
        trivet("status")
        trivet("undeploy", "houses")
        trivet("down")
        server.wait(timeout=60)


def write_price_models() -> None:
    """`tensor` float32[rows, 18] -> `price` float32[rows, 1]: a price for each square foot, less for every year."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    BUILD.mkdir(exist_ok=True)
    for per_square_foot, path in PRICE_FILES.items():
        weights = np.zeros((FEATURES, 1), dtype=np.float32)
        weights[2], weights[15] = per_square_foot, -500.0
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["tensor", "weights"], ["price"])],
            "price",
            [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["rows", FEATURES])],
            [helper.make_tensor_value_info("price", TensorProto.FLOAT, ["rows", 1])],
            [numpy_helper.from_array(weights, "weights")],
        )
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
        print(f"wrote {path}")


def main() -> None:
    """Three services, one after another, then a platform."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write-price-models", action="store_true", help="only write the platform's ONNX models")
    if parser.parse_args().write_price_models:
        write_price_models()
        return
    # A shell starts background jobs with Ctrl-C ignored. On SIGTERM the demo also stops the processes that it started.
    for number in ENDING:
        signal.signal(number, signal.default_int_handler)
    begun = time.monotonic()
    BUILD.mkdir(exist_ok=True)
    try:
        if "TRIVET_HOME" not in os.environ:
            typed("export", f"TRIVET_HOME={HOME.relative_to(EXAMPLES.parent)}")
        serve_packages()
        run_platform()
    except KeyboardInterrupt:
        sys.exit(130)
    console.print(
        f"\nThree services and a platform started, answered and ended in {time.monotonic() - begun:.1f} s.",
        "Next: [bold]docs/tutorial.md[/bold] and [bold]docs/tutorial-platform.md[/bold]",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
