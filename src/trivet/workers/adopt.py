"""Workers that another process started: this process watches and ends them like its own children."""

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from trivet.domain.routes import WorkerAddress
from trivet.workers.log import FileLog
from trivet.workers.records import WorkerRecord, living_records, pid_of, process_lives

__all__ = ["AdoptedWorker", "adopt_workers", "end_process"]

_HARD_KILL_S = 8.0
_TRIM_EVERY_S = 30.0


class AdoptedWorker:
    """A running worker of an earlier process. Implements `RunningWorker`; call it in the event loop's thread.

    Attributes:
        address: where it answers.
        pid: the process that runs the model.
        fleet, devices: see `WorkerSpec`.
        log: what it writes.

    Raises:
        ProcessLookupError: it has ended.
    """

    def __init__(self, path: Path, record: WorkerRecord) -> None:
        self.address = record.worker
        self.pid = record.model_pid
        self.fleet = record.fleet
        self.devices = record.devices
        self._record = record
        self._path = path
        self.log = FileLog(Path(record.log), start=record.log_start)
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._ended_by_us = False
        self._hard_kill: asyncio.TimerHandle | None = None
        self._guardian, self._descriptor = _opened(record.worker)
        self._loop.add_reader(self._descriptor, self._ended)
        self._trim = self._loop.call_later(_TRIM_EVERY_S, self._trim_log)

    async def wait(self) -> str:
        """See `RunningWorker.wait`. Only its parent gets its exit code."""
        await asyncio.shield(self._end)
        how = "ended by Trivet" if self._ended_by_us else "its process ended"
        tail = self.log.tail()
        return f"{how}; its log ends with\n{tail}" if tail else f"{how}; its log is empty"

    def kill(self) -> None:
        """See `RunningWorker.kill`."""
        if self._end.done():
            return
        self._ended_by_us = True
        self._send(signal.SIGTERM)
        if self._hard_kill is None:
            self._hard_kill = self._loop.call_later(_HARD_KILL_S, self._send, signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """See `RunningWorker.stop`."""
        if not self._end.done() and grace_s > 0:
            self._ended_by_us = True
            self._send(signal.SIGUSR1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._end), grace_s)
        self.kill()
        await self.wait()

    def _send(self, number: signal.Signals) -> None:
        if self._end.done():
            return
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                # It leads its own process group.
                os.killpg(self._guardian, number)
            else:
                signal.pidfd_send_signal(self._descriptor, number)

    def _ended(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._trim.cancel()
        if self._hard_kill is not None:
            self._hard_kill.cancel()
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self._record.folder, ignore_errors=True)
        self._end.set_result(None)

    def _trim_log(self) -> None:
        self.log.trim()
        self._trim = self._loop.call_later(_TRIM_EVERY_S, self._trim_log)


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
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            await asyncio.wait_for(ended.wait(), _HARD_KILL_S)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(guardian, signal.SIGKILL)
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


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
