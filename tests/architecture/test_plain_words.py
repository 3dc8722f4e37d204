"""Text that people read is plain English: docs/style.md has the list of words."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
READ_BY_PEOPLE = (
    "src",
    "worker",
    "compat",
    "docs",
    "examples",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "Makefile",
)
EXCEPT = {"docs/style.md"}
LONGEST_TEST_NAME = 70
# A line's end, with the mark of a comment on the next line, is a space like any other.
GAP = r"[\s#]+"
DIALECT = re.compile(
    r"\b(?:whoever|nobody|somebody|told|mend(?:s|ed|ing)?|anew|goodbye|said|seldom"
    rf"|of{GAP}late|wants|there{GAP}is{GAP}nothing{GAP}(?:at|in)"
    rf"|(?<!there )(?<!There )is{GAP}no{GAP}(?!longer|more|less|other)\w+)\b",
    re.IGNORECASE,
)


def files(*folders: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if (PROJECT / name).is_file()]


def dialect_in(name: str) -> list[str]:
    try:
        text = (PROJECT / name).read_text()
    except UnicodeDecodeError:
        return []
    return [f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}" for found in DIALECT.finditer(text)]


def test_what_people_read_is_plain_english() -> None:
    checked = [name for name in files(*READ_BY_PEOPLE) if name not in EXCEPT]
    assert [mention for name in checked for mention in dialect_in(name)] == []


def names_of_tests(name: str) -> list[str]:
    tree = ast.parse((PROJECT / name).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [function.name for function in functions if function.name.startswith("test_")]


def test_names_of_tests_are_short_and_plain() -> None:
    checked = [name for name in files("tests") if name.endswith(".py")]
    assert [
        f"{name}: {test}"
        for name in checked
        for test in names_of_tests(name)
        if len(test) > LONGEST_TEST_NAME or DIALECT.search(test.replace("_", " "))
    ] == []
