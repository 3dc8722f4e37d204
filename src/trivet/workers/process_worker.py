"""A worker as a process of this machine, from its start until nothing of it is left."""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from trivet.disk.processes import started_at
from trivet.domain.routes import WorkerAddress
from trivet.errors import Unavailable
from trivet.workers.ending import Ending, kill_group
from trivet.workers.events import (
    OVER_MEMORY,
    LoadFailed,
    Restricted,
    WorkerEvent,
    WorkerReady,
    check_protocol,
    error_of,
    read_event,
)
from trivet.workers.folders import PrivateFolder
from trivet.workers.log import TRIM_EVERY_S, FileLog, WorkerLog
from trivet.workers.records import WorkerRecord, handle_of, write_record
from trivet.workers.spec import WorkerSpec

__all__ = ["ProcessWorker"]

EXIT_WAIT_S = 2.0


class ProcessWorker:
    """A guardian, and below it the process that runs the model: see `trivet_worker.guardian`. Implements `RunningWorker`.

    Args:
        process: the guardian.
        folder: its private folder.
        log: what it writes.
        location: where it is to listen; a port 0 becomes the one that it gets.
        token: what it asks of each call.
        ca: what its certificate is checked with.
        devices: see `WorkerSpec`.
        records: where it is written down once it is ready; None if it ends with this process.
        on_crash: called with its folder if it ends by itself; by default the folder is removed.

    Attributes:
        address: where it answers, once it is ready.
        pid: the process that runs the model; until it is ready, the guardian's.
        devices: see `WorkerSpec`.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        *,
        folder: PrivateFolder,
        log: WorkerLog | FileLog,
        location: str,
        token: str,
        ca: str = "",
        devices: tuple[str, ...] = (),
        records: Path | None = None,
        on_crash: Callable[[PrivateFolder], None] = PrivateFolder.remove,
    ) -> None:
        self.pid = process.pid
        self.log = log
        self.devices = devices
        self._restricted: Restricted | None = None
        self.address = WorkerAddress(
            id=secrets.token_hex(8),
            location=location,
            handle=handle_of(process.pid, started_at(process.pid) or 0),
            token=token,
            ca=ca,
        )
        self._memory_bytes: int | None = None
        self._record = None if records is None else records / f"{self.address.id}.json"
        self._process = process
        self._folder = folder
        self._on_crash = on_crash
        self._output = asyncio.create_task(self._read_output())
        self._end = asyncio.create_task(self._await_end())
        self._ending = Ending(
            process.pid, send=self._signal_guardian, runs=lambda: process.returncode is None, end=self._end
        )

    @property
    def protections(self) -> tuple[str, ...]:
        """See `RunningWorker.protections`."""
        return () if self._restricted is None else self._restricted.protections

    async def load(self, spec: WorkerSpec, config: bytes) -> None:
        """Send the configuration, and wait until the worker is ready. Raises as `Launcher.start` does.

        Args:
            spec: what it runs.
            config: the same, as the line that a worker reads.
        """
        assert self._process.stdin is not None
        self._memory_bytes = spec.memory_limit
        try:
            async with asyncio.timeout(spec.load_timeout_s):
                with contextlib.suppress(ConnectionError):  # it died: its end is reported below
                    self._process.stdin.write(config)
                    await self._process.stdin.drain()
                event = await self._read_until_ready()
        except TimeoutError:
            self.kill()
            await self.wait()
            raise Unavailable(
                f"the worker of {spec.name} was not ready within {spec.load_timeout_s:g} s",
                why=_last_lines(self.log),
                fix="a model that takes longer to load needs a longer load time limit",
            ) from None
        if event is None:
            raise Unavailable(
                f"the worker of {spec.name} ended while it was loading the model",
                why=await self._ending_soon(),
                fix="fix the cause in its log; model code must not end its process (os._exit); if a library ended it, use another "
                "version of that library or more memory",
                reason="worker_died",
            )
        if isinstance(event, LoadFailed):
            await self._ending_soon()  # the log is complete when the process has ended
            raise error_of(event.error, name=spec.name, adapter=spec.adapter, tail=self.log.tail())
        check_protocol(event, name=spec.name)
        self.pid = event.pid
        if event.port:
            location = self.address.location.rpartition(":")[0]
            self.address = msgspec.structs.replace(self.address, location=f"{location}:{event.port}")
        if self._record is not None:
            await self._record_it(spec, self._record)

    async def wait(self) -> str:
        """See `RunningWorker.wait`."""
        await asyncio.shield(self._end)
        return f"{self._how_it_ended()}; {_last_lines(self.log)}"

    def kill(self) -> None:
        """See `RunningWorker.kill`."""
        self._ending.kill()

    async def stop(self, grace_s: float) -> None:
        """See `RunningWorker.stop`."""
        await self._ending.stop(grace_s)

    async def _record_it(self, spec: WorkerSpec, path: Path) -> None:
        assert isinstance(self.log, FileLog)
        assert self._process.stdin is not None
        record = WorkerRecord(
            worker=self.address,
            model_pid=self.pid,
            fleet=spec.fleet,
            name=spec.name,
            log=str(self.log.path),
            log_start=self.log.start,
            folder=str(self._folder.path),
            devices=self.devices,
            protections=self.protections,
        )
        if write_record(path, record):
            # Another supervisor can adopt it now, so it no longer ends with this process.
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(b"\n")
                await self._process.stdin.drain()

    async def _ending_soon(self) -> str:
        """How it ended. Waits two seconds at most: a process that closed its pipe may run on."""
        try:
            return await asyncio.wait_for(self.wait(), EXIT_WAIT_S)
        except TimeoutError:
            return f"its connection closed, but its process still runs; {_last_lines(self.log)}"

    async def _read_until_ready(self) -> WorkerReady | LoadFailed | None:
        """The event; None if the worker ends before it is ready or has failed."""
        reading = asyncio.create_task(self._read_event())
        try:
            while True:
                await asyncio.wait([reading, self._end], return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    # Its last output is still in the pipe.
                    with contextlib.suppress(TimeoutError):
                        return await asyncio.wait_for(reading, EXIT_WAIT_S)
                    return None
                return reading.result()
        finally:
            reading.cancel()

    async def _read_event(self) -> WorkerReady | LoadFailed | None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            event: WorkerEvent = read_event(line)
            if isinstance(event, Restricted) and self._restricted is None:
                self._restricted = event
            if isinstance(event, (WorkerReady, LoadFailed)):
                return event
        return None

    async def _read_output(self) -> None:
        if isinstance(self.log, FileLog):
            while True:
                await asyncio.sleep(TRIM_EVERY_S)
                await asyncio.to_thread(self.log.trim)
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(65536):
            self.log.feed(data)
        self.log.close()

    async def _await_end(self) -> None:
        try:
            await self._process.wait()
            if isinstance(self.log, WorkerLog):
                # A program that it started, outside of its group, may hold its stderr open.
                await asyncio.wait([self._output], timeout=EXIT_WAIT_S / 2)
        finally:
            if self._record is not None:
                self._record.unlink(missing_ok=True)
            # Whatever remains in the group ends here.
            kill_group(self._process.pid)
            self._output.cancel()
            if self._ending.by_us or self._process.returncode is None:
                self._folder.remove()
            else:
                self._on_crash(self._folder)
            # Closes the pipes; asyncio does so only after all of them have ended.
            self._process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001

    def _signal_guardian(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        assert code is not None
        if self._ending.by_us and code in {0, -signal.SIGKILL, -signal.SIGTERM}:
            return "ended by Trivet"  # with any other code it ended by itself before our signal
        if code == OVER_MEMORY and self._memory_bytes is not None:
            return (
                f"it used more memory than its limit of {self._memory_bytes / 2**20:.0f} MiB, "
                "with its shared memory and the processes that it started"
            )
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"killed by {signal.Signals(-code).name} (signal {-code})"
        except ValueError:
            return f"killed by signal {-code}"


def _last_lines(log: WorkerLog | FileLog) -> str:
    tail = log.tail()
    return f"its log ends with\n{tail}" if tail else "its log is empty"
