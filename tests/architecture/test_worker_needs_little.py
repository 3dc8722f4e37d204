"""The worker and `mac` run on Python 3.8 with numpy and pyarrow, and nothing else."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = sorted((PROJECT / "worker" / "src").rglob("*.py"))
NEWER_THAN_38 = {"graphlib", "tomllib", "zoneinfo", "compression", "annotationlib"}
ALLOWED = (set(sys.stdlib_module_names) - NEWER_THAN_38) | {"numpy", "pyarrow", "trivet_worker", "mac"}

COMPILE = """
import sys
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        compile(file.read(), path, "exec")
"""


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno


def test_the_worker_imports_only_the_standard_library_numpy_and_pyarrow() -> None:
    foreign = [
        f"{path.relative_to(PROJECT)}:{line} imports {name}"
        for path in SOURCES
        for name, line in imported(ast.parse(path.read_text()))
        if name not in ALLOWED
    ]
    assert SOURCES
    assert foreign == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT / "worker" / "src")))
def test_the_worker_keeps_to_the_syntax_of_python_38(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_python_38_itself_compiles_the_worker(interpreter: Callable[[str], Path]) -> None:
    command = [interpreter("3.8"), "-I", "-W", "error", "-c", COMPILE, *SOURCES]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
