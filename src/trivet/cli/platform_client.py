"""Shared by the commands that use a platform: its address, and how results are printed."""

import base64
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from trivet.errors import Unavailable
from trivet.settings import read_settings

if TYPE_CHECKING:
    from trivet.sdk.client import Client

__all__ = [
    "MOST_S",
    "HomeOption",
    "JsonOption",
    "PipelineArgument",
    "UrlOption",
    "WorkspaceOption",
    "connect",
    "in_json",
    "print_json",
    "print_table",
]

PLATFORM = "The platform"
# Longer than anyone waits, but within the range of all clocks involved.
MOST_S = 30 * 86400.0

UrlOption = Annotated[
    str | None,
    typer.Option(
        help="URL of the control API; the token then comes from TRIVET_TOKEN.",
        envvar="TRIVET_URL",
        rich_help_panel=PLATFORM,
        show_default="this machine's platform",
    ),
]
HomeOption = Annotated[
    Path | None,
    typer.Option(help="The home of this machine's platform.", rich_help_panel=PLATFORM, show_default="~/.trivet"),
]
WorkspaceOption = Annotated[
    str, typer.Option("--workspace", "-w", help="A workspace's name.", rich_help_panel=PLATFORM)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="A pipeline's name.", show_default=False)]


def connect(url: str | None, home: Path | None, workspace: str = "default", *, quiet: bool = True) -> "Client":
    """A client of the selected platform: flags override the environment.

    Raises:
        Unavailable: no platform runs from the given home.
    """
    from trivet.sdk.client import Client
    from trivet.wiring.platform import read_platform

    folder = read_settings(os.environ, home=home).home
    if home is not None and url == os.environ.get("TRIVET_URL"):
        url = None
    if home is not None and url is None and read_platform(folder) is None:
        # The platform at the usual address may belong to another home.
        raise Unavailable(f"no platform runs from {folder}", fix=f"start it: trivet up --home {folder}")
    client = Client(url, home=folder, workspace=workspace, quiet=quiet)
    # Progress goes to stderr: scripts read stdout.
    if not quiet:
        client.say = _to_stderr
    return client


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """Print JSON for programs."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode())


def in_json(value: Any) -> str:
    """JSON on one line. NaN becomes null, as in the platform's answers: JSON has no NaN."""
    return orjson.dumps(value, default=_plain).decode()


def _plain(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print a table in a terminal; elsewhere plain lines with tabs."""
    found = [[str(cell) for cell in row] for row in rows]
    if not found:
        print(empty)
        return
    if not sys.stdout.isatty():
        for row in (list(heads), *found):
            print("\t".join(" ".join(cell.split()) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=None)
    for row in found:
        # A model's text may look like markup.
        table.add_row(*map(Text, row))
    Console().print(table)
