"""Keeps workers running: each one that ends is replaced, with the pauses of `backoff`."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

from trivet.errors import TrivetError, Unavailable
from trivet.workers.backoff import BackoffPolicy, GiveUp, after_end
from trivet.workers.launcher import RunningWorker, Starts
from trivet.workers.spec import WorkerSpec

__all__ = ["Failed", "Pausing", "Ready", "Starting", "Stopped", "WorkerSet", "WorkerState"]


@dataclass(frozen=True, slots=True)
class Starting:
    """It is being started. `error` says why there is none yet, if one was there before; `failed_starts`, how many starts in a row failed."""

    error: TrivetError | None
    failed_starts: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """It answers."""

    worker: RunningWorker


@dataclass(frozen=True, slots=True)
class Pausing:
    """It ended, and is started again after a pause of `delay_s`."""

    error: TrivetError
    delay_s: float
    failed_starts: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """It failed to start so often that it is not tried again."""

    error: TrivetError


@dataclass(frozen=True, slots=True)
class Stopped:
    """It was stopped on purpose."""


WorkerState: TypeAlias = Starting | Ready | Pausing | Failed | Stopped


class WorkerSet:
    """N workers of one model.

    Args:
        launcher: starts them.
        spec: what they run.
        count: how many.
        on_ready: called with each worker that is ready.
        on_gone: called with each of those when it has ended.
        on_state: called whenever a state changes.
        policy: the pauses between restarts.
        grace_s: how long a stopped worker may take for its current call.
        adopted: running workers; only those missing from `count` are started.
        devices: GPUs of all of them, the adopted ones included: each has as many as the spec's resources say.

    Example:
        `async with WorkerSet(launcher, spec, count=2, on_ready=links.add, on_gone=links.remove) as workers: …`
    """

    def __init__(
        self,
        launcher: Starts,
        spec: WorkerSpec,
        *,
        count: int = 1,
        on_ready: Callable[[RunningWorker], None],
        on_gone: Callable[[RunningWorker], None],
        on_state: Callable[[], None] = lambda: None,
        policy: BackoffPolicy | None = None,
        grace_s: float = 0.0,
        adopted: Sequence[RunningWorker] = (),
        devices: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self._launcher = launcher
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._on_state = on_state
        self._policy = policy or BackoffPolicy()
        self._grace_s = grace_s
        self._adopted = list(adopted)
        self._states: list[WorkerState] = [Starting(None)] * max(count, len(self._adopted))
        self._tasks: list[asyncio.Task[None]] = []
        # A worker that is replaced leaves its devices to the next one of its place.
        self._devices = [worker.devices for worker in self._adopted]
        self._share(devices, len(self._states))
        self._leaving: dict[asyncio.Task[None], tuple[str, ...]] = {}

    @property
    def states(self) -> tuple[WorkerState, ...]:
        """Each worker's state."""
        return tuple(self._states)

    @property
    def ready(self) -> int:
        """The number of ready workers."""
        return sum(isinstance(state, Ready) for state in self._states)

    @property
    def stuck(self) -> TrivetError | None:
        """Why no worker will be ready soon: each has failed to start several times in a row. None if that is not so."""
        errors = [self._why_stuck(state) for state in self._states]
        return errors[0] if errors and all(errors) else None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices of its workers, in their order."""
        return tuple(device for each in self._devices for device in each)

    @property
    def leaving_devices(self) -> tuple[str, ...]:
        """The devices of workers that `resize` stopped and that have not ended."""
        return tuple(device for each in self._leaving.values() for device in each)

    async def start(self) -> None:
        """Start all; returns when all are ready. Then they are watched until `stop`.

        If there are adopted workers, it does not wait for the others: one that does not start is retried.

        Raises:
            TrivetError: one did not start at its first attempt, as `Launcher.start` says. None is left then.
        """
        if self._adopted:
            missing = len(self._states) - len(self._adopted)
            self._states[: len(self._adopted)] = [Ready(worker) for worker in self._adopted]
            self._tasks = [self._watch(slot, worker) for slot, worker in enumerate([*self._adopted, *[None] * missing])]
            return
        # Not a TaskGroup: in early releases of Python 3.11 one that fails leaves its task marked as cancelled: later timeouts of the task
        # then count as its cancellation.
        starts = [asyncio.create_task(self._start(slot)) for slot in range(len(self._states))]
        try:
            await asyncio.gather(*starts)
        except BaseException as failure:
            for task in starts:
                task.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await _stop_all([task.result() for task in starts if _succeeded(task)], grace_s=0)
            if isinstance(failure, TrivetError):
                self._states = [Failed(failure)]
            raise
        self._tasks = [self._watch(slot, task.result()) for slot, task in enumerate(starts)]

    def resize(self, count: int, devices: Sequence[str] = ()) -> None:
        """Change the number of workers: starts more, or stops the last ones, without waiting.

        Args:
            count: how many.
            devices: GPUs for all of them, those that they have included.
        """
        for task, given in zip(self._tasks[count:], self._devices[count:], strict=True):
            task.cancel()
            self._leaving[task] = given
            task.add_done_callback(self._left)
        del self._tasks[count:], self._states[count:], self._devices[count:]
        self._share(devices, count)
        for slot in range(len(self._states), count):
            self._states.append(Starting(None))
            self._tasks.append(self._watch(slot, None))
        self._on_state()

    async def stop(self) -> None:
        """End all workers; none is left when this returns."""
        tasks = [*self._tasks, *self._leaving]
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        for slot in range(len(self._states)):
            self._set(slot, Stopped())
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _share(self, devices: Sequence[str], count: int) -> None:
        """Give what is left of the devices to the workers that have none yet."""
        gpus = self.spec.resources.gpus
        left = [device for device in devices if device not in self.devices]
        for first in range(0, gpus * (count - len(self._devices)), gpus or 1):
            self._devices.append(tuple(left[first : first + gpus]))
        self._devices += [()] * (count - len(self._devices))

    async def _start(self, slot: int) -> RunningWorker:
        return await self._launcher.start(replace(self.spec, devices=self._devices[slot]))

    def _left(self, task: asyncio.Task[None]) -> None:
        del self._leaving[task]
        self._on_state()

    def _watch(self, slot: int, first: RunningWorker | None) -> asyncio.Task[None]:
        return asyncio.create_task(self._keep(slot, first), name=f"{self.spec.name}-{slot}")

    async def _keep(self, slot: int, first: RunningWorker | None) -> None:
        """Watch one worker after another until cancelled or given up."""
        loop = asyncio.get_running_loop()
        worker = first
        ends = failed_starts = 0
        while True:
            ready_s: float | None = None
            if worker is not None:
                since = loop.time()
                error: TrivetError = await self._serve(slot, worker)
                ready_s = loop.time() - since
            else:
                try:
                    worker = await self._start(slot)
                    continue
                except TrivetError as failure:
                    error = failure
            worker = None
            decision = after_end(self._policy, ends=ends, failed_starts=failed_starts, ready_s=ready_s)
            if isinstance(decision, GiveUp):
                self._set(slot, Failed(error))
                return
            ends, failed_starts = decision.ends, decision.failed_starts
            self._set(slot, Pausing(error, decision.delay_s, failed_starts))
            await asyncio.sleep(decision.delay_s)
            self._set(slot, Starting(error, failed_starts))

    async def _serve(self, slot: int, worker: RunningWorker) -> TrivetError:
        """Watch one worker until it ends; the error says how."""
        try:
            self._set(slot, Ready(worker))
            self._on_ready(worker)
            return Unavailable(f"the worker of {self.spec.name} died", why=await worker.wait(), reason="worker_died")
        finally:
            self._on_gone(worker)
            await worker.stop(self._grace_s)

    def _why_stuck(self, state: WorkerState) -> TrivetError | None:
        match state:
            case Failed(error):
                return error
            case Starting(error, failed_starts) | Pausing(error, _, failed_starts):
                return error if failed_starts >= self._policy.stuck_after else None
            case _:
                return None

    def _set(self, slot: int, state: WorkerState) -> None:
        self._states[slot] = state
        self._on_state()


def _succeeded(task: asyncio.Task[RunningWorker]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _stop_all(workers: list[RunningWorker], *, grace_s: float) -> None:
    await asyncio.gather(*(worker.stop(grace_s) for worker in workers))
