"""`trivet logs`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from trivet.cli.infer import plain_rows
from trivet.cli.output import in_json, show
from trivet.cli.platform_client import HomeOption, PipelineArgument, UrlOption, WorkspaceOption, connect

__all__ = ["logs"]

PAGE = 10_000


def logs(
    name: PipelineArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Rows at most.")] = 100,
    start: Annotated[
        datetime | None,
        typer.Option(help="The first time, UTC if it has no zone; requires --end.", show_default=False),
    ] = None,
    end: Annotated[datetime | None, typer.Option(help="The last time, likewise.", show_default=False)] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset", "-d", help="Parts (time, in, out, anomaly, metadata) or columns.", show_default=False
        ),
    ] = None,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
) -> None:
    """Show requests and answers, the newest first: one JSON record a line.

    Examples:

      trivet logs ccfraud --limit 10 --dataset time --dataset out

      trivet logs ccfraud --start 2026-01-31T12:00:00 --end 2026-01-31T13:00:00
    """
    if (start is None) != (end is None):
        raise typer.BadParameter("--start and --end are required together", param_hint="--start")
    from trivet.sdk import operations

    cursor: str | None = None
    with connect(url, home, workspace) as client:
        pipeline = client.get_pipeline(name)
        # A page ends where the columns change, or at its limit of size.
        while limit > 0:
            before = cursor
            table, status, cursor = client.run(
                operations.logs(
                    name,
                    workspace=pipeline.workspace,
                    limit=min(limit, PAGE),
                    start=_in_utc(start),
                    end=_in_utc(end),
                    dataset=dataset,
                    exclude=None,
                    cursor=cursor,
                )
            )
            for record in plain_rows(table):
                show(in_json(record))
            limit -= table.num_rows
            if status == "All" or cursor is None or (cursor == before and table.num_rows == 0):
                return


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
