"""The table of what works in notebooks is true: what works is there, and what is absent says what to use instead."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from trivet_tests.wallaroo_names import HOLDERS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "notebooks.md"
ROW = re.compile(r"^\| (?P<calls>`.*`) \| (?P<notebooks>[0-9-]+) \| (?P<state>works|absent)\b.*\|$", re.MULTILINE)


def rows() -> list[tuple[str, str, int]]:
    """Each call with its state, and the notebooks that use it."""
    found = []
    for row in ROW.finditer(PAGE.read_text()):
        most = int(row["notebooks"].rpartition("-")[2])
        found += [(call, row["state"], most) for call in re.findall(r"`(.+?)`", row["calls"])]
    return found


def test_the_table_is_ranked_and_names_each_call_once():
    numbers = [most for _, _, most in rows()]
    assert numbers == sorted(numbers, reverse=True)
    assert len({call for call, _, _ in rows()}) == len(numbers) > 60


@pytest.mark.parametrize(("call", "state"), [(call, state) for call, state, _ in rows()])
def test_a_call_is_what_the_table_says(wallaroo: ModuleType, call: str, state: str):
    holder, _, name = call.partition(".")
    found = getattr(getattr(importlib.import_module(HOLDERS[holder]), holder), name)
    if state == "works":
        assert "not supported yet: it raises" not in (found.__doc__ or "")
        return
    with pytest.raises(wallaroo.object.NotThereYetError, match="not supported yet") as caught:
        found(object())
    assert caught.value.fix


def test_no_absent_call_stands_among_those_that_work(wallaroo: ModuleType):
    works = {call for call, state, _ in rows() if state == "works"}
    for holder, module in HOLDERS.items():
        members = vars(getattr(importlib.import_module(module), holder))
        absent = {f"{holder}.{name}" for name, each in members.items() if "it raises" in (each.__doc__ or "")}
        assert not absent & works
