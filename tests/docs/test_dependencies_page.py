"""Every dependency has a line that says why it is there, and no line speaks of one that is not."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[2]
MODULES = {"pyyaml": "yaml"}
STARTED_BY_OTHERS = {"httptools", "uvloop", "uv"}
"""uvicorn imports the first two, uv is a program."""
PAGE = PROJECT / "docs" / "dependencies.md"


def declared() -> set[str]:
    platform = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    worker = tomllib.loads((PROJECT / "worker" / "pyproject.toml").read_text())
    lines = [*platform["project"]["dependencies"], *worker["project"]["dependencies"]]
    lines += platform["dependency-groups"]["dev"]
    return {Requirement(line).name for line in lines}


def test_the_page_names_each_dependency_and_no_other() -> None:
    assert set(re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE)) == declared()


def test_each_dependency_of_the_platform_is_used() -> None:
    lines = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    sources = "\n".join(path.read_text() for path in (PROJECT / "src").rglob("*.py"))
    unused = {
        name
        for name in (Requirement(line).name for line in lines)
        if not re.search(rf"^\s*(?:import|from) {MODULES.get(name, name.replace('-', '_'))}\b", sources, re.MULTILINE)
    }
    assert unused <= STARTED_BY_OTHERS, "a dependency that no module imports"
