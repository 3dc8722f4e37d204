"""`trivet events`."""

from typing import Annotated, Any

import typer

from trivet.cli.output import in_json, print_json, print_table, show
from trivet.cli.platform_client import HomeOption, JsonOption, UrlOption, connect

__all__ = ["events"]

WAIT_S = 20.0


def events(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Events at most.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new events, until Ctrl-C.")] = False,
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happened on the platform, the newest last: uploads, deploys, ends of workers.

    With `--follow` each event is one line.

    Examples:

      trivet events

      trivet events --follow --json
    """
    with connect(url, home) as client:
        found = client.events(limit=limit, newest=True)
        if not follow:
            if as_json:
                print_json(found)
            else:
                print_table(("time", "of", "event", "text"), [_row(each) for each in found], empty="(no events)")
            return
        after = 0
        while True:
            for each in found:
                after = each["id"]
                show(in_json(each) if as_json else "  ".join(_row(each)))
            found = client.events(after=after, wait_s=WAIT_S)


def _row(event: dict[str, Any]) -> tuple[str, str, str, str]:
    named = f"pipeline {event['pipeline']}" if event["pipeline"] else f"{event['subject']} {event['subject_id']}"
    return event["at"][:19], named, event["kind"], " ".join(event["text"].split())
