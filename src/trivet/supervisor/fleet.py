"""One fleet: starts, restarts, resizes and ends the workers of one step, without blocking its caller."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from trivet.domain.deployment import DeploymentState
from trivet.domain.fault import Fault
from trivet.domain.pauses import doubling_s
from trivet.domain.routes import WorkerEnded
from trivet.errors import Internal, TrivetError
from trivet.loading.restoring_starts import RestoringStarts
from trivet.loading.steps import Work
from trivet.loading.threads import in_thread
from trivet.supervisor.restarts import Restarts
from trivet.supervisor.states import FleetState, SlotState
from trivet.workers.backoff import BackoffPolicy
from trivet.workers.events import reason_for_clients
from trivet.workers.launcher import Launcher, RunningWorker
from trivet.workers.worker_set import Failed, Pausing, Ready, Starting, WorkerSet, WorkerState

__all__ = ["Fleet", "FleetRules"]

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetRules:
    """How failures are handled.

    Attributes:
        policy: of restarts. A deployed model has to recover, so a worker that was ready once is always restarted.
        struggling_s: a pause this long, after about six ends in a row, is reported as an error, until a worker was ready for
            the policy's `healthy_s`.
        first_retry_s: before the first retry of a fleet that failed to start; each further pause is twice as long …
        most_retry_s: … up to this.
        grace_s: how long a worker that is ended may take for its current call.
    """

    policy: BackoffPolicy = field(default_factory=lambda: BackoffPolicy(give_up_after=1_000_000))
    struggling_s: float = 3.0
    first_retry_s: float = 30.0
    most_retry_s: float = 600.0
    grace_s: float = 10.0


class Fleet:
    """The workers of one step. Call it in the event loop's thread.

    Args:
        launcher: starts workers.
        rules: see `FleetRules`.
        on_change: called whenever `state` may have changed.
        on_ended: called with each worker that ended unexpectedly.
    """

    def __init__(
        self,
        launcher: Launcher,
        *,
        rules: FleetRules,
        on_change: Callable[[], None],
        on_ended: Callable[[WorkerEnded], None],
    ) -> None:
        self._launcher = launcher
        self._rules = rules
        self._on_change = on_change
        self._on_ended = on_ended
        self._count = 0
        self._generation = 0
        self._fault: Fault | None = None
        self._adopted: dict[RunningWorker, asyncio.Task[None]] = {}
        self._devices: tuple[str, ...] = ()
        self._workers: WorkerSet | None = None
        # The same, also before its workers are ready and while they end.
        self._live_workers: WorkerSet | None = None
        self._running: asyncio.Task[None] | None = None
        self._again = asyncio.Event()
        self._restarts = Restarts(
            struggling_s=rules.struggling_s, healthy_s=rules.policy.healthy_s, on_change=on_change
        )
        # Workers that are ended on purpose, which are not reported.
        self._dismissed: set[object] = set()
        self._reporting: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> FleetState:
        """Its state."""
        fault, stuck = self._fault, self._stuck
        failure = self._restarts.fault or stuck
        if fault is None and failure is not None:
            fault = Fault.of(failure)
        if self._workers is not None:
            slots = tuple(self._slot(number, state) for number, state in enumerate(self._workers.states))
        else:
            adopted = tuple(_ready(worker) for worker in self._adopted)
            word = DeploymentState.STARTING if self._fault is None else DeploymentState.ERROR
            reason = None if self._fault is None else self._fault.message
            slots = adopted + (SlotState(status=word, reason=reason),) * (self._count - len(adopted))
        return FleetState(
            slots=slots,
            fault=fault,
            stuck=None if stuck is None else reason_for_clients(stuck),
            kept=self._running is not None,
            generation=self._generation,
        )

    @property
    def _stuck(self) -> TrivetError | None:
        if self._workers is not None:
            return self._workers.stuck
        return None if self._fault is None else self._fault.exception()

    @property
    def devices(self) -> tuple[str, ...]:
        """GPUs of its workers; those of a worker that is to be replaced are kept for the next one."""
        return self._devices

    @property
    def used_devices(self) -> frozenset[str]:
        """GPUs that some worker of it may use, also one that is ending."""
        workers = self._live_workers
        live = () if workers is None else (*workers.devices, *workers.leaving_devices)
        adopted = (device for worker in self._adopted for device in worker.devices)
        return frozenset((*self._devices, *adopted, *live))

    def adopt(self, worker: RunningWorker) -> None:
        """Take over a running worker. It is watched, but only replaced after `start`."""
        self._devices += worker.devices
        self._adopted[worker] = asyncio.create_task(self._watch(worker))

    def refuse(self, fault: Fault, *, count: int, generation: int) -> None:
        """Say why no workers are started; those that run go on."""
        if self._running is None:
            self._count = count
        if (fault, generation) != (self._fault, self._generation):
            self._fault, self._generation = fault, generation
            self._on_change()

    def start(self, work: Work, *, count: int, generation: int, devices: tuple[str, ...] = ()) -> None:
        """Start the missing workers. Retry failed ones at once.

        Args:
            work: what they run.
            count: how many workers there are to be.
            generation: of the deploy that needs them.
            devices: GPUs of all of them: see `place`.
        """
        self._generation = generation
        if self._fault is not None:
            self._fault = None
            self._on_change()
        if self._running is None:
            self._count, self._devices = count, devices
            self._running = asyncio.create_task(self._run(work))
        else:
            self.resize(count, devices)
            self._again.set()

    def resize(self, count: int, devices: tuple[str, ...] = ()) -> None:
        """Change the number of workers; the devices are those of all of them."""
        self._count, self._devices = count, devices
        if self._workers is not None:
            self._dismiss(self._workers.states[count:])
            self._workers.resize(count, devices)
            self._devices = self._workers.devices
            self._fault = None

    async def stop(self) -> None:
        """End all workers; none is left when this returns."""
        if self._workers is not None:
            self._dismiss(self._workers.states)
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._restarts.close()
        for watching in self._adopted.values():
            watching.cancel()
        await asyncio.gather(*(worker.stop(self._rules.grace_s) for worker in self._adopted))
        self._adopted.clear()
        if self._reporting:
            await asyncio.wait(self._reporting)

    async def _run(self, work: Work) -> None:
        failures = 0
        while True:
            self._again.clear()
            try:
                await self._keep_workers(work)
            except TrivetError as error:
                self._fault = Fault.of(error)
            except Exception as error:
                log.exception("failed to start a fleet")
                self._fault = Fault.of(Internal("failed to start the workers", why=f"{type(error).__name__}: {error}"))
            self._on_change()
            pause_s = doubling_s(failures, first_s=self._rules.first_retry_s, most_s=self._rules.most_retry_s)
            try:
                async with asyncio.timeout(pause_s):
                    await self._again.wait()
                failures = 0
                self._fault = None
                self._on_change()
            except TimeoutError:
                failures += 1

    async def _keep_workers(self, work: Work) -> None:
        """From the start to the end of all workers. Raises TrivetError if they cannot be started."""
        async with in_thread(work()) as spec:
            for watching in self._adopted.values():
                watching.cancel()
            adopted, self._adopted = list(self._adopted), {}
            count = self._count
            self._live_workers = workers = WorkerSet(
                RestoringStarts(self._launcher, work),
                spec,
                count=count,
                on_ready=lambda _: self._on_change(),
                on_gone=self._gone,
                on_state=self._changed,
                policy=self._rules.policy,
                grace_s=self._rules.grace_s,
                adopted=adopted,
                devices=self._devices,
            )
            try:
                self._workers = workers if adopted else None
                await workers.start()
                self._workers, self._fault = workers, None
                if count != self._count:
                    self.resize(self._count, self._devices)
                self._on_change()
                await asyncio.Event().wait()
            finally:
                self._workers = None
                await workers.stop()
                self._live_workers = None

    def _changed(self) -> None:
        if self._workers is not None:
            self._restarts.follow(self._workers.states)
        self._on_change()

    def _slot(self, place: int, state: WorkerState) -> SlotState:
        struggles = self._restarts.struggles(place)
        match state:
            case Ready(worker):
                slot = _ready(worker)
                if struggles is not None:
                    # It answers meanwhile, but it is not expected to last.
                    slot = replace(slot, status=DeploymentState.ERROR, reason=struggles.message)
            case Starting(error) | Pausing(error) | Failed(error) if error is not None:
                failed = struggles is not None or self._stuck is not None
                slot = SlotState(
                    status=DeploymentState.ERROR if failed else DeploymentState.STARTING, reason=error.message
                )
            case _:
                slot = SlotState()
        return replace(slot, ends=self._restarts.ends(place))

    def _dismiss(self, states: tuple[WorkerState, ...]) -> None:
        self._dismissed.update(state.worker for state in states if isinstance(state, Ready))

    def _gone(self, worker: RunningWorker) -> None:
        if worker in self._dismissed:
            self._dismissed.discard(worker)
            return
        reporting = asyncio.create_task(self._report_end(worker))
        self._reporting.add(reporting)
        reporting.add_done_callback(self._reporting.discard)

    async def _report_end(self, worker: RunningWorker) -> None:
        self._on_ended(WorkerEnded(id=worker.address.id, ending=await worker.wait()))

    async def _watch(self, worker: RunningWorker) -> None:
        await worker.wait()
        del self._adopted[worker]
        self._on_change()
        await self._report_end(worker)


def _ready(worker: RunningWorker) -> SlotState:
    return SlotState(
        address=worker.address,
        status=DeploymentState.RUNNING,
        pid=worker.pid,
        protections=worker.protections,
    )
