"""`trivet describe`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivet.cli.delete import Subject, SubjectArgument
from trivet.cli.models import find_version
from trivet.cli.output import print_fields, print_json
from trivet.cli.platform_client import HomeOption, JsonOption, UrlOption, WorkspaceOption, connect

if TYPE_CHECKING:
    from trivet.sdk.client import Client

__all__ = ["describe"]


def describe(
    kind: SubjectArgument,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its name; NAME@2 is one version of a model.", show_default=False)
    ],
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that the platform knows of a model version, or of a pipeline.

    Of a model without a number it is the newest version that is ready.

    Examples:

      trivet describe model churn@2

      trivet describe pipeline churn --json
    """
    with connect(url, home, workspace) as client:
        found = _pipeline(client, name) if kind is Subject.PIPELINE else _model(client, name)
    if as_json:
        print_json(found)
    else:
        print_fields(_pipeline_fields(found) if kind is Subject.PIPELINE else _model_fields(found))


def _model(client: "Client", name: str) -> dict[str, Any]:
    version = find_version(client, name)
    deployed = [
        each["pipeline"] for each in client.status() if any(step["uuid"] == version.version() for step in each["steps"])
    ]
    return {**version.document(), "pipelines": deployed}


def _pipeline(client: "Client", name: str) -> dict[str, Any]:
    [report] = client.status(name)
    return {**report, "versions": client.get_pipeline(name).document()["versions"]}


def _model_fields(found: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    fault = found["fault"] or {}
    yield "model", found["name"]
    yield "version", found["number"]
    yield "uuid", found["uuid"]
    yield "status", found["status"]
    yield "answers", {None: None, True: "yes", False: "no"}[found["answers"]]
    yield "error", found["error_summary"]
    yield "fix", fault.get("fix")
    yield "framework", found["framework"]
    yield "runs", found["where"]
    yield "because", found["where_why"]
    yield "takes", found["input_schema_text"]
    yield "gives", found["output_schema_text"]
    yield "batching", found["batching"]
    yield "because", found["batching_reason"]
    yield "network", found["network"]
    yield "python", found["python_version"]
    yield "packages", ", ".join(found["packages"])
    yield from (("note", note) for note in found["notes"])
    yield "file", f"{found['file_name']} ({found['size']:,} bytes)"
    yield "sha256", found["sha"]
    yield "made for", " ".join(each for each in (found["arch"], found["accel"]) if each != "none")
    yield "workspace", found["workspace"]
    yield "created", found["created_at"][:19]
    yield "in pipelines", ", ".join(found["pipelines"])


def _pipeline_fields(found: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    yield "pipeline", found["pipeline"]
    yield "status", found["status"]
    yield from (("because", detail) for detail in found["details"])
    if found["version"] is not None:
        yield "version", f"{found['version']['number']} ({found['version']['uuid']})"
    for step in found["steps"]:
        yield "step", f"{step['model']}@{step['version']}, {step['runs']}"
    for worker in found["workers"]:
        reason = f": {worker['reason']}" if worker["reason"] else ""
        process = f", process {worker['pid']}" if worker["pid"] else ""
        yield (
            "worker",
            f"{worker['id']} of {worker['model']}: {worker['status']}{process}, {worker['restarts']} restarts{reason}",
        )
    last = found["last_error"]
    if last is not None:
        yield "last error", f"{last['at']} ({last['of']}): {last['text']}"
    measured = found["statistics"]
    if measured is not None:
        yield from _measured(measured)
    yield "address", found["url"]
    yield "workspace", found["workspace"]
    for version in found["versions"]:
        steps = " > ".join(step["name"] if step["step"] == "model" else "checks" for step in version["steps"])
        yield "history", f"{version['number']} ({version['uuid']}), {version['created_at'][:19]}: {steps or 'no steps'}"


def _measured(measured: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    rates = f"{measured['error_rate']:.1%} failed, {measured['refused_rate']:.1%} refused"
    over = f"in the last {measured['over_s']:.0f} s"
    yield "requests", f"{measured['requests_per_s']:.3g} a second {over}, {rates}, {measured['in_flight']} in flight"
    if measured["p50_ms"] is not None:
        yield "times", f"p50 {measured['p50_ms']:.3g} ms, p99 {measured['p99_ms']:.3g} ms"
