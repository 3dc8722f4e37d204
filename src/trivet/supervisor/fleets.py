"""All fleets: for each step of a deployment that runs in workers, the workers that run it."""

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
    """Starts, watches and ends fleets. Belongs to the event loop's thread; nothing here waits for a worker.

    Args:
        launcher: starts workers.
        on_change: called whenever `states` may have something new to say.
        on_ended: told of each worker that ended unasked, and of which deployment it was.
        rules: how failures are met.
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
        """Every fleet that is not about to end, by key."""
        return {key: fleet.state for key, fleet in self._fleets.items()}

    @property
    def ending(self) -> frozenset[int]:
        """Deployments of which some worker is still about to end."""
        return frozenset(self._ending.values())

    def adopt(self, key: str, worker: RunningWorker) -> None:
        """Take a worker that an earlier supervisor started; `start` or `stop` will say what becomes of its fleet."""
        self._fleet(key).adopt(worker)

    def start(self, wish: DesiredFleet, work: Work) -> None:
        """Start a fleet, take over the workers that were adopted for it, or try again at once what failed."""

        @contextmanager
        def granted() -> Iterator[WorkerSpec]:
            with work() as spec:
                yield replace(spec, resources=wish.resources, workers=wish.count, fleet=wish.key)

        self._fleet(wish.key).start(granted, count=wish.count, generation=wish.generation)

    def resize(self, key: str, count: int) -> None:
        """Have another number of workers."""
        self._fleets[key].resize(count)

    def stop(self, key: str) -> None:
        """End a fleet; its workers finish the call at hand."""
        fleet = self._fleets.pop(key)
        task = asyncio.create_task(fleet.stop(), name=f"end {key}")
        self._ending[task] = deployment_of(key)
        task.add_done_callback(self._ended)

    async def close(self, *, leave: bool) -> None:
        """End everything; with `leave` only what is not ready to be adopted by another supervisor."""
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
                on_ended=lambda told: self._on_ended(deployment_id, told),
            )
        return self._fleets[key]

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._ending[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("a fleet did not end well", exc_info=task.exception())
        self._on_change()
