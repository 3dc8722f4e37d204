"""`trivet env`: the environments that were built."""

import json
import os
from datetime import timedelta
from typing import Annotated

import typer

from trivet.cli.options import HomeOption
from trivet.cli.output import show
from trivet.settings import read_settings

__all__ = ["app"]

app = typer.Typer(help="List and remove the environments that were built for models.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_environments(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List environments, the most recently used first.

    Examples:

      trivet env list

      trivet env list --json
    """
    from trivet.loading.environments import environment_store

    infos = environment_store(read_settings(os.environ, home=home)).list()
    if as_json:
        show(json.dumps([_plain(info) for info in infos], indent=2))
        return
    if not infos:
        show("(no environments)")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("digest", "python", "packages", "size", "made", "last used", box=None)
    for info in infos:
        table.add_row(
            info.digest[:12],
            info.python_version,
            str(len(info.packages)),
            _size(info.size_bytes),
            f"{info.made:%Y-%m-%d %H:%M}",
            f"{info.last_used:%Y-%m-%d %H:%M}",
        )
    Console().print(table)


@app.command("prune")
def prune(
    home: HomeOption = None,
    unused_for: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Only those not used for this many days.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Remove environments that nothing uses now; they are rebuilt when needed.

    Examples:

      trivet env prune --unused-for 30
    """
    from trivet.loading.environments import environment_store

    store = environment_store(read_settings(os.environ, home=home))
    removed = store.prune(unused_for=None if unused_for is None else timedelta(days=unused_for))
    if as_json:
        show(json.dumps([_plain(info) for info in removed], indent=2))
        return
    freed = sum(info.size_bytes for info in removed)
    show(f"removed {len(removed)} environment{'s' if len(removed) != 1 else ''}, {_size(freed)}")


def _plain(info) -> dict[str, object]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return {
        "digest": info.digest,
        "python": info.python_version,
        "packages": list(info.packages),
        "size_bytes": info.size_bytes,
        "made": info.made.isoformat(),
        "last_used": info.last_used.isoformat(),
    }


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
