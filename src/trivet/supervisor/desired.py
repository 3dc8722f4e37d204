"""The desired state, its routes and fleets, and the memory that survives a restart."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from trivet.domain.deployment import DeploymentConfig, Resources
from trivet.domain.encoding import encode
from trivet.domain.fault import Fault
from trivet.domain.pipeline import CheckStep, ModelStep, PipelineStep
from trivet.domain.routes import (
    NativeStep,
    Route,
    RouteStep,
    RouteTable,
    StepKey,
    ValidationStep,
    WorkerAddress,
    WorkerStep,
)

__all__ = [
    "DesiredFleet",
    "DesiredPipeline",
    "DesiredState",
    "KnownRoute",
    "Memory",
    "Stopping",
    "deployment_of",
    "fleets_of",
    "known_route",
    "memory_of_table",
    "with_workers",
]

DIGEST_DIGITS = 32


class DesiredPipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline version that is to run.

    Attributes:
        generation: of the deployment; each deploy makes a new one, even for the same version.
    """

    deployment_id: int
    workspace_id: int
    pipeline: str
    pipeline_version: str
    generation: int
    steps: tuple[PipelineStep, ...]
    config: DeploymentConfig = DeploymentConfig()

    @property
    def models(self) -> tuple[ModelStep, ...]:
        """Its steps that run a model."""
        return tuple(step for step in self.steps if isinstance(step, ModelStep))


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment that is to stop."""

    deployment_id: int
    generation: int


class DesiredState(msgspec.Struct, frozen=True, kw_only=True):
    """All desired deployments."""

    running: tuple[DesiredPipeline, ...] = ()
    stopped: tuple[Stopping, ...] = ()


class DesiredFleet(msgspec.Struct, frozen=True, kw_only=True):
    """The workers that are to run one step of a deployment.

    Attributes:
        key: names the fleet: the same deployment, version, configuration and resources are the same fleet, so that a deploy
            that does not change these keeps its workers. It starts with the deployment's id.
        count: the number of workers.
        generation: of the newest deploy that needs them.
    """

    key: str
    deployment_id: int
    name: str
    version: str
    config_id: int | None
    resources: Resources
    count: int
    generation: int

    @property
    def step(self) -> StepKey:
        """The step that they run."""
        return self.version, self.config_id


class KnownRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that is or was offered.

    Attributes:
        route: its isolated steps have no workers here.
        fleets: of each of its steps, None for a step that needs none; None for all if it is only known from the gateway's
            file: its workers are then those in the route.
    """

    route: Route
    fleets: tuple[DesiredFleet | None, ...] | None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor must know after a restart, so that it does not disturb serving routes.

    Attributes:
        routes: those that the gateway may use, by digest.
        serving: by deployment, the route that answered requests last.
        offered: by deployment, the route in the newest table.
        failed: why offers could not be loaded, by digest.
    """

    routes: dict[str, KnownRoute] = {}
    serving: dict[int, str] = {}
    offered: dict[int, str] = {}
    failed: dict[str, Fault] = {}


def fleets_of(desired: DesiredPipeline) -> tuple[DesiredFleet | None, ...]:
    """For each step the fleet that it needs if it runs in workers; None for validations."""
    return tuple(_fleet(desired, step) if isinstance(step, ModelStep) else None for step in desired.steps)


def deployment_of(key: str) -> int:
    """The deployment of a fleet, from the fleet's key."""
    return int(key.partition("-")[0])


def known_route(desired: DesiredPipeline, prepared: Mapping[StepKey, NativeStep | WorkerStep]) -> KnownRoute:
    """The route of a desired pipeline whose steps are all prepared."""
    steps: list[RouteStep] = []
    fleets: list[DesiredFleet | None] = []
    for step, fleet in zip(desired.steps, fleets_of(desired), strict=True):
        if isinstance(step, CheckStep):
            steps.append(ValidationStep(validations=step.validations))
            fleets.append(None)
            continue
        made = prepared[step.version, step.config_id]
        if isinstance(made, NativeStep):
            cpus = desired.config.engine.cpus
            made = made if cpus is None else msgspec.structs.replace(made, threads=max(1, math.ceil(cpus)))
            fleets.append(None)
        else:
            fleets.append(fleet)
        steps.append(made)
    return KnownRoute(
        route=Route(
            deployment_id=desired.deployment_id,
            pipeline=desired.pipeline,
            workspace_id=desired.workspace_id,
            pipeline_version=desired.pipeline_version,
            # A new deploy of a failed version is tried again, so each generation has its own route.
            digest=_digest([desired.deployment_id, desired.generation, desired.pipeline_version, steps, fleets]),
            steps=tuple(steps),
            log_inferences=desired.config.log_inferences,
        ),
        fleets=tuple(fleets),
    )


def with_workers(
    known: KnownRoute, workers: Mapping[str, Sequence[WorkerAddress]], stuck: Mapping[str, str] = MappingProxyType({})
) -> Route:
    """A route with the ready workers of its fleets, and why the fleets in `stuck` have none."""
    if known.fleets is None:
        return known.route
    steps = [
        msgspec.structs.replace(step, workers=tuple(workers.get(fleet.key, ())), stuck=stuck.get(fleet.key))
        if isinstance(step, WorkerStep) and fleet is not None
        else step
        for step, fleet in zip(known.route.steps, known.fleets, strict=True)
    ]
    return msgspec.structs.replace(known.route, steps=tuple(steps))


def memory_of_table(table: RouteTable) -> Memory:
    """The memory from the gateway's file, if the supervisor's is lost: it has the routes, but not their fleets."""
    return Memory(
        routes={route.digest: KnownRoute(route=route, fleets=None) for route in table.routes},
        offered={route.deployment_id: route.digest for route in table.routes},
    )


def _fleet(desired: DesiredPipeline, step: ModelStep) -> DesiredFleet:
    resources = desired.config.sidekicks.get(step.version, Resources())
    digest = _digest([desired.deployment_id, step.version, step.config_id, resources])
    return DesiredFleet(
        key=f"{desired.deployment_id}-{digest}",
        deployment_id=desired.deployment_id,
        name=step.name,
        version=step.version,
        config_id=step.config_id,
        resources=resources,
        count=max(1, desired.config.replicas),
        generation=desired.generation,
    )


def _digest(parts: Iterable[object]) -> str:
    return hashlib.sha256(encode(list(parts))).hexdigest()[:DIGEST_DIGITS]
