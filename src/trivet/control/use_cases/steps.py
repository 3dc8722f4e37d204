"""Steps of a pipeline: taken from a request, and checked one against the next."""

from collections.abc import Sequence

import msgspec

from trivet.control.context import Control
from trivet.control.request_bodies import CheckStepBody, Deploy
from trivet.control.use_cases.models import schemas_of
from trivet.domain.machines import other_machine
from trivet.domain.pipeline import CheckStep, ModelStep, PipelineStep, Validation
from trivet.domain.step_fit import check_fit
from trivet.domain.version import ModelVersion
from trivet.errors import Conflict, Invalid, NotFound

__all__ = ["check_steps", "newest_step", "reconfigured", "steps_of", "validations_of"]


def steps_of(control: Control, body: Deploy) -> tuple[PipelineStep, ...]:
    """The steps that a deploy asks for.

    Raises:
        NotFound: there is no such model version or configuration.
    """
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


def newest_step(control: Control, version_uuid: str) -> ModelStep:
    """A step that runs a model version with its newest configuration.

    Raises:
        NotFound: there is no such version.
    """
    version = control.catalog.models.version(version_uuid)
    config_id = None if version.config is None else version.config.id
    return ModelStep(name=version.name, version=version.uuid, sha=version.sha, config_id=config_id)


def reconfigured(
    control: Control, steps: tuple[PipelineStep, ...], config_ids: Sequence[int]
) -> tuple[PipelineStep, ...]:
    """Steps under other configurations of the same model versions.

    Raises:
        NotFound: there is no such configuration.
    """
    by_version = {}
    for config_id in config_ids:
        config = control.catalog.models.config(config_id)
        by_version[control.catalog.models.version(config.version_id).uuid] = config.id
    return tuple(
        msgspec.structs.replace(step, config_id=by_version[step.version])
        if isinstance(step, ModelStep) and step.version in by_version
        else step
        for step in steps
    )


def check_steps(control: Control, steps: Sequence[PipelineStep], *, may_load: bool = False) -> list[ModelVersion]:
    """Check that steps can be run one after another.

    Args:
        control: the parts.
        steps: in order.
        may_load: whether a model may still be loading. Then the gateway checks the fit of the steps when it loads them.

    Returns:
        Their model versions, in order.
    """
    models: list[ModelVersion] = []
    schemas = []
    loading = False
    for index, step in enumerate(steps):
        if isinstance(step, CheckStep):
            if not models:
                raise Invalid(
                    "validations have no step before them", fix="add the model's step first", path=f"steps[{index}]"
                )
            for validation in step.validations:
                _check_name(validation, path=f"steps[{index}]")
            continue
        version = control.catalog.models.version(step.version)
        _check_machine(control, version)
        config = None if step.config_id is None else control.catalog.models.config(step.config_id)
        models.append(version)
        if may_load and not version.status.is_final:
            loading = True
            continue
        inputs, outputs = schemas_of(version, config)
        schemas.append((version.name, inputs, outputs))
    if not models:
        raise Invalid("a pipeline without a model has nothing to run", fix="add a model step", path="steps")
    if loading:
        control.check_validations(validations_of(steps), {})
        return models
    check_fit(schemas)
    (_, inputs, _), (_, _, outputs) = schemas[0], schemas[-1]
    kinds = {f"in.{field.name}": field.type for field in inputs} | {
        f"out.{field.name}": field.type for field in outputs
    }
    control.check_validations(validations_of(steps), kinds)
    return models


def _check_machine(control: Control, version: ModelVersion) -> None:
    """Refuse a version that is built for another kind of machine, or was not tried because of that."""
    built_for = other_machine(version.arch, version.accel, control.machine)
    loaded = version.loaded
    untried = loaded is not None and loaded.is_untried
    if not untried and (built_for is None or control.settings.stand_in):
        return
    if control.settings.stand_in or built_for is None:
        why, fix = "it was not tried when it was uploaded", "upload it again"
    else:
        why = f"this machine has {control.machine}"
        fix = (
            "deploy it on a platform on a machine of that kind. To run it here all the same, start the platform with "
            "TRIVET_STAND_IN=true"
        )
        fix += ", and upload it again" if untried else ""
    kind = built_for or "another machine"
    raise Conflict(
        f"model {version.name!r} version {version.number} is built for {kind}", why=why, fix=fix, reason="other_machine"
    )


def validations_of(steps: Sequence[PipelineStep]) -> list[Validation]:
    """All validations of a pipeline."""
    return [each for step in steps if isinstance(step, CheckStep) for each in step.validations]


def _check_name(validation: Validation, *, path: str) -> None:
    if not validation.name or validation.name == "count":
        raise Invalid(
            f"{validation.name!r} is not a name for a validation",
            why="its column would be anomaly.count, which counts them",
            fix="choose another name",
            path=path,
        )
