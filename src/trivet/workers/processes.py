"""Starting a worker as a process of its own, and being sure of its end."""

import asyncio
import base64
import contextlib
import errno
import math
import os
import secrets
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from trivet.disk.processes import started_at
from trivet.domain.routes import WorkerAddress
from trivet.errors import BadEnvironment, Unavailable
from trivet.workers.events import PROTOCOL, Failed, Ready, WorkerEvent, check_protocol, error_of, read_event
from trivet.workers.folders import PrivateFolder, make_private_folder, sweep_stale_folders, worker_code
from trivet.workers.log import FileLog, LogFile, WorkerLog
from trivet.workers.records import WorkerRecord, write_record
from trivet.workers.spec import WorkerSpec

__all__ = ["Launcher", "ProcessLauncher", "RunningWorker"]

_PROGRAM = "import sys; sys.path.insert(0, {code!r}); from trivet_worker.__main__ import main; main()"
_MAX_EVENT_BYTES = 2**20
_EXIT_WAIT_S = 2.0
_HARD_KILL_S = 8.0
_TRIM_EVERY_S = 30.0

# What a worker sees of the environment: nothing that may be a secret.
_PASSED_ON = frozenset(
    {
        *("LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX"),
        *("LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
        *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
        *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_CPP_MIN_LOG_LEVEL"),
        "ORT_DISABLE_TELEMETRY",
    }
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# A model's libraries tell nobody that they are used, unless the user's own environment says otherwise.
_QUIET = {"ORT_DISABLE_TELEMETRY": "1"}


class RunningWorker(Protocol):
    """A worker that is ready."""

    @property
    def address(self) -> str:
        """Where its Flight server listens: `grpc+unix:///…`."""

    @property
    def pid(self) -> int:
        """The process that runs the model."""

    async def obituary(self) -> str:
        """How it ended, with the last lines of its log. Waits two seconds at most for the end."""

    def kill(self) -> None:
        """End it at once, with all that it started."""

    async def stop(self, grace_s: float) -> None:
        """Let it finish the call at hand for so long, then end it; nothing is left when this returns."""

    async def wait(self) -> int:
        """Wait for its end: an exit code, or the number of a signal, negative."""


class Launcher(Protocol):
    """A way of starting workers."""

    async def start(self, spec: WorkerSpec) -> RunningWorker:
        """Start a worker and wait until it is ready.

        Raises:
            BadPackage: the package's modules cannot be imported or do not keep their contract.
            ModelFailed: the model's own code raised while it was loaded.
            BadEnvironment: the environment's interpreter does not start.
            Unavailable: the worker died or was not ready in time.
        """


class ProcessLauncher:
    """Starts workers as processes of this machine.

    Args:
        environ: this process's environment; a worker is passed a few harmless variables of it.
        temporary: where private folders are made; the system's temporary folder if None.
        lifeline: a pipe that another process holds open. Workers end with that process, and not with this one.
        records: where each worker that is ready is written down, so that it can be adopted; needs a lifeline.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        temporary: Path | None = None,
        lifeline: int | None = None,
        records: Path | None = None,
    ) -> None:
        self._environ = environ
        self._temporary = temporary
        self._lifeline = lifeline
        self._records = records
        sweep_stale_folders(temporary)

    async def start(self, spec: WorkerSpec) -> "ProcessWorker":
        """See `Launcher.start`. A start that is cancelled leaves nothing behind."""
        # The worker starts in a folder of its own. An environment's interpreter is a link, which is not to be followed.
        spec = replace(
            spec,
            python=spec.python.absolute(),
            package_root=spec.package_root.absolute(),
            home=spec.home.absolute(),
        )
        try:
            code = worker_code(spec.home)
            folder = make_private_folder(self._temporary)
        except OSError as error:
            raise _no_place(spec, error) from error
        path = spec.home / "logs" / f"{spec.log_name or spec.name}.log"
        log: WorkerLog | FileLog
        output = asyncio.subprocess.PIPE
        inherited: tuple[int, ...] = ()
        try:
            if self._lifeline is None:
                log = WorkerLog(LogFile(path))
            else:
                log, output = FileLog.opened(path)
                inherited = (self._lifeline, folder.lock)
        except OSError as error:
            folder.remove()
            raise _no_place(spec, error) from error
        try:
            process = await asyncio.create_subprocess_exec(
                spec.python,
                *("-I", "-X", "faulthandler", "-c", _PROGRAM.format(code=str(code))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                limit=_MAX_EVENT_BYTES,
                env=_worker_environ(self._environ, spec, scratch=folder.scratch),
                cwd=folder.scratch,
                start_new_session=True,
                pass_fds=inherited,
            )
        except OSError as error:
            folder.remove()
            raise BadEnvironment(
                f"the interpreter of {spec.name}'s environment does not start",
                why=f"{spec.python}: {error.strerror or error}",
                fix="build the environment again: `trivet env prune`, then serve",
            ) from error
        except BaseException:
            folder.remove()
            raise
        finally:
            if output != asyncio.subprocess.PIPE:
                os.close(output)
        worker = ProcessWorker(process, folder=folder, log=log, records=self._records)
        try:
            await worker.load(spec, lifeline=self._lifeline)
        except BaseException:
            worker.kill()
            await asyncio.shield(worker.wait())
            raise
        return worker


class ProcessWorker:
    """A worker as a process: a guardian, and below it the process that runs the model. See `trivet_worker.guardian`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        *,
        folder: PrivateFolder,
        log: WorkerLog | FileLog,
        records: Path | None = None,
    ) -> None:
        self.pid = process.pid
        self.address = f"grpc+unix://{folder.socket}"
        self.log = log
        self._id = secrets.token_hex(8)
        self._started = started_at(process.pid) or 0
        self._record = None if records is None else records / f"{self._id}.json"
        self._process = process
        self._folder = folder
        self._ended_by_us = False
        self._hard_kill: asyncio.TimerHandle | None = None
        self._output = asyncio.create_task(self._read_output())
        self._end = asyncio.create_task(self._await_end())

    def address_value(self) -> WorkerAddress:
        """Where it is, for other processes."""
        return WorkerAddress(id=self._id, address=self.address, pid=self._process.pid, started=self._started)

    async def load(self, spec: WorkerSpec, *, lifeline: int | None = None) -> None:
        """Say what to run, and wait until the worker is ready. Raises as `Launcher.start` does."""
        assert self._process.stdin is not None
        try:
            async with asyncio.timeout(spec.load_timeout_s):
                with contextlib.suppress(ConnectionError):  # it died: its end is told below
                    self._process.stdin.write(_config_line(spec, self._folder, lifeline))
                    await self._process.stdin.drain()
                event = await self._read_until_ready()
        except TimeoutError:
            self.kill()
            await self.wait()
            raise Unavailable(
                f"the worker of {spec.name} was not ready within {spec.load_timeout_s:g} s",
                why=_ending(self.log),
                fix="a model that takes longer to load needs a longer load time limit",
            ) from None
        if event is None:
            raise Unavailable(
                f"the worker of {spec.name} ended while it was loading the model",
                why=await self.obituary(),
                fix="mend what it did last; a library that ends the process wants other versions of itself or more memory",
                reason="worker_died",
            )
        if isinstance(event, Failed):
            await self.obituary()  # the log is whole when the process has ended
            raise error_of(event.error, name=spec.name, tail=self.log.tail())
        check_protocol(event, name=spec.name)
        self.pid = event.pid
        if self._record is not None:
            assert isinstance(self.log, FileLog)
            record = WorkerRecord(
                worker=self.address_value(),
                model_pid=event.pid,
                fleet=spec.fleet,
                name=spec.name,
                log=str(self.log.path),
                log_start=self.log.start,
                folder=str(self._folder.path),
            )
            if write_record(self._record, record):
                # Now that others can find it, it need not end with this process any more.
                with contextlib.suppress(ConnectionError):
                    self._process.stdin.write(b"\n")
                    await self._process.stdin.drain()

    async def obituary(self) -> str:
        """See `RunningWorker.obituary`."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._end), _EXIT_WAIT_S)
        return f"{self._how_it_ended()}; {_ending(self.log)}"

    def kill(self) -> None:
        """See `RunningWorker.kill`."""
        self._ended_by_us = self._ended_by_us or self._process.returncode is None
        self._tell_guardian(signal.SIGTERM)
        if self._hard_kill is None and not self._end.done():
            self._hard_kill = asyncio.get_running_loop().call_later(_HARD_KILL_S, self._kill_group)

    async def stop(self, grace_s: float) -> None:
        """See `RunningWorker.stop`."""
        self._ended_by_us = self._ended_by_us or self._process.returncode is None
        if grace_s > 0:
            self._tell_guardian(signal.SIGUSR1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._end), grace_s)
        self.kill()
        await self.wait()

    async def wait(self) -> int:
        """See `RunningWorker.wait`."""
        return await asyncio.shield(self._end)

    async def _read_until_ready(self) -> Ready | Failed | None:
        """None if the worker ends before it is ready or has failed."""
        reading = asyncio.create_task(self._read_event())
        try:
            while True:
                await asyncio.wait([reading, self._end], return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    # What it still told lies in the pipe.
                    with contextlib.suppress(TimeoutError):
                        return await asyncio.wait_for(reading, _EXIT_WAIT_S)
                    return None
                return reading.result()
        finally:
            reading.cancel()

    async def _read_event(self) -> Ready | Failed | None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            event: WorkerEvent = read_event(line)
            if isinstance(event, (Ready, Failed)):
                return event
        return None

    async def _read_output(self) -> None:
        if isinstance(self.log, FileLog):
            while True:
                await asyncio.sleep(_TRIM_EVERY_S)
                await asyncio.to_thread(self.log.trim)
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(65536):
            self.log.feed(data)
        self.log.close()

    async def _await_end(self) -> int:
        try:
            code = await self._process.wait()
            if isinstance(self.log, WorkerLog):
                # A program that it started and that escaped may hold its stderr open for ever.
                await asyncio.wait([self._output], timeout=_EXIT_WAIT_S / 2)
            return code
        finally:
            if self._record is not None:
                self._record.unlink(missing_ok=True)
            self._kill_group()
            self._output.cancel()
            if self._hard_kill is not None:
                self._hard_kill.cancel()
            self._folder.remove()
            # Closes the pipes; asyncio does so only once all of them have ended.
            self._process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001

    def _tell_guardian(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _kill_group(self) -> None:
        """The worker leads a session and a group of its own; whatever remains in it ends here."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _how_it_ended(self) -> str:
        if not self._end.done():
            return "its connection broke, and its process has not ended"
        code = self._end.result()
        if self._ended_by_us and code in {0, -signal.SIGKILL, -signal.SIGTERM}:
            return "ended by Trivet"  # with any other code it was faster than we were
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"killed by {signal.Signals(-code).name} (signal {-code})"
        except ValueError:
            return f"killed by signal {-code}"


def _no_place(spec: WorkerSpec, error: OSError) -> Unavailable:
    return Unavailable(
        f"the worker of {spec.name} has no place for its files",
        why=str(error),
        fix="see that there is room, that the user Trivet runs as may write there, and may have enough files open",
        reason="disk_full" if error.errno == errno.ENOSPC else "home_not_writable",
    )


def _ending(log: WorkerLog | FileLog) -> str:
    tail = log.tail()
    return f"its log ends with\n{tail}" if tail else "its log is empty"


def _config_line(spec: WorkerSpec, folder: PrivateFolder, lifeline: int | None) -> bytes:
    config = {
        "protocol": PROTOCOL,
        "socket": str(folder.socket),
        "package_root": str(spec.package_root),
        "adapter": spec.adapter,
        "entry": {role: {"file": entry.file, "name": entry.name} for role, entry in spec.entry.items()},
        "files": dict(spec.files),
        "input_schema": base64.b64encode(spec.input_schema.serialize()).decode(),
        "output_schema": base64.b64encode(spec.output_schema.serialize()).decode(),
        "scratch": str(folder.scratch),
        "memory_bytes": spec.resources.memory_bytes or spec.memory_bytes,
        "open_files": spec.open_files,
        "lifeline": lifeline,
        "lock": None if lifeline is None else folder.lock,
    }
    return msgspec.json.encode(config) + b"\n"


def _worker_environ(environ: Mapping[str, str], spec: WorkerSpec, *, scratch: Path) -> dict[str, str]:
    """What a worker sees: what is harmless, what its deployment adds, and last what Trivet sets for its own reasons."""
    passed = {name: value for name, value in environ.items() if name in _PASSED_ON}
    # Left alone each worker starts one thread a core, and they spin while they wait: two cores then answer half as many requests.
    shared = dict.fromkeys(_THREADS, str(max(1, ((os.cpu_count() or 1) - 1) // spec.workers)))
    granted = {}
    if spec.resources.cpus is not None:
        granted = dict.fromkeys(_THREADS, str(max(1, math.ceil(spec.resources.cpus))))
    folders = [str(spec.python.parent), environ.get("PATH", os.defpath)]
    own = {"PATH": os.pathsep.join(folders), "HOME": str(scratch), "TMPDIR": str(scratch)}
    return _QUIET | shared | passed | granted | spec.resources.env | own
