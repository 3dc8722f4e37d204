"""Workers that another process started: this process watches and ends them like its own children."""

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from trivet.domain.routes import WorkerAddress
from trivet.workers.ending import Ending
from trivet.workers.log import TRIM_EVERY_S, FileLog
from trivet.workers.records import WorkerRecord, living_records, pid_of, process_lives

__all__ = ["AdoptedWorker", "adopt_workers", "end_process"]


class AdoptedWorker:
    """A running worker of an earlier process. Implements `RunningWorker`; call it in the event loop's thread.

    Attributes:
        address: where it answers.
        pid: the process that runs the model.
        fleet, devices: see `WorkerSpec`.
        protections: what its sandbox holds.
        log: what it writes.

    Raises:
        ProcessLookupError: it has ended.
    """

    def __init__(self, path: Path, record: WorkerRecord) -> None:
        self.address = record.worker
        self.pid = record.model_pid
        self.fleet = record.fleet
        self.devices = record.devices
        self.protections = record.protections
        self._record = record
        self._path = path
        self.log = FileLog(Path(record.log), start=record.log_start)
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        guardian, self._descriptor = _opened(record.worker)
        self._ending = _ending(guardian, self._descriptor, self._end)
        self._loop.add_reader(self._descriptor, self._ended)
        self._trim = self._loop.call_later(TRIM_EVERY_S, self._trim_log)

    async def wait(self) -> str:
        """See `RunningWorker.wait`. Only its parent gets its exit code."""
        await asyncio.shield(self._end)
        how = "ended by Trivet" if self._ending.by_us else "its process ended"
        tail = self.log.tail()
        return f"{how}; its log ends with\n{tail}" if tail else f"{how}; its log is empty"

    def kill(self) -> None:
        """See `RunningWorker.kill`."""
        self._ending.kill()

    async def stop(self, grace_s: float) -> None:
        """See `RunningWorker.stop`."""
        await self._ending.stop(grace_s)

    def _ended(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._trim.cancel()
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self._record.folder, ignore_errors=True)
        self._end.set_result(None)

    def _trim_log(self) -> None:
        self.log.trim()
        self._trim = self._loop.call_later(TRIM_EVERY_S, self._trim_log)


def adopt_workers(records: Path) -> list[AdoptedWorker]:
    """Every live worker in a folder of records. The records of ended workers are removed."""
    found = []
    for path, record in living_records(records):
        try:
            found.append(AdoptedWorker(path, record))
        except ProcessLookupError:
            path.unlink(missing_ok=True)
    return found


async def end_process(worker: WorkerAddress) -> None:
    """End a worker that is known by its address only. Returns when its process has ended; a worker that is gone is not an error."""
    loop = asyncio.get_running_loop()
    try:
        guardian, descriptor = _opened(worker)
    except ProcessLookupError:
        return
    end: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _set, end)
    try:
        await _ending(guardian, descriptor, end).stop(0)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _set(end: asyncio.Future[None]) -> None:
    # The descriptor stays readable until its reader is removed.
    if not end.done():
        end.set_result(None)


def _ending(guardian: int, descriptor: int, end: asyncio.Future[None]) -> Ending:
    def send(number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)

    return Ending(guardian, send=send, runs=lambda: not end.done(), end=end)


def _opened(worker: WorkerAddress) -> tuple[int, int]:
    """A worker's guardian: its pid, and a descriptor that still names this process if its number is reused.

    Raises:
        ProcessLookupError: it has ended, or the address is of another launcher.
    """
    pid = pid_of(worker)
    if pid is None:
        raise ProcessLookupError(worker.id)
    descriptor = os.pidfd_open(pid)
    if not process_lives(worker):
        os.close(descriptor)
        raise ProcessLookupError(pid)
    return pid, descriptor
