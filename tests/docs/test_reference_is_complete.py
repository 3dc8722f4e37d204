"""The reference pages name what is there, and nothing that is not."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from trivet.cli.main import EXIT, app
from trivet.gateway.http.metrics_page import PrometheusPage
from trivet.gateway.metrics import GatewayMetrics
from trivet.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
REFERENCE = PROJECT / "docs" / "reference"
SOURCES = [*(PROJECT / "src" / "trivet").rglob("*.py"), *(PROJECT / "worker" / "src").rglob("*.py")]
REASON = re.compile(r'\b(?:default_)?reason(?:: [\w\[\]]+)? ?= ?"([a-z_]+)"')
AN_ERRORS_FIELDS = {"code", "status", "error", "source", "reason", "path", "fix", "request_id"}
FIRST_CELL = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)


def rows(page: str) -> set[str]:
    """What the first cells of a page's tables name."""
    cells = FIRST_CELL.findall((REFERENCE / page).read_text())
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def reasons() -> set[str]:
    """Every `reason="…"` and `default_reason = "…"` in the sources."""
    return {reason for path in SOURCES for reason in REASON.findall(path.read_text())}


def test_the_errors_page_names_every_reason_that_an_error_can_have() -> None:
    assert rows("errors.md") - AN_ERRORS_FIELDS == reasons() | {"load_failed"}


def test_the_http_page_names_every_metric() -> None:
    there = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in PrometheusPage(GatewayMetrics()).collect()
    }
    assert {row for row in rows("http.md") if row.startswith("trivet_")} == there


def test_the_settings_page_names_every_setting_with_its_default() -> None:
    text = (REFERENCE / "settings.md").read_text()
    assert rows("settings.md") == {f"TRIVET_{field.name.upper()}" for field in fields(Settings)}
    for field in fields(Settings):
        if isinstance(field.default, float):
            assert re.search(rf"`{field.name}` \| {field.default:g} \|", text), field.name


def names_of(group: Any) -> Iterator[str]:
    """Every command below a group, and its options."""
    for name, command in group.commands.items():
        yield name
        if hasattr(command, "commands"):
            yield from names_of(command)
        for parameter in command.params:
            yield from (option for option in parameter.opts if option.startswith("--") and option != "--help")


def test_the_command_line_page_names_every_command_and_option() -> None:
    text = (REFERENCE / "cli.md").read_text()
    there = set(names_of(typer.main.get_command(app)))
    assert {"serve", "--http-port", "prune", "--unused-for"} <= there
    assert [name for name in sorted(there) if not re.search(rf"{re.escape(name)}\b", text)] == []


def test_the_command_line_page_names_every_exit_code() -> None:
    codes = set(re.findall(r"^\| (\d+) \|", (REFERENCE / "cli.md").read_text(), re.MULTILINE))
    assert {str(code) for code in EXIT.values()} <= codes
