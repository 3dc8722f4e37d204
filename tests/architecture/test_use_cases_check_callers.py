"""Each use case checks its caller: first of all, and with the workspace, so that a role can be limited to one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trivet.control.use_cases

USE_CASES = Path(trivet.control.use_cases.__file__).parent
PLATFORM_WIDE = {
    "list_workspaces",
    "list_workspaces_with_contents",
    "get_platform",
    "list_users",
    "find_user",
    "list_tags",
    "create_tag",
}
"""They are about all workspaces."""


def use_cases() -> Iterator[ast.FunctionDef]:
    for path in sorted(USE_CASES.glob("*.py")):
        for each in ast.parse(path.read_text()).body:
            if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
                arguments = [one.arg for one in (*each.args.args, *each.args.kwonlyargs)]
                if "caller" in arguments:
                    yield each


def checks_in(function: ast.FunctionDef) -> list[ast.Call]:
    calls = (each for each in ast.walk(function) if isinstance(each, ast.Call))
    return [each for each in calls if isinstance(each.func, ast.Name) and each.func.id == "check"]


@pytest.mark.parametrize("function", list(use_cases()), ids=lambda each: each.name)
def test_a_use_case_checks_its_caller_with_the_workspace(function: ast.FunctionDef) -> None:
    with_workspace = [call for call in checks_in(function) if len(call.args) == 3]
    assert bool(with_workspace) != (function.name in PLATFORM_WIDE)


@pytest.mark.parametrize("function", list(use_cases()), ids=lambda each: each.name)
def test_a_use_case_begins_with_a_check(function: ast.FunctionDef) -> None:
    first = function.body[1] if ast.get_docstring(function) else function.body[0]
    assert isinstance(first, ast.Expr)
    assert first.value in checks_in(function)
