"""Shared by the commands that use a platform: its address and its options."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivet.errors import Unavailable, visible
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

    folder = read_settings(os.environ, home=home).home
    if home is not None and url == os.environ.get("TRIVET_URL"):
        url = None
    if home is not None and url is None:
        from trivet.wiring.running_platform import read_platform

        # The platform at the usual address may belong to another home.
        if read_platform(folder) is None:
            raise Unavailable(f"no platform runs from {folder}", fix=f"start it: trivet up --home {folder}")
    client = Client(url, home=folder, workspace=workspace, quiet=quiet)
    # Progress goes to stderr: scripts read stdout.
    if not quiet:
        client.say = _to_stderr
    return client


def _to_stderr(text: str) -> None:
    sys.stderr.write(visible(text))
    sys.stderr.flush()
