"""`trivet status`."""

from typing import Annotated, Any

import typer

from trivet.cli.output import print_json, print_table, show
from trivet.cli.platform_client import HomeOption, JsonOption, UrlOption, WorkspaceOption, connect

__all__ = ["status"]


def status(
    name: Annotated[str | None, typer.Argument(metavar="[PIPELINE]", help="A pipeline's name.")] = None,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what runs: of one pipeline, or of all.

    Steps are the versions that answer. Rates and times are those of the last five minutes: requests a second, the share of them
    that failed, and the time within which half of the answers, and 99 of 100, were made. Restarts are those of workers that
    ended unexpectedly, since the version was deployed.

    Examples:

      trivet status

      trivet status ccfraud --json
    """
    with connect(url, home, workspace) as client:
        found = client.status(name)
    if as_json:
        print_json({each["pipeline"]: each for each in found} if name is None else found[0])
        return
    print_table(
        ("pipeline", "status", "steps", "workers", "restarts", "req/s", "failed", "p50", "p99", "in flight"),
        [_row(each) for each in found],
        empty="(no pipelines)",
    )
    for each in found:
        for reason in each["details"]:
            show(f"{each['pipeline']}: {_first_line(reason)}", to_stderr=True)
        last = each["last_error"]
        if last is not None:
            show(
                f"{each['pipeline']}: last error {last['at']} ({last['of']}): {_first_line(last['text'])}",
                to_stderr=True,
            )


def _row(found: dict[str, Any]) -> tuple[Any, ...]:
    steps = [f"{step['model']}@{step['version']}" for step in found["steps"]]
    workers = found["workers"]
    ready = sum(worker["status"] == "Running" for worker in workers)
    isolated = any(step["runs"] == "isolated" for step in found["steps"])
    measured = found["statistics"]
    return (
        found["pipeline"],
        found["status"],
        " > ".join(steps),
        f"{ready}/{len(workers)}" if isolated else "",
        found["restarts"] if isolated else "",
        *(
            ("",) * 5
            if measured is None
            else (
                f"{measured['requests_per_s']:.3g}",
                f"{measured['error_rate']:.1%}",
                _shown_ms(measured["p50_ms"]),
                _shown_ms(measured["p99_ms"]),
                measured["in_flight"],
            )
        ),
    )


def _shown_ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
