"""A command imports what it needs, and nothing of what other commands need: each import is time before the first word."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trivet.settings import Settings, settings_to_json

HEAVY = {
    *("numpy", "pyarrow", "pandas", "polars", "onnx", "onnxruntime"),
    *("httpx", "ssl", "http.client", "asyncio", "uvicorn", "fastapi", "sqlalchemy", "alembic", "msgspec"),
}
PROGRAM = """
import sys
from trivet.cli.main import main

sys.argv = ["trivet", *sys.argv[1:]]
try:
    {call}
except SystemExit:
    pass
print(*sys.modules)
"""


CONTROL_ONLY = {"fastapi", "starlette", "sqlalchemy", "alembic", "pydantic"}
SERVING = """
import sys
import trivet.wiring.serving

print(*sys.modules)
"""
CONVERTING = """
import sys
import numpy as np
import pyarrow as pa
from trivet.wiring.conversions import load_conversions

load_conversions()
assert pa.array([{"x": 1}]).to_pylist() == [{"x": 1}]
assert pa.array(np.zeros(1)).to_pylist() == [0.0]
print(*sys.modules)
"""
CHILD = """
import sys
from trivet.wiring.child import main

try:
    main()
except SystemExit as ended:
    print(ended.code)
print(*sys.modules)
"""


def imported(call: str, *words: str) -> set[str]:
    """The modules of a fresh interpreter after a call; the last line that it prints names them."""
    return modules_of(PROGRAM.format(call=call), *words)


def modules_of(program: str, *words: str, line: str = "", listener: socket.socket | None = None) -> set[str]:
    """The modules that a program prints in its last line.

    Args:
        program: Python code.
        words: its arguments.
        line: its standard input.
        listener: a socket that it inherits.
    """
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program, *words],
        input=line,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        pass_fds=() if listener is None else (listener.fileno(),),
        env=os.environ | {"TRIVET_TOKEN": "a token of a test"},
    )
    return set(ran.stdout.splitlines()[-1].split())


def test_the_commands_are_imported_without_anything_heavy() -> None:
    modules = imported("pass")
    assert "trivet.cli.serve" in modules
    assert modules & {*HEAVY, "pydantic", "rich"} == set()


@pytest.mark.parametrize("words", [("--help",), ("serve", "--help"), ("infer", "--help"), ("--version",)])
def test_help_is_shown_without_anything_heavy(words: tuple[str, ...]) -> None:
    # typer shows help with rich, and looks at ranges of numbers with pydantic.
    modules = imported("main()", *words)
    assert "trivet.cli.main" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize("command", ["status", "infer"])
def test_commands_of_a_platform_start_without_arrow_and_rich(command: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text("[]")
    words = ("p", str(rows)) if command == "infer" else ()
    modules = imported("main()", command, *words, "--home", str(tmp_path))
    assert "trivet.sdk.client" in modules
    assert modules & {"numpy", "pyarrow", "pandas", "polars", "rich", "trivet.domain.version"} == set()


def test_serve_needs_nothing_of_the_control_plane() -> None:
    modules = modules_of(SERVING)
    assert "trivet.wiring.serving" in modules
    assert modules & CONTROL_ONLY == set()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_gateway_needs_nothing_of_the_control_plane(host: str, tmp_path: Path) -> None:
    # A home whose path is too long for a socket ends the gateway after all its imports.
    home = tmp_path / ("x" * 100)
    home.mkdir()
    with socket.create_server((host, 0)) as listener:
        config = {
            "parent": os.getpid(),
            "secret": "a secret",
            "credentials": {"token": "a token of a test", "certificate": None},
            "settings": settings_to_json(Settings(home=home)),
            "listeners": {"http": listener.fileno()},
        }
        modules = modules_of(CHILD, "gateway", line=json.dumps(config) + "\n", listener=listener)
    assert "trivet.gateway.http.app" in modules
    assert "trivet.control.token" not in modules  # its parent gives it the token
    assert modules & CONTROL_ONLY == set()


def test_conversions_in_a_process_that_serves_do_not_import_pandas() -> None:
    modules = modules_of(CONVERTING)
    assert "numpy" in modules
    assert "pandas" not in modules


def test_pandas_can_be_imported_after_it_was_kept_out_of_conversions() -> None:
    modules = modules_of(
        CONVERTING + "import pandas\nassert len(pa.table({'x': [1]}).to_pandas()) == 1\nprint(*sys.modules)"
    )
    assert "pandas" in modules
