"""What is wanted of the supervisor, what becomes of it as routes and fleets, and what must be known of it after a restart."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

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
    """A pipeline version that shall run.

    Attributes:
        generation: of the deployment; each deploy makes another wish, also one for the same version.
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
    """A deployment that shall not run."""

    deployment_id: int
    generation: int


class DesiredState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is wanted."""

    running: tuple[DesiredPipeline, ...] = ()
    stopped: tuple[Stopping, ...] = ()


class DesiredFleet(msgspec.Struct, frozen=True, kw_only=True):
    """Workers that shall run one step of a deployment.

    Attributes:
        key: names the fleet: the same deployment, version, configuration and resources are the same fleet, so that a deploy
            which leaves these as they are keeps its workers. It begins with the deployment's id.
        count: how many workers.
        generation: of the newest deploy that wants them.
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
        """What they run."""
        return self.version, self.config_id


class KnownRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that is or was offered.

    Attributes:
        route: its isolated steps have no workers here.
        fleets: of each of its steps, None where a step needs none; None for all if it is known from the gateway's file only:
            its workers are then those that are written in the route.
    """

    route: Route
    fleets: tuple[DesiredFleet | None, ...] | None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What must be known after a restart in order not to disturb what serves.

    Attributes:
        routes: all that the gateway may use, by digest.
        serving: by deployment, the route that answered requests last.
        offered: by deployment, the route in the newest table.
        failed: why offers could not be loaded, by digest.
    """

    routes: dict[str, KnownRoute] = {}
    serving: dict[int, str] = {}
    offered: dict[int, str] = {}
    failed: dict[str, Fault] = {}


def fleets_of(wish: DesiredPipeline) -> tuple[DesiredFleet | None, ...]:
    """For each step the fleet that it needs if it turns out to run in workers; None for validations."""
    return tuple(_fleet(wish, step) if isinstance(step, ModelStep) else None for step in wish.steps)


def deployment_of(key: str) -> int:
    """The deployment that a fleet belongs to, by the fleet's key."""
    return int(key.partition("-")[0])


def known_route(wish: DesiredPipeline, prepared: Mapping[StepKey, NativeStep | WorkerStep]) -> KnownRoute:
    """The route of a wish whose steps are all prepared."""
    steps: list[RouteStep] = []
    fleets: list[DesiredFleet | None] = []
    for step, fleet in zip(wish.steps, fleets_of(wish), strict=True):
        if isinstance(step, CheckStep):
            steps.append(ValidationStep(validations=step.validations))
            fleets.append(None)
            continue
        made = prepared[step.version, step.config_id]
        if isinstance(made, NativeStep):
            cpus = wish.config.engine.cpus
            made = made if cpus is None else msgspec.structs.replace(made, threads=max(1, math.ceil(cpus)))
            fleets.append(None)
        else:
            fleets.append(fleet)
        steps.append(made)
    return KnownRoute(
        route=Route(
            deployment_id=wish.deployment_id,
            pipeline=wish.pipeline,
            workspace_id=wish.workspace_id,
            pipeline_version=wish.pipeline_version,
            # A deploy of what failed before is to be tried again: so each generation is a route of its own.
            digest=_digest([wish.deployment_id, wish.generation, wish.pipeline_version, steps, fleets]),
            steps=tuple(steps),
            log_inferences=wish.config.log_inferences,
        ),
        fleets=tuple(fleets),
    )


def with_workers(known: KnownRoute, workers: Mapping[str, Sequence[WorkerAddress]]) -> Route:
    """A route with the workers of its fleets that are ready now."""
    if known.fleets is None:
        return known.route
    steps = [
        msgspec.structs.replace(step, workers=tuple(workers.get(fleet.key, ())))
        if isinstance(step, WorkerStep) and fleet is not None
        else step
        for step, fleet in zip(known.route.steps, known.fleets, strict=True)
    ]
    return msgspec.structs.replace(known.route, steps=tuple(steps))


def memory_of_table(table: RouteTable) -> Memory:
    """What the gateway's own file tells, should the supervisor's be lost: which routes there are, but not of which fleets."""
    return Memory(
        routes={route.digest: KnownRoute(route=route, fleets=None) for route in table.routes},
        offered={route.deployment_id: route.digest for route in table.routes},
    )


def _fleet(wish: DesiredPipeline, step: ModelStep) -> DesiredFleet:
    resources = wish.config.sidekicks.get(step.version, Resources())
    digest = _digest([wish.deployment_id, step.version, step.config_id, resources])
    return DesiredFleet(
        key=f"{wish.deployment_id}-{digest}",
        deployment_id=wish.deployment_id,
        name=step.name,
        version=step.version,
        config_id=step.config_id,
        resources=resources,
        count=max(1, wish.config.replicas),
        generation=wish.generation,
    )


def _digest(parts: Iterable[object]) -> str:
    return hashlib.sha256(encode(list(parts))).hexdigest()[:DIGEST_DIGITS]
