"""A listener is a row: its port is a setting, its flag is an option of the commands, and its kind of server is there."""

from dataclasses import fields

import pytest
import typer.main

from trivet.cli.main import app
from trivet.gateway.servers import SERVERS
from trivet.settings import Settings
from trivet.wiring.listening import LISTENERS, Listener
from trivet.wiring.platform import ROLES


def options_of(command: str) -> set[str]:
    group = typer.main.get_command(app)
    found = group.get_command(None, command)  # type: ignore[attr-defined]
    return {option for parameter in found.params for option in parameter.opts}


@pytest.mark.parametrize("row", LISTENERS.values(), ids=list(LISTENERS))
def test_a_row_names_what_is_there(row: Listener) -> None:
    assert row.role in ROLES
    assert row.setting in {each.name for each in fields(Settings)}
    assert row.flag in options_of("up")
    assert (row.role == "gateway") == (row.server in SERVERS)
    if row.role == "gateway":
        assert row.flag in options_of("serve")
