"""Use cases: pipelines and their deployments."""

from collections.abc import Sequence

from trivet.control.context import Control
from trivet.control.request_bodies import CheckStepBody, Deploy
from trivet.control.use_cases.deployment_config import read_config
from trivet.control.use_cases.models import schemas_of
from trivet.domain.deployment import Deployment
from trivet.domain.names import check_name
from trivet.domain.pipeline import CheckStep, ModelStep, Pipeline, PipelineStep, PipelineVersion, Validation
from trivet.domain.step_fit import check_fit
from trivet.domain.version import ModelVersion
from trivet.errors import Conflict, Invalid, NotFound

__all__ = ["build_pipeline", "check_steps", "delete_pipeline", "deploy", "deployed_models", "undeploy"]


def build_pipeline(control: Control, *, workspace: str, name: str) -> tuple[Pipeline, bool]:
    """A pipeline by its name, made if it is not there.

    Returns:
        The pipeline, and whether it is new.
    """
    check_name(name)
    workspace_id = control.catalog.workspaces.get(workspace).id
    try:
        return control.catalog.pipelines.get(workspace_id, name), False
    except NotFound:
        pass
    try:
        return control.catalog.pipelines.create(workspace_id, name), True
    except Conflict:
        # Somebody else was faster.
        return control.catalog.pipelines.get(workspace_id, name), False


def deploy(control: Control, *, workspace: str, name: str, body: Deploy) -> tuple[PipelineVersion, Deployment]:
    """Want a pipeline running, with new steps or those of an earlier version.

    Raises:
        NotFound: there is no such pipeline, model version, configuration or pipeline version.
        Conflict: a version is not ready, or one step does not fit the next.
        Invalid: no steps, or a configuration or validation that cannot be.
    """
    workspace_id = control.catalog.workspaces.get(workspace).id
    pipeline = control.catalog.pipelines.get(workspace_id, name)
    if (body.steps is None) == (body.version is None):
        raise Invalid("a deploy has steps, or the version of an earlier deploy", fix="give one of the two")
    if body.version is not None:
        earlier = control.catalog.pipelines.version(body.version)
        if earlier.pipeline_id != pipeline.id:
            raise NotFound(f"Pipeline version {body.version} not found in this workspace.", fix="see its versions")
        steps: tuple[PipelineStep, ...] = earlier.steps
    else:
        steps = _steps(control, body)
    models = check_steps(control, steps)
    config = read_config(body.config, models, log_inferences=body.log_inferences)
    if body.version is not None:
        result = control.catalog.deployments.deploy(pipeline.id, version=body.version, config=config)
    else:
        result = control.catalog.deployments.deploy(pipeline.id, steps=steps, config=config)
    control.poke()
    made, deployment = result
    _tell(control, deployment, "deploy", f"pipeline {pipeline.name}, version {made.number}, is to run")
    return result


def undeploy(control: Control, *, workspace: str, name: str) -> Deployment:
    """Want a pipeline stopped.

    Raises:
        NotFound: there is no such pipeline.
        Conflict: it was never deployed.
    """
    pipeline = control.catalog.pipelines.get(control.catalog.workspaces.get(workspace).id, name)
    if control.catalog.deployments.of(pipeline.id) is None:
        raise Conflict(f"Pipeline {name} is not deployed", fix="deploy it first", reason="not_deployed")
    deployment = control.catalog.deployments.undeploy(pipeline.id)
    control.poke()
    _tell(control, deployment, "undeploy", f"pipeline {pipeline.name} is to stop")
    return deployment


def delete_pipeline(control: Control, *, workspace: str, name: str) -> None:
    """Delete a pipeline with all its versions.

    Raises:
        NotFound: there is no such pipeline.
        Conflict: it is deployed.
    """
    found = control.catalog.workspaces.get(workspace)
    control.catalog.pipelines.delete(found.id, name)
    control.poke()
    control.tell(workspace_id=found.id, subject="pipeline", subject_id=name, kind="deleted", text=f"pipeline {name}")


def _tell(control: Control, deployment: Deployment, kind: str, text: str) -> None:
    control.tell(
        workspace_id=deployment.workspace_id,
        subject="deployment",
        subject_id=str(deployment.id),
        kind=kind,
        text=text,
    )


def deployed_models(control: Control, deployment: Deployment | None) -> list[ModelVersion]:
    """The model versions that a deployment wants."""
    if deployment is None:
        return []
    steps = control.catalog.pipelines.version(deployment.pipeline_version).steps
    return [control.catalog.models.version(step.version) for step in steps if isinstance(step, ModelStep)]


def _steps(control: Control, body: Deploy) -> tuple[PipelineStep, ...]:
    steps: list[PipelineStep] = []
    for each in body.steps or ():
        if isinstance(each, CheckStepBody):
            validations = tuple(Validation(name=one.name, expression=one.expression) for one in each.validations)
            steps.append(CheckStep(validations=validations))
            continue
        version = control.catalog.models.version(each.version)
        if each.config_id is not None and control.catalog.models.config(each.config_id).version_id != version.id:
            raise NotFound(
                f"configuration {each.config_id} is not one of {version.name!r}", fix="configure the version"
            )
        steps.append(ModelStep(name=version.name, version=version.uuid, sha=version.sha, config_id=each.config_id))
    return tuple(steps)


def check_steps(control: Control, steps: Sequence[PipelineStep]) -> list[ModelVersion]:
    """Check that steps can be run one after another.

    Returns:
        Their model versions, in order.
    """
    models: list[ModelVersion] = []
    schemas = []
    for index, step in enumerate(steps):
        if isinstance(step, CheckStep):
            if not models:
                raise Invalid(
                    "validations have no step before them", fix="add the model's step first", path=f"steps[{index}]"
                )
            for validation in step.validations:
                _check_validation(control, validation, path=f"steps[{index}]")
            continue
        version = control.catalog.models.version(step.version)
        config = None if step.config_id is None else control.catalog.models.config(step.config_id)
        inputs, outputs = schemas_of(version, config)
        models.append(version)
        schemas.append((version.name, inputs, outputs))
    if not models:
        raise Invalid("a pipeline without a model has nothing to run", fix="add a model step", path="steps")
    check_fit(schemas)
    return models


def _check_validation(control: Control, validation: Validation, *, path: str) -> None:
    if not validation.name or validation.name == "count":
        raise Invalid(
            f"{validation.name!r} is no name for a validation",
            why="its column would be anomaly.count, which counts them",
            fix="take another name",
            path=path,
        )
    control.check_expression(validation.expression)
