"""Workers that another process started: how the engine reaches them, has them ended, and learns of their end."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from trivet.domain.routes import WorkerAddress, WorkerEnded

__all__ = ["RemoteWorker", "RemoteWorkers", "answers"]

# Less than a pool waits for an ending, so that it can still say what was seen.
REPORT_WAIT_S = 1.5
CONNECT_S = 1.0


class RemoteWorker:
    """A worker that the supervisor started; see `trivet.engine.links.Worker`. Belongs to the event loop's thread.

    Args:
        address: where it answers.
        end: has its supervisor end it.
    """

    def __init__(self, address: WorkerAddress, *, end: Callable[[WorkerAddress], None]) -> None:
        self.address = address
        self._end = end
        self._ending = ""
        self._reported = asyncio.Event()

    async def wait(self) -> str:
        """Wait for the supervisor to report its end. Where no report comes, an end is seen as a location that refuses."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reported.wait(), REPORT_WAIT_S)
            if self._reported.is_set():
                return self._ending
            if not await answers(self.address):
                return "its process ended; the model's log says more"

    def ended(self, ending: str) -> None:
        """The supervisor reported how it ended."""
        self._ending = ending
        self._reported.set()

    def kill(self) -> None:
        """Have it ended at once."""
        if not self._reported.is_set():
            self._end(self.address)


class RemoteWorkers:
    """Every worker that some route uses, by its id. Two versions of a pipeline may use the same one.

    Attributes:
        on_end: called with each worker that its supervisor must end.
    """

    def __init__(self) -> None:
        self.on_end: Callable[[WorkerAddress], None] = lambda _: None
        self._workers: WeakValueDictionary[str, RemoteWorker] = WeakValueDictionary()
        self._to_end: dict[str, WorkerAddress] = {}

    @property
    def to_end(self) -> tuple[WorkerAddress, ...]:
        """Workers that must be ended and are not known to have: a supervisor that comes later learns of them, too."""
        return tuple(self._to_end.values())

    def at(self, address: WorkerAddress) -> RemoteWorker:
        """The worker at an address."""
        worker = self._workers.get(address.id)
        if worker is None:
            worker = self._workers[address.id] = RemoteWorker(address, end=self._have_ended)
        return worker

    def listed(self, ids: Iterable[str]) -> None:
        """The newest table lists these workers; what it does not list is seen to by the supervisor."""
        for worker_id in self._to_end.keys() - set(ids):
            del self._to_end[worker_id]

    def ended(self, report: WorkerEnded) -> None:
        """Pass on how a worker ended, if a route still uses it.

        Callers see no lines of its log, which may quote the rows of others.
        """
        self._to_end.pop(report.id, None)
        worker = self._workers.get(report.id)
        if worker is not None:
            worker.ended(report.ending.partition(";")[0])

    def _have_ended(self, address: WorkerAddress) -> None:
        self._to_end[address.id] = address
        self.on_end(address)


async def answers(address: WorkerAddress) -> bool:
    """Whether something listens at a worker's location."""
    location = urlsplit(address.location)
    try:
        async with asyncio.timeout(CONNECT_S):
            if location.scheme == "grpc+unix":
                _, writer = await asyncio.open_unix_connection(location.path)
            else:
                _, writer = await asyncio.open_connection(location.hostname, location.port)
    except (OSError, ValueError, TimeoutError):
        return False
    writer.close()
    return True
