"""Serve three packages, each of another kind, send each its rows, and print what comes back.

    make demo

What it builds lies in `.cache` beside the examples, unless TRIVET_HOME names another place.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

EXAMPLES = Path(__file__).resolve().parent
BUILD = EXAMPLES / "build"
HOME = EXAMPLES.parent / ".cache" / "demo-home"
TRIVET = Path(sys.executable).with_name("trivet")
READY = re.compile(r"^Ready: (http://\S+)$")
PANDAS_RECORDS = "application/json; format=pandas-records"

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
    """Run a command, and show it; what it prints is shown where it fails."""
    typed("python", *words)
    said = subprocess.run([sys.executable, *words], cwd=EXAMPLES.parent, capture_output=True, text=True, check=False)
    if said.returncode:
        sys.exit(f"it ended with exit code {said.returncode}\n{said.stdout}{said.stderr}")


@contextmanager
def served(path: Path, *flags: str) -> Iterator[str]:
    """`trivet serve` on a free port: its URL, while the block lasts. Its progress goes to this terminal."""
    shown = path.relative_to(EXAMPLES.parent)
    typed("trivet", "serve", str(shown), *flags)
    command = [TRIVET, "serve", path, *flags, "--http-port", "0"]
    environ = {"TRIVET_HOME": str(HOME)} | os.environ
    started = time.monotonic()
    with subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            ready = next((match for line in server.stdout if (match := READY.match(line.rstrip()))), None)
            if ready is None:
                sys.exit(f"trivet serve {shown} ended with exit code {server.wait()} before it was ready")
            console.print(f"Ready: {ready[1]}", f"[dim]after {time.monotonic() - started:.1f} s[/dim]")
            yield ready[1]
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGINT)
            code = server.wait(timeout=60)
    if code:
        sys.exit(f"trivet serve {shown} ended with exit code {code}")


def answers(url: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `POST /infer` says to some rows: one record for each."""
    request = urllib.request.Request(  # noqa: S310 - the URL is the one that `trivet serve` printed
        f"{url}/infer", data=json.dumps(rows).encode(), headers={"Content-Type": PANDAS_RECORDS}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"POST {url}/infer: {error.read().decode(errors='replace')}")


def typed(*words: str) -> None:
    """What one would type to get the same."""
    console.print(f"\n$ {shlex.join(words)}", style="bold", markup=False, soft_wrap=True)


def show(rows: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> None:
    """Rows and answers side by side."""
    table = Table("row", "in", "out", show_lines=True)
    for number, (row, answer) in enumerate(zip(rows, found, strict=True)):
        table.add_row(str(number), brief(row), brief(answer["out"]))
    console.print(table)


def brief(values: dict[str, Any]) -> str:
    """The first few fields, each cut so that two columns fit the terminal, one of them wide."""
    width = max(30, (console.width - 20) * 2 // 3)
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    cut = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines[:4]]
    return "\n".join([*cut, f"and {len(lines) - 4} more"] if len(lines) > 4 else cut)


def main() -> None:
    """A file, a folder that says everything itself, and a zip with its schemas on the command line."""
    started = time.monotonic()
    BUILD.mkdir(exist_ok=True)
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
        with served(made(), *flags) as url:
            found = answers(url, rows)
        # Shown once the server is gone, so that what it says at its end does not land in the table.
        show(rows, found)
    console.print(
        f"\nThree services started, answered and ended in {time.monotonic() - started:.1f} s.",
        "Next: [bold]docs/tutorial.md[/bold]",
    )


if __name__ == "__main__":
    main()
