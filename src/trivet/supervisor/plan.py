"""Computes the next actions from the desired and the actual state. Pure: no waiting, no clock, no side effects.

Three rules keep predictions available:

- A route is offered when each of its fleets is complete. Then it stays, even if a worker is lost.
- Until then, and if the offer fails, the route that answered last stays in the table.
- A fleet is stopped only when the gateway has confirmed the newest table, which does not need it, and reports no route that
  still uses it. Without a report, nothing is stopped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from trivet.domain.deployment import DeploymentStatus
from trivet.domain.fault import Fault
from trivet.domain.routes import Route, RouteState, RouteTable, StepKey, WorkerAddress
from trivet.supervisor.desired import (
    DesiredFleet,
    DesiredState,
    KnownRoute,
    Memory,
    deployment_of,
    fleets_of,
    with_workers,
)
from trivet.supervisor.states import FleetState, NotPrepared, Observed, Target, target_of
from trivet.supervisor.statuses import status_of, stopped_statuses

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The next actions. Store `memory` before all others.

    Attributes:
        memory: to be stored on disk.
        prepare: steps to prepare, with the generation that needs them.
        start: fleets that are missing, that were adopted, or that failed and are to be retried.
        resize: fleets by key, with their new number of workers.
        stop: keys of fleets to end.
        table: to offer; None if it has not changed.
        statuses: by deployment, if known.
    """

    memory: Memory
    prepare: Mapping[StepKey, int] = field(default_factory=dict)
    start: tuple[DesiredFleet, ...] = ()
    resize: Mapping[str, int] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    table: RouteTable | None = None
    statuses: Mapping[int, DeploymentStatus] = field(default_factory=dict)


def plan(desired: DesiredState, observed: Observed) -> Plan:
    """Compute the next actions. Repeated with their results, it ends with nothing to do.

    Args:
        desired: at most one desired state for each deployment.
        observed: the actual state.
    """
    running = sorted(desired.running, key=lambda each: each.deployment_id)
    targets = [target_of(each, observed) for each in running]
    memory = _learn(observed, targets)
    chosen = {target.deployment_id: _choose(target, memory) for target in targets}
    # The first table waits for the gateway's report: without it, the table might lack a route that serves but is unknown here.
    lost = observed.table is None and observed.report is None
    lost |= any(_serves_unknown(observed, target, memory) and not chosen[target.deployment_id] for target in targets)
    known = [memory.routes[digest] for digest in chosen.values() if digest is not None]
    required = _required(known, targets, chosen, memory)
    counts = _counts(required, observed, memory)
    published, stuck = _published(observed, counts), _stuck(required, observed)
    routes = tuple(with_workers(each, published, stuck) for each in known)
    table = None if lost else _table(routes, observed)
    settled = observed.confirmed and table is None and not lost
    if not lost:
        offered = {deployment_id: digest for deployment_id, digest in chosen.items() if digest is not None}
        memory = msgspec.structs.replace(memory, offered=offered)
    statuses: dict[int, DeploymentStatus] = {}
    if observed.report is not None:
        for target in targets:
            status = status_of(target, observed, refused=_refused(target.digest, memory))
            # While a route serves and the desired one is being prepared, the status does not change: after a restart both may be the same.
            if target.route is not None or status.fault is not None or status.serving is None:
                statuses[target.deployment_id] = status
        if settled:
            statuses |= stopped_statuses(desired.stopped, observed)
    return Plan(
        memory=_forget(memory, observed, targets) if settled else memory,
        prepare=_prepare(targets, required, observed),
        start=_start(required, observed),
        resize=_resize(counts, required, observed, settled=settled),
        stop=_stop(required, desired, observed, memory) if settled else (),
        table=table,
        statuses=statuses,
    )


def _learn(observed: Observed, targets: Sequence[Target]) -> Memory:
    """Add new routes, and the report's states of known ones."""
    memory = observed.memory
    routes = dict(memory.routes)
    for target in targets:
        if target.route is not None and target.digest is not None:
            routes[target.digest] = target.route
    running = {target.deployment_id for target in targets}
    serving = {key: digest for key, digest in memory.serving.items() if key in running}
    failed = dict(memory.failed)
    for state in _reported(observed):
        if state.deployment_id not in running:
            continue
        if state.serving in routes:
            serving[state.deployment_id] = state.serving
            failed.pop(state.serving, None)
        if state.state == "failed" and state.offered is not None and state.fault is not None:
            failed[state.offered] = state.fault
    return msgspec.structs.replace(memory, routes=routes, serving=serving, failed=failed)


def _reported(observed: Observed) -> Iterable[RouteState]:
    """The report, without what the newest table has already withdrawn."""
    if observed.table is None or observed.confirmed:
        return observed.states
    offered = {route.deployment_id for route in observed.table.routes}
    return [state for state in observed.states if state.deployment_id in offered]


def _choose(target: Target, memory: Memory) -> str | None:
    """The digest of the route for a deployment in the table."""
    offered = memory.offered.get(target.deployment_id)
    before = memory.serving.get(target.deployment_id)
    if before not in memory.routes:
        # Keep a route that never answered only while it still may.
        before = offered if offered in memory.routes and _refused(offered, memory) is None else None
    if target.digest is None:
        return before
    if _refused(target.digest, memory) is not None:
        return target.digest if before is None or _refused(before, memory) is not None else before
    if target.complete or target.digest in (before, offered):
        return target.digest
    return before


def _refused(digest: str | None, memory: Memory) -> Fault | None:
    return None if digest is None else memory.failed.get(digest)


def _serves_unknown(observed: Observed, target: Target, memory: Memory) -> bool:
    state = observed.state(target.deployment_id)
    return state is not None and state.serving is not None and state.serving not in memory.routes


def _required(
    known: Iterable[KnownRoute], targets: Iterable[Target], chosen: Mapping[int, str | None], memory: Memory
) -> dict[str, DesiredFleet]:
    """The fleets that are to run: those of the table's routes, and those of routes still to be offered."""
    fleets = [fleet for route in known for fleet in route.fleets or () if fleet is not None]
    for target in targets:
        given_up = _refused(target.digest, memory) is not None and chosen[target.deployment_id] != target.digest
        if not given_up:
            fleets.extend(target.fleets)
    required: dict[str, DesiredFleet] = {}
    for fleet in fleets:
        other = required.get(fleet.key, fleet)
        required[fleet.key] = msgspec.structs.replace(
            fleet, count=max(fleet.count, other.count), generation=max(fleet.generation, other.generation)
        )
    return required


def _used(observed: Observed, memory: Memory) -> tuple[list[DesiredFleet], set[int]]:
    """Fleets that the gateway needs, and deployments of which it uses an unknown route."""
    fleets: list[DesiredFleet] = []
    unknown: set[int] = set()
    for state in observed.states:
        for digest in {*state.using, *([] if state.serving is None else [state.serving])}:
            route = memory.routes.get(digest)
            if route is None or route.fleets is None:
                unknown.add(state.deployment_id)
            else:
                fleets.extend(fleet for fleet in route.fleets if fleet is not None)
    return fleets, unknown


def _counts(required: Mapping[str, DesiredFleet], observed: Observed, memory: Memory) -> dict[str, int]:
    """The number of workers for each required fleet: not fewer than any route has that still uses it."""
    counts = {key: fleet.count for key, fleet in required.items()}
    for fleet in _used(observed, memory)[0]:
        if fleet.key in counts:
            counts[fleet.key] = max(counts[fleet.key], fleet.count)
    return counts


def _published(observed: Observed, counts: Mapping[str, int]) -> dict[str, tuple[WorkerAddress, ...]]:
    """The ready workers of each fleet, without those that are about to end."""
    return {
        key: replace(state, slots=state.slots[: counts.get(key, len(state.slots))]).ready
        for key, state in observed.fleets.items()
    }


def _stuck(required: Mapping[str, DesiredFleet], observed: Observed) -> dict[str, str]:
    """Why clients need not wait for the fleets that have no worker, and will have none soon."""
    found: dict[str, str] = {}
    for key, fleet in required.items():
        state, made = observed.fleets.get(key), observed.prepared.get(fleet.step)
        if state is not None and state.kept:
            why = None if state.ready else state.stuck
        else:
            why = made.fault.what if isinstance(made, NotPrepared) else None
        if why is not None:
            found[key] = why
    return found


def _table(routes: tuple[Route, ...], observed: Observed) -> RouteTable | None:
    if observed.table is not None and observed.table.routes == routes:
        return None
    return RouteTable(number=1 if observed.table is None else observed.table.number + 1, routes=routes)


def _prepare(targets: Iterable[Target], required: Mapping[str, DesiredFleet], observed: Observed) -> dict[StepKey, int]:
    """Steps that are not prepared yet, or that failed for an earlier generation."""
    needed = [
        ((step.version, step.config_id), target.desired.generation)
        for target in targets
        for step in target.desired.models
    ]
    # A route that keeps serving while the desired one cannot run may also need its workers started.
    needed += [(fleet.step, fleet.generation) for fleet in required.values()]
    missing: dict[StepKey, int] = {}
    for key, generation in needed:
        made = observed.prepared.get(key)
        if made is None or (isinstance(made, NotPrepared) and made.generation < generation):
            missing[key] = max(generation, missing.get(key, 0))
    return missing


def _start(required: Mapping[str, DesiredFleet], observed: Observed) -> tuple[DesiredFleet, ...]:
    return tuple(
        fleet
        for key, fleet in sorted(required.items())
        if fleet.step in observed.prepared
        and not isinstance(observed.prepared[fleet.step], NotPrepared)
        and _is_to_start(fleet, observed.fleets.get(key))
    )


def _is_to_start(fleet: DesiredFleet, state: FleetState | None) -> bool:
    if state is None or not state.kept:
        return True
    return state.fault is not None and state.generation < fleet.generation


def _resize(
    counts: Mapping[str, int], required: Mapping[str, DesiredFleet], observed: Observed, *, settled: bool
) -> dict[str, int]:
    """A fleet grows at once. It shrinks when the gateway has confirmed the table without the removed workers."""
    sizes = {}
    for key, count in counts.items():
        state = observed.fleets.get(key)
        if state is None or _is_to_start(required[key], state) or count == len(state.slots):
            continue
        if count > len(state.slots) or settled:
            sizes[key] = count
    return sizes


def _stop(
    required: Mapping[str, DesiredFleet], desired: DesiredState, observed: Observed, memory: Memory
) -> tuple[str, ...]:
    used, unknown = _used(observed, memory)
    # A step that is not prepared yet may need its fleet, which exists if it was adopted.
    pending = [
        fleet
        for each in desired.running
        for fleet in fleets_of(each)
        if fleet is not None and fleet.step not in observed.prepared
    ]
    kept = {fleet.key for fleet in (*required.values(), *used, *pending)}
    return tuple(key for key in sorted(observed.fleets) if key not in kept and deployment_of(key) not in unknown)


def _forget(memory: Memory, observed: Observed, targets: Sequence[Target]) -> Memory:
    """Drop routes that are not needed, when no table is on its way to the gateway."""
    if any(target.route is None for target in targets):
        # After a restart, their routes may be known, and known to have failed.
        return memory
    used = {digest for state in observed.states for digest in state.using}
    needed = {*memory.serving.values(), *memory.offered.values(), *used}
    kept = needed | {target.digest for target in targets if target.digest is not None}
    return msgspec.structs.replace(
        memory,
        routes={digest: route for digest, route in memory.routes.items() if digest in needed},
        failed={digest: fault for digest, fault in memory.failed.items() if digest in kept},
    )
