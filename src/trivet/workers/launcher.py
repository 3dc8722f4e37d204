"""The interface between what runs and where it runs: only a launcher knows where its workers are."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from trivet.domain.routes import WorkerAddress
from trivet.workers.spec import WorkerSpec

__all__ = ["Adopted", "Launcher", "RunningWorker", "Starts"]


class RunningWorker(Protocol):
    """A worker that is ready."""

    @property
    def address(self) -> WorkerAddress:
        """Where it answers, for other processes too."""

    @property
    def pid(self) -> int | None:
        """The process that runs the model, where that is a process of this machine."""

    @property
    def devices(self) -> tuple[str, ...]:
        """See `WorkerSpec`."""

    @property
    def protections(self) -> tuple[str, ...]:
        """What its sandbox holds: see `protections_of`."""

    async def wait(self) -> str:
        """Wait for its end. Returns how it ended, with the last lines of its log."""

    def kill(self) -> None:
        """End it at once, with all that it started."""

    async def stop(self, grace_s: float) -> None:
        """Let it finish its current call within a time, then end it; nothing is left when this returns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """A worker of an earlier process, and its fleet.

    Attributes:
        fleet: see `WorkerSpec`.
    """

    worker: RunningWorker
    fleet: str


class Starts(Protocol):
    """The part of a launcher that a `WorkerSet` needs."""

    async def start(self, spec: WorkerSpec) -> RunningWorker:
        """See `Launcher.start`."""


class Launcher(Protocol):
    """Starts workers. `LauncherContract` in `tests/contract` tests each implementation."""

    async def start(self, spec: WorkerSpec) -> RunningWorker:
        """Start a worker and wait until it is ready. A start that is cancelled leaves nothing behind.

        Raises:
            BadPackage: the package's modules cannot be imported or do not keep their contract.
            ModelFailed: the model's own code raised while it was loaded.
            BadEnvironment: the environment's interpreter does not start.
            Unavailable: the worker died or was not ready in time.
        """

    async def end(self, address: WorkerAddress) -> None:
        """End a worker at once, whichever process started it; nothing of it is left when this returns.

        A worker that has ended, or that another launcher started, is not an error.
        """

    async def lives(self, address: WorkerAddress) -> bool:
        """Whether a worker has not ended.

        The platform does not call it yet: tools that look at workers can, and the contract suite keeps it. The same holds for `logs`.
        """

    async def adopt(self) -> Iterable[Adopted]:
        """Every worker that an earlier process started through such a launcher, and that lives."""

    async def logs(self, address: WorkerAddress) -> str:
        """The last lines that a worker wrote, each indented; empty if it wrote nothing or is not known."""
