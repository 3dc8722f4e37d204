"""Use cases: pipelines and their deployments."""

from collections.abc import Sequence
from typing import Any

from trivet.control.context import Control
from trivet.control.request_bodies import Deploy
from trivet.control.use_cases.deployment_config import check_machine, config_for, read_config
from trivet.control.use_cases.steps import check_steps, newest_step, reconfigured, steps_of, validations_of
from trivet.domain.access import Action, Caller, check
from trivet.domain.deployment import Deployment
from trivet.domain.names import check_name
from trivet.domain.pipeline import CheckStep, ModelStep, Pipeline, PipelineStep, PipelineVersion
from trivet.domain.version import ModelVersion, Workspace
from trivet.errors import Conflict, Invalid, NotFound

__all__ = [
    "build_pipeline",
    "copy_pipeline",
    "create_with_steps",
    "delete_pipeline",
    "deploy",
    "deploy_version",
    "find_deployment",
    "get_deployment",
    "get_pipeline",
    "get_status",
    "list_pipelines",
    "rollback",
    "undeploy",
    "undeploy_by_id",
]


def list_pipelines(control: Control, caller: Caller, *, workspace: str) -> tuple[Workspace, list[Pipeline]]:
    """A workspace and its pipelines, by name.

    Raises:
        NotFound: there is no such workspace.
    """
    check(caller, Action.VIEW, workspace)
    found = control.catalog.workspaces.get(workspace)
    return found, control.catalog.pipelines.all(found.id)


def get_pipeline(control: Control, caller: Caller, *, workspace: str, name: str) -> tuple[Workspace, Pipeline]:
    """A workspace and one of its pipelines.

    Raises:
        NotFound: there is no such workspace or pipeline.
    """
    check(caller, Action.VIEW, workspace)
    found = control.catalog.workspaces.get(workspace)
    return found, control.catalog.pipelines.get(found.id, name)


def get_deployment(control: Control, caller: Caller, *, workspace: str | int, name: str) -> Deployment | None:
    """A pipeline's deployment; None if it was never deployed.

    Raises:
        NotFound: there is no such workspace or pipeline.
    """
    check(caller, Action.VIEW, workspace)
    return control.catalog.deployments.of(_pipeline(control, workspace, name).id)


def get_status(
    control: Control, caller: Caller, *, workspace: str, name: str
) -> tuple[Deployment | None, list[ModelVersion]]:
    """A pipeline's deployment, and its model versions.

    Raises:
        NotFound: there is no such workspace or pipeline.
    """
    check(caller, Action.VIEW, workspace)
    deployment = control.catalog.deployments.of(_pipeline(control, workspace, name).id)
    return deployment, _deployed_models(control, deployment)


def find_deployment(control: Control, caller: Caller, name: str) -> tuple[Deployment, list[ModelVersion]]:
    """A deployment by the reference's name for it, and its model versions.

    Args:
        control: the parts.
        caller: of the request.
        name: `<pipeline>-<deployment id>`.

    Raises:
        NotFound: there is no such deployment.
    """
    check(caller, Action.VIEW)
    pipeline, _, key = name.rpartition("-")
    for deployment in control.catalog.deployments.all():
        if deployment.pipeline == pipeline and str(deployment.id) == key:
            check(caller, Action.VIEW, deployment.workspace_id)
            return deployment, _deployed_models(control, deployment)
    raise NotFound("Deployment not found", fix="deploy the pipeline; its name is <pipeline>-<deployment id>")


def build_pipeline(control: Control, caller: Caller, *, workspace: str | int, name: str) -> tuple[Pipeline, bool]:
    """A pipeline by its name, created if it is not there.

    Returns:
        The pipeline, and whether it is new.
    """
    check(caller, Action.CREATE_PIPELINE, workspace)
    check_name(name)
    workspace_id = control.catalog.workspaces.get(workspace).id
    try:
        return control.catalog.pipelines.get(workspace_id, name), False
    except NotFound:
        pass
    try:
        return control.catalog.pipelines.create(workspace_id, name), True
    except Conflict:
        # Another request has created it meanwhile.
        return control.catalog.pipelines.get(workspace_id, name), False


def create_with_steps(
    control: Control, caller: Caller, *, workspace: int, name: str, steps: Sequence[str | CheckStep]
) -> tuple[Pipeline, PipelineVersion]:
    """A pipeline by its name, created if it is not there, with a new version that is not deployed.

    Args:
        control: the parts.
        caller: of the request.
        workspace: the id of the pipeline's workspace.
        name: of the pipeline.
        steps: UUIDs of model versions, each run with its newest configuration; and validations.

    Raises:
        NotFound: there is no such workspace or model version.
        Invalid: a name or a validation that cannot be one.
    """
    check(caller, Action.CREATE_PIPELINE, workspace)
    control.catalog.workspaces.get(workspace)
    made = tuple(newest_step(control, each) if isinstance(each, str) else each for each in steps)
    control.check_validations(validations_of(made), {})
    pipeline, _ = build_pipeline(control, caller, workspace=workspace, name=name)
    return pipeline, control.catalog.pipelines.add_version(pipeline.id, steps=made)


def copy_pipeline(
    control: Control, caller: Caller, *, source_id: int, workspace: int, name: str
) -> tuple[Pipeline, PipelineVersion]:
    """A pipeline by its name, created if it is not there, with the newest steps of another pipeline.

    Raises:
        NotFound: there is no such pipeline or workspace.
        Invalid: the name cannot be one.
    """
    check(caller, Action.CREATE_PIPELINE, workspace)
    source = control.catalog.pipelines.by_id(source_id)
    check(caller, Action.VIEW, source.workspace_id)
    pipeline, _ = build_pipeline(control, caller, workspace=workspace, name=name)
    return pipeline, control.catalog.pipelines.add_version(pipeline.id, steps=source.versions[0].steps)


def deploy(
    control: Control, caller: Caller, *, workspace: str, name: str, body: Deploy
) -> tuple[PipelineVersion, Deployment]:
    """Deploy a pipeline, with new steps or those of an earlier version.

    Raises:
        NotFound: there is no such pipeline, model version, configuration or pipeline version.
        Conflict: a version is not ready, or one step does not fit the next.
        Invalid: the steps are missing, or a configuration or validation is invalid.
    """
    check(caller, Action.DEPLOY, workspace)
    pipeline = _pipeline(control, workspace, name)
    if (body.steps is None) == (body.version is None):
        raise Invalid("a deploy has steps, or the version of an earlier deploy", fix="give one of the two")
    config, logs = body.config, body.log_inferences
    if body.version is None:
        return _deploy(control, pipeline, steps_of(control, body), config=config, log_inferences=logs)
    earlier = control.catalog.pipelines.version(body.version)
    if earlier.pipeline_id != pipeline.id:
        raise NotFound(f"Pipeline version {body.version} not found in this workspace.", fix="see its versions")
    return _deploy(control, pipeline, earlier.steps, version=earlier.uuid, config=config, log_inferences=logs)


def deploy_version(
    control: Control,
    caller: Caller,
    *,
    pipeline_id: int,
    version_id: int,
    config_ids: Sequence[int],
    config: dict[str, Any],
) -> Deployment:
    """Deploy a version of a pipeline, or its steps under other configurations of the same model versions. A model that is still
    loading is waited for by the deployment.

    Args:
        control: the parts.
        caller: of the request.
        pipeline_id: of the pipeline.
        version_id: of one of its versions.
        config_ids: of the configurations.
        config: the deployment's, in the reference's form.

    Raises:
        NotFound: there is no such pipeline, pipeline version or configuration.
        Conflict: a version is not ready, or one step does not fit the next.
        Invalid: the deployment's configuration is invalid.
    """
    check(caller, Action.DEPLOY)
    pipeline = control.catalog.pipelines.by_id(pipeline_id)
    check(caller, Action.DEPLOY, pipeline.workspace_id)
    version = next((each for each in pipeline.versions if each.id == version_id), None)
    if version is None:
        raise NotFound(f"Pipeline version {version_id} not found in this workspace", fix="create it first")
    steps = reconfigured(control, version.steps, config_ids)
    same = version.uuid if steps == version.steps else None
    made = _deploy(control, pipeline, steps, version=same, config=config, log_inferences=True, may_load=True)
    return made[1]


def rollback(control: Control, caller: Caller, *, workspace: str, name: str) -> tuple[PipelineVersion, Deployment]:
    """Deploy the version before the one that is deployed, with the same configuration.

    Raises:
        NotFound: there is no such pipeline, or a model version of it was deleted.
        Conflict: it is not deployed, there is no earlier version, or its steps cannot run.
    """
    check(caller, Action.DEPLOY, workspace)
    pipeline = _pipeline(control, workspace, name)
    deployment = control.catalog.deployments.of(pipeline.id)
    if deployment is None or deployment.wanted == "stopped":
        raise Conflict(f"Pipeline {name} is not deployed", fix="deploy it first", reason="not_deployed")
    current = next(each for each in pipeline.versions if each.uuid == deployment.pipeline_version)
    earlier = next((each for each in pipeline.versions if each.number < current.number and each.steps), None)
    if earlier is None:
        raise Conflict(
            f"pipeline {name!r} has no version before {current.number}",
            fix=f"its versions are in `trivet pipelines {name}`",
            reason="no_earlier_version",
        )
    models = [control.catalog.models.version(step.version) for step in earlier.steps if isinstance(step, ModelStep)]
    return _deploy(
        control,
        pipeline,
        earlier.steps,
        version=earlier.uuid,
        config=config_for(deployment.config.document, models),
        log_inferences=deployment.config.log_inferences,
    )


def undeploy(control: Control, caller: Caller, *, workspace: str, name: str) -> Deployment:
    """Undeploy a pipeline.

    Raises:
        NotFound: there is no such pipeline.
        Conflict: it was never deployed.
    """
    check(caller, Action.DEPLOY, workspace)
    return _undeploy(control, _pipeline(control, workspace, name))


def undeploy_by_id(control: Control, caller: Caller, pipeline_id: int) -> Deployment:
    """Undeploy a pipeline that is named by its id. The errors are those of `undeploy`."""
    check(caller, Action.DEPLOY)
    pipeline = control.catalog.pipelines.by_id(pipeline_id)
    check(caller, Action.DEPLOY, pipeline.workspace_id)
    return _undeploy(control, pipeline)


def delete_pipeline(control: Control, caller: Caller, *, workspace: str, name: str) -> None:
    """Delete a pipeline with all its versions.

    Raises:
        NotFound: there is no such pipeline.
        Conflict: it is deployed.
    """
    check(caller, Action.DELETE_PIPELINE, workspace)
    found = control.catalog.workspaces.get(workspace)
    control.catalog.pipelines.delete(found.id, name)
    control.wake_supervisor()
    control.add_event(
        workspace_id=found.id, subject="pipeline", subject_id=name, kind="deleted", text=f"pipeline {name}"
    )


def _pipeline(control: Control, workspace: str | int, name: str) -> Pipeline:
    return control.catalog.pipelines.get(control.catalog.workspaces.get(workspace).id, name)


def _deploy(
    control: Control,
    pipeline: Pipeline,
    steps: tuple[PipelineStep, ...],
    *,
    config: dict[str, Any],
    log_inferences: bool,
    version: str | None = None,
    may_load: bool = False,
) -> tuple[PipelineVersion, Deployment]:
    """Deploy the steps of a version, or steps that become a new one."""
    models = check_steps(control, steps, may_load=may_load)
    read = read_config(config, models, log_inferences=log_inferences, gpus=len(control.devices))
    if not control.settings.stand_in:
        check_machine(config, control.machine)
    new_steps = steps if version is None else None
    made, deployment = control.catalog.deployments.deploy(pipeline.id, version=version, steps=new_steps, config=read)
    control.wake_supervisor()
    _add_event(control, deployment, "deploy", f"pipeline {pipeline.name}, version {made.number}, is to run")
    return made, deployment


def _undeploy(control: Control, pipeline: Pipeline) -> Deployment:
    if control.catalog.deployments.of(pipeline.id) is None:
        raise Conflict(f"Pipeline {pipeline.name} is not deployed", fix="deploy it first", reason="not_deployed")
    deployment = control.catalog.deployments.undeploy(pipeline.id)
    control.wake_supervisor()
    _add_event(control, deployment, "undeploy", f"pipeline {pipeline.name} is to stop")
    return deployment


def _add_event(control: Control, deployment: Deployment, kind: str, text: str) -> None:
    control.add_event(
        workspace_id=deployment.workspace_id,
        subject="deployment",
        subject_id=str(deployment.id),
        kind=kind,
        text=text,
    )


def _deployed_models(control: Control, deployment: Deployment | None) -> list[ModelVersion]:
    """The model versions of a deployment."""
    if deployment is None:
        return []
    steps = control.catalog.pipelines.version(deployment.pipeline_version).steps
    return [control.catalog.models.version(step.version) for step in steps if isinstance(step, ModelStep)]
