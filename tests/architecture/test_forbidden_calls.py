"""What may appear nowhere in the sources: shells, unpickling, a package's code in our processes, hidden settings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PLATFORM = sorted((PROJECT / "src" / "trivet").rglob("*.py"))
WORKER = sorted((PROJECT / "worker" / "src").rglob("*.py"))

PICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "multiprocessing"}
RUNS_CODE = {"eval", "exec", "__import__"}
EXTRACTS = {"extract", "extractall", "unpack_archive"}
STARTS_A_SHELL = {"system", "popen", "create_subprocess_shell", "getoutput", "getstatusoutput"}
READS_ENVIRONMENT = {"environ", "environb", "getenv", "putenv"}


def name_called(node: ast.AST) -> str | None:
    """`system` of `os.system(…)`, `eval` of `eval(…)`."""
    if not isinstance(node, ast.Call):
        return None
    return getattr(node.func, "attr", None) or getattr(node.func, "id", None)


def modules_imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module:
        return {node.module.split(".")[0]}
    return set()


def keyword(node: ast.AST, name: str) -> ast.expr | None:
    if not isinstance(node, ast.Call):
        return None
    return next((given.value for given in node.keywords if given.arg == name), None)


def is_true(value: ast.expr | None) -> bool:
    """Anything but a literal False: `shell=flag` would do, too."""
    return value is not None and not (isinstance(value, ast.Constant) and not value.value)


def reads_environment(node: ast.AST) -> bool:
    of_os = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    if of_os:
        return node.attr in READS_ENVIRONMENT
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and bool(READS_ENVIRONMENT & {alias.name for alias in node.names})
    )


EVERYWHERE = {
    "a pickle": lambda node: bool(PICKLERS & modules_imported(node)),
    "numpy's own pickles": lambda node: is_true(keyword(node, "allow_pickle")),
    "a shell": lambda node: is_true(keyword(node, "shell")) or name_called(node) in STARTS_A_SHELL,
    "code as text": lambda node: (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNS_CODE
    ),
    "an archive unpacked without limits": lambda node: name_called(node) in EXTRACTS,
}


def found(paths: list[Path], forbidden) -> Iterator[str]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if forbidden(node):
                yield f"{path.relative_to(PROJECT)}:{getattr(node, 'lineno', '?')}"


@pytest.mark.parametrize("what", EVERYWHERE)
def test_the_sources_contain_no(what: str) -> None:
    assert list(found(PLATFORM + WORKER, EVERYWHERE[what])) == []


def prints(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def test_commands_print_in_one_place() -> None:
    """It escapes what controls a terminal. The reporter's lines pass the same function."""
    commands = [path for path in PLATFORM if "cli" in path.parts and path.name not in {"output.py", "reporter.py"}]
    assert list(found(commands, prints)) == []


CLIENT = ("connecting.py", "local.py")
"""The SDK is a program of its own: these two modules are its settings, and what it starts."""


def test_the_environment_is_read_only_where_parts_are_composed() -> None:
    others = [path for path in PLATFORM if not {"cli", "wiring", "settings.py", *CLIENT} & set(path.parts)]
    assert list(found(others, reads_environment)) == []
