"""The distribution is not installed with Trivet: its code is put where Python looks."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SOURCES = Path(__file__).resolve().parents[3] / "compat" / "wallaroo" / "src"


@pytest.fixture
def wallaroo(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package, as `import wallaroo` gives it."""
    monkeypatch.syspath_prepend(SOURCES)
    yield importlib.import_module("wallaroo")
    for name in [name for name in sys.modules if name.partition(".")[0] == "wallaroo"]:
        del sys.modules[name]
