"""A command imports what it needs, and nothing of what other commands need: each import is time before the first word."""

import subprocess
import sys

import pytest

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


def imported(call: str, *words: str) -> set[str]:
    """The modules of a fresh interpreter after a call; the last line that it prints names them."""
    program = PROGRAM.format(call=call)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program, *words], capture_output=True, text=True, timeout=60, check=True
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
