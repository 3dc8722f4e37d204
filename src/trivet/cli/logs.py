"""`trivet logs`: the requests of a pipeline, or what a model's workers wrote."""

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivet.cli.infer import plain_rows
from trivet.cli.models import find_version
from trivet.cli.output import in_json, show
from trivet.cli.platform_client import HomeOption, JsonOption, UrlOption, WorkspaceOption, connect

if TYPE_CHECKING:
    from trivet.sdk.client import Client

__all__ = ["logs"]

PAGE = 10_000
MOST_LINES = 10_000
FOLLOW_S = 1.0
REQUESTS = "Requests of a pipeline"
OUTPUT = "Output of a model"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def logs(
    name: Annotated[
        str | None, typer.Argument(metavar="[PIPELINE]", help="A pipeline's name.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@2]", help="Show what this model's workers wrote.", rich_help_panel=OUTPUT, show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="10m", help="Only lines of the last 30s, 10m, 2h or 1d.", rich_help_panel=OUTPUT, show_default=False
        ),
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Only the tracebacks of this request; its answer has the id.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines, until Ctrl-C.", rich_help_panel=OUTPUT)
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Rows at most, or last lines.")
    ] = 100,
    start: Annotated[
        datetime | None,
        typer.Option(
            help="The first time, UTC if it has no zone; requires --end.", rich_help_panel=REQUESTS, show_default=False
        ),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(help="The last time, likewise.", rich_help_panel=REQUESTS, show_default=False),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Parts (time, in, out, anomaly, metadata) or columns.",
            rich_help_panel=REQUESTS,
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show requests and answers of a pipeline, the newest first: one JSON record a line.

    With `--model` it shows what the workers of a model version wrote, the newest last: its output, its warnings, and the
    tracebacks of its errors. Each line begins with its time, a few seconds exact.

    Examples:

      trivet logs ccfraud --limit 10 --dataset time --dataset out

      trivet logs ccfraud --start 2026-01-31T12:00:00 --end 2026-01-31T13:00:00

      trivet logs --model churn@2 --since 10m --follow

      trivet logs --model churn@2 --request-id 5f0c2a9b1d3e-2a
    """
    if (name is None) == (model is None):
        raise typer.BadParameter("give a pipeline, or a model with --model", param_hint="PIPELINE")
    of_requests = start is not None or end is not None or dataset is not None
    if model is not None and of_requests:
        raise typer.BadParameter("--start, --end and --dataset are for a pipeline's requests", param_hint="--model")
    if model is None and (since is not None or follow or request_id is not None):
        raise typer.BadParameter("--since, --follow and --request-id need --model", param_hint="--model")
    if request_id is not None and (since is not None or follow):
        raise typer.BadParameter("one request has one time", param_hint="--request-id")
    if (start is None) != (end is None):
        raise typer.BadParameter("--start and --end are required together", param_hint="--start")
    since_s = None if since is None else _seconds(since)
    with connect(url, home, workspace) as client:
        if model is not None:
            _show_output(
                client, model, limit=limit, since_s=since_s, request_id=request_id, follow=follow, as_json=as_json
            )
        elif name is not None:
            _show_requests(client, name, limit=limit, start=start, end=end, dataset=dataset)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9})([smhd])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a time such as 30s, 10m, 2h or 1d", param_hint="--since")
    return int(found.group(1)) * UNITS[found.group(2)]


def _show_output(
    client: "Client",
    model: str,
    *,
    limit: int,
    since_s: float | None,
    request_id: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    from trivet.sdk.model import runtime_logs, shown_line

    def show_lines(found: dict[str, Any]) -> None:
        for line in found["lines"]:
            show(in_json(line) if as_json else shown_line(line))

    uuid = find_version(client, model).version()
    found = client.run(runtime_logs(uuid, limit=min(limit, MOST_LINES), since=since_s, request_id=request_id))
    show_lines(found)
    if found["note"] is not None:
        show(f"{model}: {found['note']}", to_stderr=True)
    while follow:
        time.sleep(FOLLOW_S)
        found = client.run(runtime_logs(uuid, limit=MOST_LINES, after=found["end"]))
        show_lines(found)


def _show_requests(
    client: "Client",
    name: str,
    *,
    limit: int,
    start: datetime | None,
    end: datetime | None,
    dataset: list[str] | None,
) -> None:
    from trivet.sdk import operations

    cursor: str | None = None
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
