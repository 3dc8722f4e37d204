"""Use case: what runs, as an operator looks at it."""

from dataclasses import dataclass
from typing import Literal

from trivet.control.context import Control
from trivet.domain.access import Action, Caller, check
from trivet.domain.deployment import Deployment, DeploymentState
from trivet.domain.frameworks import Runtime
from trivet.domain.pipeline import ModelStep, Pipeline, PipelineVersion
from trivet.domain.statistics import PipelineStatistics
from trivet.domain.version import ModelVersion
from trivet.errors import NotFound

__all__ = ["LiveStep", "PipelineReport", "list_reports"]

State = Literal["Running", "Starting", "Error", "Stopping", "not deployed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveStep:
    """A step of the version that answers, or is to.

    Attributes:
        number: the model version's.
        runs: `native` or `isolated`.
    """

    model: str
    number: int
    uuid: str
    runs: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineReport:
    """A pipeline, what runs of it, and how it does.

    Attributes:
        version: the one that answers; where none does, the one that is to. None if it is not deployed.
        steps: of that version.
        statistics: None if it is not deployed, or the gateway does not answer.
    """

    pipeline: Pipeline
    deployment: Deployment | None
    state: State
    version: PipelineVersion | None = None
    steps: tuple[LiveStep, ...] = ()
    statistics: PipelineStatistics | None = None


def list_reports(
    control: Control, caller: Caller, *, workspace: str, pipeline: str | None = None
) -> list[PipelineReport]:
    """The pipelines of a workspace by name, or one of them.

    Raises:
        NotFound: there is no such workspace or pipeline.
    """
    check(caller, Action.VIEW, workspace)
    catalog = control.catalog
    workspace_id = catalog.workspaces.get(workspace).id
    found = catalog.pipelines.all(workspace_id) if pipeline is None else [catalog.pipelines.get(workspace_id, pipeline)]
    deployments = {each.pipeline_id: each for each in catalog.deployments.all()}
    measured = {each.pipeline: each for each in control.statistics() or () if each.workspace_id == workspace_id}
    known: dict[str, ModelVersion | None] = {}
    return [
        _report(control, each, deployments.get(each.id), measured=measured.get(each.name), known=known)
        for each in found
    ]


def _report(
    control: Control,
    pipeline: Pipeline,
    deployment: Deployment | None,
    *,
    measured: PipelineStatistics | None,
    known: dict[str, ModelVersion | None],
) -> PipelineReport:
    state = _state(deployment)
    if deployment is None or state == "not deployed":
        return PipelineReport(pipeline=pipeline, deployment=deployment, state=state)
    uuid = deployment.status.serving or deployment.pipeline_version
    version = next((each for each in pipeline.versions if each.uuid == uuid), None)
    steps = [step for step in (() if version is None else version.steps) if isinstance(step, ModelStep)]
    return PipelineReport(
        pipeline=pipeline,
        deployment=deployment,
        state=state,
        version=version,
        steps=tuple(made for step in steps if (made := _live_step(control, step, deployment, known)) is not None),
        statistics=measured,
    )


def _state(deployment: Deployment | None) -> State:
    if deployment is None:
        return "not deployed"
    status = deployment.status
    current = status.generation >= deployment.generation
    if deployment.wanted == "stopped":
        return "not deployed" if current and status.state is DeploymentState.STOPPED else "Stopping"
    match status.state if current else DeploymentState.STARTING:
        case DeploymentState.RUNNING:
            return "Running"
        case DeploymentState.ERROR:
            return "Error"
        case _:
            return "Starting"


def _live_step(
    control: Control, step: ModelStep, deployment: Deployment, known: dict[str, ModelVersion | None]
) -> LiveStep | None:
    """A step as it runs; None if its version was deleted meanwhile."""
    if step.version not in known:
        try:
            known[step.version] = control.catalog.models.version(step.version)
        except NotFound:
            known[step.version] = None
    version = known[step.version]
    if version is None:
        return None
    has_workers = any(worker.version == step.version for worker in deployment.status.workers)
    runs = Runtime.ISOLATED if has_workers or version.loaded is None else version.loaded.runtime
    return LiveStep(model=version.name, number=version.number, uuid=version.uuid, runs=runs)
