"""Workers that another process started: how the engine reaches them, ends them, and hears of their end."""

import asyncio
import contextlib
import os
import signal
from weakref import WeakValueDictionary

from trivet.disk.processes import started_at
from trivet.domain.routes import WorkerAddress, WorkerEnded

__all__ = ["RemoteWorker", "RemoteWorkers"]

OBITUARY_WAIT_S = 2.0


class RemoteWorker:
    """A worker that the supervisor started; see `trivet.engine.links.Worker`. Belongs to the event loop's thread.

    Args:
        at: where it listens, and the process that ends it.
    """

    def __init__(self, at: WorkerAddress) -> None:
        self.id = at.id
        self.address = at.address
        self._at = at
        self._obituary = ""
        self._told = asyncio.Event()

    async def obituary(self) -> str:
        """What the supervisor tells of its end. Should nobody tell within two seconds: what can be seen from here."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), OBITUARY_WAIT_S)
        if self._told.is_set():
            return self._obituary
        if self._lives():
            return "its connection broke, and its process has not ended"
        return "its process ended; the model's log says more"

    def ended(self, obituary: str) -> None:
        """The supervisor told how it ended."""
        self._obituary = obituary
        self._told.set()

    def _lives(self) -> bool:
        return started_at(self._at.pid) == self._at.started

    def kill(self) -> None:
        """End it at once, if its process is still the one that it was."""
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(self._at.pid)
            try:
                # From here on the number cannot go to another process unnoticed.
                if self._lives():
                    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            finally:
                os.close(descriptor)


class RemoteWorkers:
    """Every worker that some route uses, by its id. Two versions of a pipeline may use the same one."""

    def __init__(self) -> None:
        self._workers: WeakValueDictionary[str, RemoteWorker] = WeakValueDictionary()

    def at(self, address: WorkerAddress) -> RemoteWorker:
        """The worker at an address."""
        worker = self._workers.get(address.id)
        if worker is None:
            worker = self._workers[address.id] = RemoteWorker(address)
        return worker

    def ended(self, told: WorkerEnded) -> None:
        """Pass on how a worker ended, if any route still cares."""
        worker = self._workers.get(told.id)
        if worker is not None:
            worker.ended(told.obituary)
