"""What is: fleets, prepared steps, and what the gateway says, as the plan sees them."""

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

__all__ = ["FleetState", "NotPrepared", "Observed", "PreparedRoute", "SlotState", "Target", "target_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotState:
    """One worker of a fleet, or the place of one.

    Attributes:
        address: where it listens, once it is ready.
        status: as people are shown it.
        reason: why there is none.
    """

    address: WorkerAddress | None = None
    status: DeploymentState = DeploymentState.STARTING
    pid: int | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetState:
    """A fleet as it is.

    Attributes:
        slots: as many as workers are kept, ready or not.
        fault: why some worker could not be started, repeatedly.
        kept: whether workers that end are replaced. Those that were adopted are not, until the fleet is started.
        generation: of the wish by which it was started last.
    """

    slots: tuple[SlotState, ...] = ()
    fault: Fault | None = None
    kept: bool = True
    generation: int = 0

    @property
    def ready(self) -> tuple[WorkerAddress, ...]:
        """Of the workers that answer."""
        return tuple(slot.address for slot in self.slots if slot.address is not None)


@dataclass(frozen=True, slots=True)
class NotPrepared:
    """A step that could not be made ready, and for which generation that was tried."""

    fault: Fault
    generation: int


PreparedRoute: TypeAlias = NativeStep | WorkerStep | NotPrepared


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What is.

    Attributes:
        fleets: by key.
        ending: deployments of which some worker is still about to end.
        prepared: steps that are ready to be run, or cannot be.
        report: of the gateway; None while it cannot be reached.
        table: the newest that was offered; None if there was none since the start.
        memory: from the last plan.
    """

    fleets: Mapping[str, FleetState] = field(default_factory=dict)
    ending: frozenset[int] = frozenset()
    prepared: Mapping[StepKey, PreparedRoute] = field(default_factory=dict)
    report: GatewayReport | None = None
    table: RouteTable | None = None
    memory: Memory = field(default_factory=Memory)

    @property
    def confirmed(self) -> bool:
        """Whether the report is about the newest table."""
        return self.report is not None and self.table is not None and self.report.number == self.table.number

    @property
    def states(self) -> tuple[RouteState, ...]:
        """What the gateway said of each deployment; nothing while it cannot be reached."""
        return () if self.report is None else self.report.states

    def state(self, deployment_id: int) -> RouteState | None:
        """What the gateway said of one deployment."""
        return next((state for state in self.states if state.deployment_id == deployment_id), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What one wish comes to at the moment.

    Attributes:
        route: of the wish, once all its steps are prepared.
        fleets: that it needs, as far as is known.
        fault: why it cannot run, or not with all its workers.
        complete: whether every fleet has all its workers.
        alive: whether every fleet has a worker that answers.
    """

    wish: DesiredPipeline
    route: KnownRoute | None
    fleets: tuple[DesiredFleet, ...]
    fault: Fault | None
    complete: bool
    alive: bool

    @property
    def deployment_id(self) -> int:
        """Whose wish it is."""
        return self.wish.deployment_id

    @property
    def digest(self) -> str | None:
        """Of its route."""
        return None if self.route is None else self.route.route.digest


def target_of(wish: DesiredPipeline, observed: Observed) -> Target:
    """What a wish comes to at the moment."""
    steps: dict[StepKey, NativeStep | WorkerStep] = {}
    needed: dict[str, DesiredFleet] = {}
    fault: Fault | None = None
    for fleet in fleets_of(wish):
        if fleet is None:
            continue
        made = observed.prepared.get(fleet.step)
        if isinstance(made, NotPrepared):
            # What failed for an earlier deploy is about to be tried again: nobody who waits for this one is told of that.
            fault = fault or (made.fault if made.generation >= wish.generation else None)
        elif made is not None:
            steps[fleet.step] = made
            if isinstance(made, WorkerStep):
                needed[fleet.key] = fleet
    whole = all((step.version, step.config_id) in steps for step in wish.models)
    states = {key: observed.fleets.get(key, FleetState()) for key in needed}
    faults = [state.fault for key, state in states.items() if state.generation >= needed[key].generation]
    return Target(
        wish=wish,
        route=known_route(wish, steps) if whole else None,
        fleets=tuple(needed.values()),
        fault=fault or next((each for each in faults if each is not None), None),
        complete=whole and all(len(states[key].ready) >= fleet.count for key, fleet in needed.items()),
        alive=all(state.ready for state in states.values()),
    )
