"""The `trivet` command."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from trivet.cli import env
from trivet.cli.check import check
from trivet.cli.delete import delete
from trivet.cli.describe import describe
from trivet.cli.doctor import doctor
from trivet.cli.events import events
from trivet.cli.infer import infer
from trivet.cli.init import init
from trivet.cli.logs import logs
from trivet.cli.models import models, upload
from trivet.cli.output import show
from trivet.cli.pipelines import deploy, pipelines, rollback, undeploy
from trivet.cli.schema import schema
from trivet.cli.serve import serve
from trivet.cli.status import status
from trivet.cli.up import down, reload, up
from trivet.errors import Kind, TrivetError, visible

__all__ = ["EXIT", "app", "main"]

EXIT: dict[Kind, int] = {
    Kind.INVALID: 1,
    Kind.UNAUTHORIZED: 1,
    Kind.FORBIDDEN: 1,
    Kind.NOT_FOUND: 1,
    Kind.CONFLICT: 1,
    Kind.TOO_LARGE: 1,
    Kind.UNSUPPORTED: 1,
    Kind.NOT_ACCEPTABLE: 1,
    Kind.MODEL: 1,
    Kind.OVERLOADED: 1,
    Kind.UNAVAILABLE: 1,
    Kind.DEADLINE: 1,
    Kind.INTERNAL: 70,
}
"""Exit codes: 1 for an error that the user can fix, 70 for a fault of Trivet; typer uses 2 for wrong usage."""

PANEL = "Models and pipelines of a platform"

app = typer.Typer(
    name="trivet",
    help="Serves any Python model: upload a package unchanged, get predictions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(serve)
app.command()(check)
app.command()(init)
app.command()(schema)
app.command()(up)
app.command()(down)
app.command()(reload)
app.command()(doctor)
for command in (upload, models, pipelines, deploy, rollback, undeploy, status, describe, events, infer, logs, delete):
    app.command(rich_help_panel=PANEL)(command)
app.add_typer(env.app, name="env")


def _show_version(wanted: bool) -> None:
    if wanted:
        from trivet import __version__

        show(f"trivet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    del version


def main() -> None:
    """Run a command; a user's mistake is an error message, never a traceback."""
    # ONNX Runtime reports every session to its maker unless this is set before it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # httpx also imports a command line of its own, with rich and pygments: longer than all that is used of it.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    for number in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` has SIGHUP ignored, and so it stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_in_order)
    try:
        app()
    except TrivetError as error:
        _print_error(error)
        sys.exit(EXIT[error.kind])
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; drop what is left in the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _end_in_order(number: int, _frame: FrameType | None) -> None:
    """Let a command that is stopped while it prepares remove its unfinished files; a running server has its own handler."""
    sys.exit(128 + number)


# Some texts of the reference also start with this.
DOUBLED = "Error: "


def _print_error(error: TrivetError) -> None:
    if not sys.stderr.isatty():
        show(f"error: {str(error).removeprefix(DOUBLED)}", to_stderr=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text("error: ", style="bold red") + Text(visible(error.message.removeprefix(DOUBLED))))
    if error.path:
        console.print(Text("  at  ", style="dim") + Text(visible(error.path)))
    if error.fix:
        console.print(Text("  fix ", style="green") + Text(visible(error.fix)))
