"""The layer table in docs/architecture is what the sources do."""

import re
from pathlib import Path

import grimp
import pytest

PROJECT = Path(__file__).resolve().parents[2]
OVERVIEW = PROJECT / "docs" / "architecture" / "01-overview.md"
ROW = re.compile(r"^\| `(?P<module>\w+)` \|[^|]*\| (?P<allowed>[^|]+) \|$", re.MULTILINE)
BELOW_ALL = {"errors", "disk"}
"""What every row may import."""


def layer_table() -> dict[str, set[str]]:
    rows = {match["module"]: match["allowed"] for match in ROW.finditer(OVERVIEW.read_text())}
    allowed = {module: set(re.findall(r"`([\w.]+)`", cell)) for module, cell in rows.items()}
    everything = set(rows) - {"wiring", "cli"}
    return {
        module: everything | names if "all of the above" in rows[module] else names for module, names in allowed.items()
    }


def layer(name: str) -> str:
    """`trivet.engine.batch` -> `engine`; `trivet_worker.tensors.x` -> `trivet_worker.tensors`."""
    package, *rest = name.split(".")
    if package == "trivet":
        return rest[0] if rest else "trivet"
    return ".".join([package, *rest[:1]])


@pytest.fixture(scope="module")
def imports() -> set[tuple[str, str, str]]:
    """(layer, imported layer, "a imports b") for every import between layers."""
    graph = grimp.build_graph("trivet", "trivet_worker", "mac", cache_dir=None)
    pairs = {(a, b) for a in graph.modules for b in graph.find_modules_directly_imported_by(a)}
    return {(layer(a), layer(b), f"{a} imports {b}") for a, b in pairs if layer(a) != layer(b)}


def test_the_layer_table_lists_exactly_the_modules_of_the_platform() -> None:
    here = {
        path.stem
        for path in (PROJECT / "src" / "trivet").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert set(layer_table()) == here - {"__init__", "__main__", "errors"}


def test_a_module_imports_only_what_its_row_allows(imports: set[tuple[str, str, str]]) -> None:
    table = layer_table()
    beyond = sorted(
        said
        for module, imported, said in imports
        if module in table and imported not in table[module] | BELOW_ALL | {"trivet"}
    )
    assert not beyond, "\n".join(beyond)


def test_errors_import_nothing_of_the_platform(imports: set[tuple[str, str, str]]) -> None:
    assert [said for module, _, said in imports if module == "errors"] == []


def test_the_worker_never_imports_the_platform(imports: set[tuple[str, str, str]]) -> None:
    upwards = [
        said
        for _, imported, said in imports
        if said.startswith(("trivet_worker", "mac")) and not imported.startswith(("trivet_worker", "mac"))
    ]
    assert upwards == []
