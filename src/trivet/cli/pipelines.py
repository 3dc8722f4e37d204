"""`trivet pipelines`, `deploy`, `rollback` and `undeploy`."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivet.cli.delete import YesOption, confirm
from trivet.cli.models import find_version
from trivet.cli.output import print_json, print_table, show
from trivet.cli.platform_client import (
    MOST_S,
    HomeOption,
    JsonOption,
    PipelineArgument,
    UrlOption,
    WorkspaceOption,
    connect,
)
from trivet.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from trivet.sdk.client import Client
    from trivet.sdk.pipeline import Pipeline

__all__ = ["deploy", "pipelines", "rollback", "undeploy"]

RESOURCES = "Resources"


def pipelines(
    name: Annotated[str | None, typer.Argument(metavar="[PIPELINE]", help="Show this pipeline's versions.")] = None,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List pipelines, or one pipeline's versions.

    Examples:

      trivet pipelines

      trivet pipelines ccfraud
    """
    with connect(url, home, workspace) as client:
        found = client.list_pipelines() if name is None else [client.get_pipeline(name)]
        if as_json:
            print_json([each.document() for each in found])
        elif name is None:
            print_table(
                ("name", "deployed", "versions", "steps"),
                [
                    (
                        each.name(),
                        {None: "(none)", True: "yes", False: "no"}[each.document()["deployed"]],
                        len(each.document()["versions"]),
                        _shown(each.document()["versions"][0]["steps"]),
                    )
                    for each in found
                ],
                empty="(no pipelines)",
            )
        else:
            print_table(
                ("version", "uuid", "made", "steps"),
                [
                    (version["number"], version["uuid"], version["created_at"][:19], _shown(version["steps"]))
                    for version in found[0].document()["versions"]
                ],
                empty="(no versions)",
            )


def _shown(steps: list[dict[str, Any]]) -> str:
    return " > ".join(step["name"] if step["step"] == "model" else "checks" for step in steps)


def deploy(
    name: PipelineArgument,
    steps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]",
            help="Models in order: NAME, NAME@NUMBER or NAME@UUID. The steps of the newest version if none is given.",
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(help="An earlier version to deploy again: its number, or its UUID.", show_default=False),
    ] = None,
    replicas: Annotated[
        int, typer.Option(min=1, max=256, help="Workers for each model that needs workers.", rich_help_panel=RESOURCES)
    ] = 1,
    cpus: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Threads of native models, rounded up.", rich_help_panel=RESOURCES, show_default=False
        ),
    ] = None,
    worker_cpus: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Threads of each worker's libraries.", rich_help_panel=RESOURCES, show_default=False
        ),
    ] = None,
    worker_memory: Annotated[
        str | None,
        typer.Option(metavar="1Gi", help="Memory of each worker.", rich_help_panel=RESOURCES, show_default=False),
    ] = None,
    log: Annotated[bool, typer.Option("--log/--no-log", help="Keep requests and answers.")] = True,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it answers.")] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=MOST_S, metavar="SECONDS", help="Seconds to wait at most.")
    ] = 120.0,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run models, one after another, as a pipeline.

    The previous version answers until the new one is warm, and continues if that cannot run.

    Examples:

      trivet deploy ccfraud ccfraud

      trivet deploy houses house-features house-price@2 --replicas 2 --worker-memory 1Gi

      trivet deploy ccfraud --version 3           (an earlier version again)
    """
    from trivet.sdk.config import DeploymentConfigBuilder

    if steps and version:
        raise typer.BadParameter("give models, or the version of an earlier deploy", param_hint="MODEL")
    with connect(url, home, workspace, quiet=False) as client:
        is_new = False
        if steps:
            models = [find_version(client, step) for step in steps]
            is_new = name not in [each.name() for each in client.list_pipelines()]
            pipeline = client.build_pipeline(name)
            for model in models:
                pipeline.add_model_step(model)
        else:
            version = _whole_uuid(client, name, version)
            pipeline = client.get_pipeline(name, version=version)
            models = [
                client.get_model(step["name"], version=step["version"])
                for step in _steps_of(pipeline.document(), version)
                if step["step"] == "model"
            ]
            if not pipeline.steps():
                raise Invalid(f"pipeline {name!r} has no steps yet", fix=f"name its models: trivet deploy {name} MODEL")
        workers = [model for model in models if model.document()["where"] == "isolated"]
        if not workers and (worker_cpus, worker_memory) != (None, None):
            raise Invalid(
                f"{'--worker-memory' if worker_cpus is None else '--worker-cpus'} has no effect on {name!r}",
                why="none of its models needs a worker",
                fix="leave it out",
            )
        builder = DeploymentConfigBuilder().replica_count(replicas).log_inferences(log)
        if cpus is not None:
            builder.cpus(cpus)
        for model in workers:
            if worker_cpus is not None:
                builder.sidekick_cpus(model, worker_cpus)
            if worker_memory is not None:
                builder.sidekick_memory(model, worker_memory)
        try:
            pipeline.deploy(deployment_config=builder.build(), wait_for_status=wait, timeout=timeout)
        except (Invalid, Conflict):
            if is_new:
                # A refused deploy leaves no new pipeline behind. One that was tried and cannot run stays, with its error.
                with suppress(Conflict):
                    client.delete_pipeline(name)
            raise
        _show_deployed(client, pipeline, as_json=as_json)


def _show_deployed(client: "Client", pipeline: "Pipeline", *, as_json: bool) -> None:
    if as_json:
        print_json(client.status(pipeline.name())[0])
    else:
        show(pipeline.url())


def _steps_of(document: dict[str, Any], version: str | None) -> list[dict[str, Any]]:
    """The steps of one of a pipeline's versions, by default the newest."""
    steps: list[dict[str, Any]] = next(
        each["steps"] for each in document["versions"] if version in (None, each["uuid"])
    )
    return steps


def _whole_uuid(client: "Client", name: str, given: str | None) -> str | None:
    """The UUID of a pipeline version, given by its number, its UUID or the start of its UUID.

    Raises:
        NotFound: no version matches, or several do.
    """
    if given is None:
        return None
    versions = client.get_pipeline(name).document()["versions"]
    found = [each["uuid"] for each in versions if given == str(each["number"])]
    found = found or [each["uuid"] for each in versions if each["uuid"].startswith(given.lower())]
    if len(found) == 1:
        return str(found[0])
    known = ", ".join(f"{each['number']} ({each['uuid'][:8]})" for each in versions)
    raise NotFound(
        f"{'no' if not found else 'more than one'} version of pipeline {name!r} is {given!r}", fix=f"there are {known}"
    )


def undeploy(
    name: PipelineArgument,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=MOST_S, metavar="SECONDS", help="Seconds to wait at most.")
    ] = 60.0,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a pipeline. Requests in flight are answered first.

    Examples:

      trivet undeploy ccfraud
    """
    with connect(url, home, workspace, quiet=False) as client:
        client.get_pipeline(name).undeploy(timeout=timeout)
        if as_json:
            print_json(client.status(name)[0])


def rollback(
    name: PipelineArgument,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it answers.")] = True,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=MOST_S, metavar="SECONDS", help="Seconds to wait at most.")
    ] = 120.0,
    yes: YesOption = False,
    workspace: WorkspaceOption = "default",
    url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy the version before the one that is deployed, with the same configuration.

    The current version answers until the earlier one is warm. `trivet deploy --version` deploys any other one.

    Examples:

      trivet rollback churn

      trivet rollback churn --yes
    """
    with connect(url, home, workspace, quiet=False) as client:
        pipeline = client.get_pipeline(name)
        confirm(f"Deploy the previous version of pipeline {name}?", yes=yes)
        pipeline.rollback(wait, timeout=timeout)
        _show_deployed(client, pipeline, as_json=as_json)
