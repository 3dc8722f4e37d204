"""A launcher whose workers are no processes: it keeps `LauncherContract`, so that tests of what uses launchers may rely on it."""

import asyncio
import itertools
from dataclasses import dataclass, field

from trivet.domain.routes import WorkerAddress
from trivet.errors import ModelFailed
from trivet.workers import Adopted, WorkerSpec

__all__ = ["InProcessLauncher", "InProcessWorkers"]


@dataclass
class _State:
    """A worker, however many launchers know of it."""

    address: WorkerAddress
    number: int
    fleet: str
    devices: tuple[str, ...]
    log: str
    ending: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class InProcessWorkers:
    """What is there, for all launchers of a test.

    Attributes:
        failing: names of models that cannot be loaded.
        hanging: names of models that load for ever.
        tries: how many starts there were.
        failing_after: starts after so many fail.
    """

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.hanging: set[str] = set()
        self.states: dict[str, _State] = {}
        self.numbers = itertools.count(1)
        self.tries = 0
        self.failing_after: int | None = None


class InProcessWorker:
    """Keeps `RunningWorker`."""

    def __init__(self, state: _State) -> None:
        self.address = state.address
        self.pid = state.number
        self.devices = state.devices
        self.protections = ()
        self._state = state

    async def wait(self) -> str:
        await self._state.ended.wait()
        return self._state.ending

    def kill(self) -> None:
        self.die("ended by Trivet")

    def die(self, how: str) -> None:
        """End, as a process ends by itself."""
        if not self._state.ended.is_set():
            self._state.ending = f"{how}; its log ends with\n{self._state.log}"
            self._state.ended.set()

    async def stop(self, grace_s: float) -> None:
        self.kill()


class InProcessLauncher:
    """Keeps `Launcher`.

    Args:
        workers: what is there.
        log: what each worker writes.
    """

    def __init__(self, workers: InProcessWorkers, *, log: str = "") -> None:
        self._workers = workers
        self._log = log

    async def start(self, spec: WorkerSpec) -> InProcessWorker:
        self._workers.tries += 1
        fails = self._workers.failing_after is not None and self._workers.tries > self._workers.failing_after
        await asyncio.sleep(0)
        if spec.name in self._workers.hanging:
            await asyncio.Event().wait()
        if fails or spec.name in self._workers.failing:
            raise ModelFailed(f"the model of {spec.name} cannot be loaded", reason="load_failed")
        number = next(self._workers.numbers)
        address = WorkerAddress(
            id=f"w{number}",
            location=f"grpc+unix:///nowhere/{number}",
            handle={"worker": str(number)},
            token=f"{number:032}",
        )
        self._workers.states[address.id] = state = _State(address, number, spec.fleet, spec.devices, self._log)
        return InProcessWorker(state)

    async def end(self, address: WorkerAddress) -> None:
        state = self._of(address)
        if state is not None:
            InProcessWorker(state).kill()

    async def lives(self, address: WorkerAddress) -> bool:
        state = self._of(address)
        return state is not None and not state.ended.is_set()

    async def adopt(self) -> list[Adopted]:
        living = [state for state in self._workers.states.values() if not state.ended.is_set()]
        return [Adopted(worker=InProcessWorker(state), fleet=state.fleet) for state in living]

    async def logs(self, address: WorkerAddress) -> str:
        state = self._of(address)
        return "" if state is None else state.log

    def _of(self, address: WorkerAddress) -> _State | None:
        state = self._workers.states.get(address.id)
        return state if state is not None and state.address.handle == address.handle else None
