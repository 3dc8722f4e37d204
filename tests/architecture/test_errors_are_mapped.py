"""Every kind of error has a meaning at every edge, and the tree drawn in `trivet.errors` is the one that is there."""

import inspect
import re

import pytest

from trivet import errors
from trivet.cli.main import EXIT
from trivet.control.http import errors as control_errors
from trivet.errors import Kind, TrivetError
from trivet.gateway.http import errors as gateway_errors


def subclasses(root: type[TrivetError]) -> set[type[TrivetError]]:
    return {root}.union(*(subclasses(child) for child in root.__subclasses__()))


@pytest.mark.parametrize("table", [control_errors.STATUS, gateway_errors.STATUS], ids=["control", "gateway"])
def test_http_maps_every_kind_to_an_error_status(table: dict[Kind, int]) -> None:
    assert set(table) == set(Kind)
    assert all(400 <= status <= 599 for status in table.values())


def test_the_two_tables_of_statuses_differ_where_that_is_meant() -> None:
    differing = {kind for kind in Kind if control_errors.STATUS[kind] != gateway_errors.STATUS[kind]}
    assert differing == {Kind.UNSUPPORTED, Kind.MODEL}


def test_the_command_line_maps_every_kind_to_an_exit_code() -> None:
    assert set(EXIT) == set(Kind)
    assert all(0 < code < 126 for code in EXIT.values())


def test_the_tree_in_the_docstring_is_the_tree_that_is_there() -> None:
    drawn = set(re.findall(r"^[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)) | {"TrivetError"}
    there = {
        name
        for name, _ in inspect.getmembers(errors, lambda value: isinstance(value, type))
        if issubclass(getattr(errors, name), TrivetError)
    }
    assert drawn == there
    assert set(errors.__all__) == there | {"Kind", "UNSAFE_CHARACTERS", "visible"}


@pytest.mark.parametrize("error", sorted(subclasses(TrivetError), key=lambda error: error.__name__))
def test_an_error_has_a_kind_and_a_slug(error: type[TrivetError]) -> None:
    assert error.kind in Kind
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.default_reason)
