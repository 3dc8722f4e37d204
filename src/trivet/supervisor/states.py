"""The actual state for the plan: fleets, prepared steps, and the gateway's report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from trivet.domain.deployment import DeploymentState
from trivet.domain.fault import Fault
from trivet.domain.routes import (
    GatewayReport,
    NativeStep,
    RouteState,
    RouteTable,
    StepKey,
    WorkerAddress,
    WorkerStep,
)
from trivet.supervisor.desired import DesiredFleet, DesiredPipeline, KnownRoute, Memory, fleets_of, known_route
from trivet.supervisor.restarts import WorkerEnds

__all__ = ["FleetState", "NotPrepared", "Observed", "SlotState", "StepState", "Target", "target_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotState:
    """One worker of a fleet, or a place for one.

    Attributes:
        address: of a ready worker.
        status: for display.
        reason: why there is no worker, or none that is expected to last.
        protections: what the sandbox of a ready worker holds.
        ends: unexpected ends of the workers of this place.
    """

    address: WorkerAddress | None = None
    status: DeploymentState = DeploymentState.STARTING
    pid: int | None = None
    reason: str | None = None
    protections: tuple[str, ...] | None = None
    ends: WorkerEnds | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetState:
    """The actual state of a fleet.

    Attributes:
        slots: one for each worker, ready or not.
        fault: why a worker repeatedly failed to start, or ended.
        stuck: why no worker will be ready soon, for clients.
        kept: whether workers that end are replaced. Adopted ones are not, until the fleet is started.
        generation: of the deploy that started it last.
    """

    slots: tuple[SlotState, ...] = ()
    fault: Fault | None = None
    stuck: str | None = None
    kept: bool = True
    generation: int = 0

    @property
    def ready(self) -> tuple[WorkerAddress, ...]:
        """The addresses of ready workers."""
        return tuple(slot.address for slot in self.slots if slot.address is not None)

    @property
    def alive(self) -> bool:
        """Whether a worker answers that does not end again and again."""
        return any(slot.status is DeploymentState.RUNNING for slot in self.slots)


@dataclass(frozen=True, slots=True)
class NotPrepared:
    """A step that failed to prepare, and the generation for which that was tried."""

    fault: Fault
    generation: int


StepState: TypeAlias = NativeStep | WorkerStep | NotPrepared


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """The actual state.

    Attributes:
        fleets: by key.
        ending: deployments with a worker that is still ending.
        prepared: steps that are prepared, or failed to.
        report: of the gateway; None while it is unreachable.
        table: the newest that was offered; None before the first.
        memory: from the last plan.
    """

    fleets: Mapping[str, FleetState] = field(default_factory=dict)
    ending: frozenset[int] = frozenset()
    prepared: Mapping[StepKey, StepState] = field(default_factory=dict)
    report: GatewayReport | None = None
    table: RouteTable | None = None
    memory: Memory = field(default_factory=Memory)

    @property
    def confirmed(self) -> bool:
        """Whether the report is about the newest table."""
        return self.report is not None and self.table is not None and self.report.number == self.table.number

    @property
    def states(self) -> tuple[RouteState, ...]:
        """The gateway's states by deployment; empty while it is unreachable."""
        return () if self.report is None else self.report.states

    def state(self, deployment_id: int) -> RouteState | None:
        """The gateway's state of one deployment."""
        return next((state for state in self.states if state.deployment_id == deployment_id), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The route and fleets of one desired pipeline, and how complete they are.

    Attributes:
        route: its route, when all its steps are prepared.
        fleets: those that it needs, as far as known.
        fault: why it cannot run, or not with all its workers.
        complete: whether every fleet has all its workers.
        alive: whether every fleet is alive.
    """

    desired: DesiredPipeline
    route: KnownRoute | None
    fleets: tuple[DesiredFleet, ...]
    fault: Fault | None
    complete: bool
    alive: bool

    @property
    def deployment_id(self) -> int:
        """Its deployment."""
        return self.desired.deployment_id

    @property
    def digest(self) -> str | None:
        """The digest of its route."""
        return None if self.route is None else self.route.route.digest


def target_of(desired: DesiredPipeline, observed: Observed) -> Target:
    """What a desired comes to at the moment."""
    steps: dict[StepKey, NativeStep | WorkerStep] = {}
    needed: dict[str, DesiredFleet] = {}
    fault: Fault | None = None
    for fleet in fleets_of(desired):
        if fleet is None:
            continue
        made = observed.prepared.get(fleet.step)
        if isinstance(made, NotPrepared):
            # A failure of an earlier deploy is about to be retried, so it is not this deploy's fault.
            fault = fault or (made.fault if made.generation >= desired.generation else None)
        elif made is not None:
            steps[fleet.step] = made
            if isinstance(made, WorkerStep):
                needed[fleet.key] = fleet
    whole = all((step.version, step.config_id) in steps for step in desired.models)
    states = {key: observed.fleets.get(key, FleetState()) for key in needed}
    faults = [state.fault for key, state in states.items() if state.generation >= needed[key].generation]
    return Target(
        desired=desired,
        route=known_route(desired, steps) if whole else None,
        fleets=tuple(needed.values()),
        fault=fault or next((each for each in faults if each is not None), None),
        complete=whole and all(len(states[key].ready) >= fleet.count for key, fleet in needed.items()),
        alive=all(state.alive for state in states.values()),
    )
