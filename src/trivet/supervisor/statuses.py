"""Computes the status of each deployment. Pure, like the plan."""

from collections.abc import Iterable, Mapping

from trivet.domain.deployment import DeploymentState, DeploymentStatus, WorkerStatus
from trivet.domain.fault import Fault
from trivet.supervisor.desired import DesiredFleet, Stopping, deployment_of
from trivet.supervisor.states import FleetState, Observed, Target

__all__ = ["status_of", "stopped_statuses"]


def status_of(target: Target, observed: Observed, *, refused: Fault | None) -> DeploymentStatus:
    """The status of a deployment that is to run.

    Args:
        target: its route and fleets.
        observed: the actual state, with a report of the gateway.
        refused: why the gateway failed to load it.
    """
    assert observed.report is not None
    state = observed.state(target.deployment_id)
    serves = state is not None and state.serving is not None and state.serving == target.digest
    fault = refused or target.fault
    if serves and target.alive:
        # A worker that cannot be replaced has its own status: the others continue.
        fault = None
    if fault is not None:
        word = DeploymentState.ERROR
    else:
        word = DeploymentState.RUNNING if serves else DeploymentState.STARTING
    return DeploymentStatus(
        state=word,
        generation=target.desired.generation,
        serving=None if state is None else state.serving_version,
        fault=fault,
        gateway=observed.report.gateway,
        workers=tuple(status for fleet in target.fleets for status in _workers(fleet, observed)),
    )


def stopped_statuses(stopping: Iterable[Stopping], observed: Observed) -> Mapping[int, DeploymentStatus]:
    """The statuses of stopped deployments of which nothing is left."""
    left = {state.deployment_id for state in observed.states} | {deployment_of(key) for key in observed.fleets}
    left |= observed.ending
    return {
        each.deployment_id: DeploymentStatus(state=DeploymentState.STOPPED, generation=each.generation)
        for each in stopping
        if each.deployment_id not in left
    }


def _workers(fleet: DesiredFleet, observed: Observed) -> Iterable[WorkerStatus]:
    state = observed.fleets.get(fleet.key, FleetState())
    for number, slot in enumerate(state.slots):
        yield WorkerStatus(
            id=f"{fleet.key}-{number}" if slot.address is None else slot.address.id,
            model=fleet.name,
            version=fleet.version,
            status=slot.status,
            pid=slot.pid,
            reason=slot.reason,
            protections=slot.protections,
            restarts=0 if slot.ends is None else slot.ends.count,
            last_error=None if slot.ends is None else slot.ends.error,
            last_error_at=None if slot.ends is None else slot.ends.at,
        )
