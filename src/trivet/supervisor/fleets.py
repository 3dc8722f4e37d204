"""All fleets: the workers of each step of each deployment."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from trivet.domain.routes import WorkerEnded
from trivet.loading.steps import Work
from trivet.supervisor.desired import DesiredFleet, deployment_of
from trivet.supervisor.fleet import Fleet, FleetRules
from trivet.supervisor.states import FleetState
from trivet.workers.launcher import Launcher, RunningWorker
from trivet.workers.spec import WorkerSpec

__all__ = ["Fleets"]

log = logging.getLogger(__name__)


class Fleets:
    """Starts, watches and ends fleets. Call it in the event loop's thread; no method waits for a worker.

    Args:
        launcher: starts workers.
        on_change: called whenever `states` may have changed.
        on_ended: called with each worker that ended unexpectedly, and its deployment.
        rules: how failures are handled.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        on_change: Callable[[], None],
        on_ended: Callable[[int, WorkerEnded], None],
        rules: FleetRules | None = None,
    ) -> None:
        self._launcher = launcher
        self._on_change = on_change
        self._on_ended = on_ended
        self._rules = rules or FleetRules()
        self._fleets: dict[str, Fleet] = {}
        self._ending: dict[asyncio.Task[None], int] = {}

    @property
    def states(self) -> dict[str, FleetState]:
        """Every fleet that is not ending, by key."""
        return {key: fleet.state for key, fleet in self._fleets.items()}

    @property
    def ending(self) -> frozenset[int]:
        """Deployments with a worker that is still ending."""
        return frozenset(self._ending.values())

    def adopt(self, key: str, worker: RunningWorker) -> None:
        """Take over a worker that an earlier supervisor started; `start` or `stop` decides about its fleet later."""
        self._fleet(key).adopt(worker)

    def start(self, desired: DesiredFleet, work: Work) -> None:
        """Start a fleet with its adopted workers, or retry its failed ones at once."""

        @contextmanager
        def granted() -> Iterator[WorkerSpec]:
            with work() as spec:
                yield replace(spec, resources=desired.resources, workers=desired.count, fleet=desired.key)

        self._fleet(desired.key).start(granted, count=desired.count, generation=desired.generation)

    def resize(self, key: str, count: int) -> None:
        """Change the number of workers."""
        self._fleets[key].resize(count)

    def stop(self, key: str) -> None:
        """End a fleet; its workers finish their current calls."""
        fleet = self._fleets.pop(key)
        task = asyncio.create_task(fleet.stop(), name=f"end {key}")
        self._ending[task] = deployment_of(key)
        task.add_done_callback(self._ended)

    async def close(self, *, leave: bool) -> None:
        """End all workers; with `leave` only those that another supervisor cannot adopt."""
        for key, state in self.states.items():
            if not (leave and state.ready):
                self.stop(key)
        if self._ending:
            await asyncio.wait(list(self._ending))

    def _fleet(self, key: str) -> Fleet:
        if key not in self._fleets:
            deployment_id = deployment_of(key)
            self._fleets[key] = Fleet(
                self._launcher,
                rules=self._rules,
                on_change=self._on_change,
                on_ended=lambda end: self._on_ended(deployment_id, end),
            )
        return self._fleets[key]

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._ending[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("a fleet failed to end", exc_info=task.exception())
        self._on_change()
