"""The unexpected ends of workers that earlier supervisors have counted."""

from dataclasses import dataclass, field

import msgspec

from trivet.domain.deployment import DeploymentState, DeploymentStatus, WorkerStatus

__all__ = ["EarlierEnds"]


@dataclass(frozen=True, slots=True)
class EarlierEnds:
    """Adds what the catalog had at the start of this supervisor to what this one counts.

    A worker is known by its version and its place among the workers of that version.
    """

    _places: dict[int, dict[tuple[str, int], WorkerStatus]] = field(default_factory=dict)

    def take(self, deployment_id: int, status: DeploymentStatus) -> None:
        """Take a deployment's status as an earlier supervisor wrote it."""
        if status.state is not DeploymentState.STOPPED:
            self._places[deployment_id] = dict(_by_place(status))

    def added_to(self, deployment_id: int, status: DeploymentStatus) -> DeploymentStatus:
        """The status with all ends. A version that the deployment does not have any more is forgotten."""
        earlier = self._places.get(deployment_id)
        if not earlier:
            return status
        if status.state is DeploymentState.STOPPED:
            del self._places[deployment_id]
            return status
        if status.state is DeploymentState.RUNNING:
            versions = {worker.version for worker in status.workers}
            for place in [place for place in earlier if place[0] not in versions]:
                del earlier[place]
        workers = tuple(_with(worker, earlier.get(place)) for place, worker in _by_place(status))
        return msgspec.structs.replace(status, workers=workers)


def _by_place(status: DeploymentStatus) -> list[tuple[tuple[str, int], WorkerStatus]]:
    counts: dict[str, int] = {}
    places = []
    for worker in status.workers:
        number = counts.get(worker.version, 0)
        counts[worker.version] = number + 1
        places.append(((worker.version, number), worker))
    return places


def _with(worker: WorkerStatus, earlier: WorkerStatus | None) -> WorkerStatus:
    if earlier is None or not earlier.restarts:
        return worker
    last = worker if worker.last_error is not None else earlier
    return msgspec.structs.replace(
        worker,
        restarts=worker.restarts + earlier.restarts,
        last_error=last.last_error,
        last_error_at=last.last_error_at,
    )
