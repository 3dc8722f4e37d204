"""All fleets: the workers of each step of each deployment."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from trivet.domain.fault import Fault
from trivet.domain.routes import WorkerEnded
from trivet.loading.steps import Work
from trivet.supervisor.desired import DesiredFleet, deployment_of
from trivet.supervisor.fleet import Fleet, FleetRules
from trivet.supervisor.placement import not_enough, place
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
        devices: the machine's GPUs.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        on_change: Callable[[], None],
        on_ended: Callable[[int, WorkerEnded], None],
        rules: FleetRules | None = None,
        devices: tuple[str, ...] = (),
    ) -> None:
        self._launcher = launcher
        self._on_change = on_change
        self._on_ended = on_ended
        self._rules = rules or FleetRules()
        self._devices = devices
        self._fleets: dict[str, Fleet] = {}
        self._desired: dict[str, DesiredFleet] = {}
        self._ending: dict[asyncio.Task[None], tuple[int, Fleet]] = {}

    @property
    def states(self) -> dict[str, FleetState]:
        """Every fleet that is not ending, by key."""
        return {key: fleet.state for key, fleet in self._fleets.items()}

    @property
    def ending(self) -> frozenset[int]:
        """Deployments with a worker that is still ending."""
        return frozenset(deployment_id for deployment_id, _ in self._ending.values())

    def adopt(self, key: str, worker: RunningWorker) -> None:
        """Take over a worker that an earlier supervisor started; `start` or `stop` decides about its fleet later."""
        self._fleet(key).adopt(worker)

    def start(self, desired: DesiredFleet, work: Work) -> None:
        """Start a fleet with its adopted workers, or retry its failed ones at once.

        A fleet for which GPUs are missing has a fault that says so, until a later call finds enough of them.
        """

        @contextmanager
        def granted() -> Iterator[WorkerSpec]:
            with work() as spec:
                yield replace(spec, resources=desired.resources, workers=desired.count, fleet=desired.key)

        fleet = self._fleet(desired.key)
        self._desired[desired.key] = desired
        devices = self._placed(desired)
        if devices is None:
            fault = Fault.of(not_enough(desired, self._devices))
            fleet.refuse(fault, count=desired.count, generation=desired.generation)
        else:
            fleet.start(granted, count=desired.count, generation=desired.generation, devices=devices)

    def resize(self, key: str, count: int) -> None:
        """Change the number of workers. A fleet for which GPUs are missing says so and stays as it is."""
        fleet = self._fleets[key]
        desired = msgspec.structs.replace(self._desired[key], count=count)
        devices = self._placed(desired)
        if devices is None:
            fault = Fault.of(not_enough(desired, self._devices))
            fleet.refuse(fault, count=count, generation=fleet.state.generation)
        else:
            self._desired[key] = desired
            fleet.resize(count, devices)

    def stop(self, key: str) -> None:
        """End a fleet; its workers finish their current calls."""
        fleet = self._fleets.pop(key)
        self._desired.pop(key, None)
        task = asyncio.create_task(fleet.stop(), name=f"end {key}")
        self._ending[task] = deployment_of(key), fleet
        task.add_done_callback(self._ended)

    async def close(self, *, leave: bool) -> None:
        """End all workers; with `leave` only those that another supervisor cannot adopt."""
        for key, state in self.states.items():
            if not (leave and state.ready):
                self.stop(key)
        if self._ending:
            await asyncio.wait(list(self._ending))

    def _placed(self, desired: DesiredFleet) -> tuple[str, ...] | None:
        """The GPUs of a fleet's workers; None if there are not enough."""
        running = {key: fleet.devices for key, fleet in self._fleets.items()}
        ending = [fleet for _, fleet in self._ending.values()]
        used = {device for fleet in (*self._fleets.values(), *ending) for device in fleet.used_devices}
        free = [device for device in self._devices if device not in used]
        return place([desired], free, running).get(desired.key)

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
