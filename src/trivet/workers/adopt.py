"""Workers that an earlier supervisor started: watched and ended as if they were our own children."""

import asyncio
import contextlib
import os
import shutil
import signal
from pathlib import Path

from trivet.domain.routes import WorkerAddress
from trivet.workers.log import FileLog
from trivet.workers.records import WorkerRecord, lives, living_records

__all__ = ["AdoptedWorker", "adopt_workers"]

_EXIT_WAIT_S = 2.0
_HARD_KILL_S = 8.0
_TRIM_EVERY_S = 30.0


class AdoptedWorker:
    """A worker that runs already; see `RunningWorker`. Belongs to the event loop's thread.

    Attributes:
        address: where its Flight server listens.
        pid: the process that runs the model.
        fleet: whose worker it is.

    Raises:
        ProcessLookupError: it has ended.
    """

    def __init__(self, path: Path, record: WorkerRecord) -> None:
        self.address = record.worker.address
        self.pid = record.model_pid
        self.fleet = record.fleet
        self._record = record
        self._path = path
        self._log = FileLog(Path(record.log), start=record.log_start)
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[int] = self._loop.create_future()
        self._ended_by_us = False
        self._hard_kill: asyncio.TimerHandle | None = None
        self._descriptor = os.pidfd_open(record.worker.pid)
        # From here on the number cannot go to another process unnoticed.
        if not lives(record.worker):
            os.close(self._descriptor)
            raise ProcessLookupError(record.worker.pid)
        self._loop.add_reader(self._descriptor, self._ended)
        self._trim = self._loop.call_later(_TRIM_EVERY_S, self._trim_log)

    def address_value(self) -> WorkerAddress:
        """Where it is, for other processes."""
        return self._record.worker

    async def wait(self) -> int:
        """Wait for its end. Its exit code is its parent's to know: 0 stands for any."""
        return await asyncio.shield(self._end)

    async def obituary(self) -> str:
        """What is known of its end, with the last lines of its log. Waits two seconds at most for the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._end), _EXIT_WAIT_S)
        if not self._end.done():
            how = "its connection broke, and its process has not ended"
        else:
            how = "ended by Trivet" if self._ended_by_us else "its process ended"
        tail = self._log.tail()
        return f"{how}; its log ends with\n{tail}" if tail else f"{how}; its log is empty"

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self._end.done():
            return
        self._ended_by_us = True
        self._send(signal.SIGTERM)
        if self._hard_kill is None:
            self._hard_kill = self._loop.call_later(_HARD_KILL_S, self._send, signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """Let it finish the call at hand for so long, then end it; nothing is left when this returns."""
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
                # It leads a group of its own.
                os.killpg(self._record.worker.pid, number)
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
        self._end.set_result(0)

    def _trim_log(self) -> None:
        self._log.trim()
        self._trim = self._loop.call_later(_TRIM_EVERY_S, self._trim_log)


def adopt_workers(records: Path) -> list[AdoptedWorker]:
    """Every worker below a folder of records that lives. Records of those that do not are removed."""
    found = []
    for path, record in living_records(records):
        try:
            found.append(AdoptedWorker(path, record))
        except ProcessLookupError:
            path.unlink(missing_ok=True)
    return found
