"""Trials: each uploaded version is first loaded in its own process, whose crash ends nothing else.

The process reads its job from one JSON line on standard input, and writes its progress as JSON lines to standard output. It
ends when its standard input is closed.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from trivet.domain.encoding import decode, encode
from trivet.domain.fault import Fault
from trivet.domain.package import ModelSettings
from trivet.domain.version import Acceleration, Architecture, LoadedModel
from trivet.errors import DeadlineExceeded, Internal, Unavailable

__all__ = [
    "TRIAL_DIED",
    "ProcessTrials",
    "Report",
    "Stage",
    "TrialFailed",
    "TrialJob",
    "TrialLoaded",
    "TrialMessage",
    "Trials",
]

TRIAL_DIED = "trial_died"

MAX_LINE_BYTES = 1 << 26  # a schema of ten thousand columns is a few megabytes
TAIL_BYTES = 16_384
TAIL_LINES = 20
END_WAIT_S = 2.0


class TrialJob(msgspec.Struct, frozen=True, kw_only=True):
    """The version to load.

    Attributes:
        name: the model's.
        path: the uploaded file; `file_name` is its owner's name for it. A trial that converts the model writes the converted
            file beside it, as `CONVERTED_FILE`.
        flags: the upload's settings.
        arch: the processor that it is built for, and …
        accel: … the accelerator.
        settings: from `settings_to_json`.
        parent: the process that started the trial, which ends with it.
    """

    name: str
    path: str
    file_name: str
    flags: ModelSettings
    arch: Architecture
    accel: Acceleration
    settings: str
    parent: int


class Stage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="doing"):
    """The trial's progress; `done` of `total` if known."""

    stage: str
    detail: str
    done: int | None = None
    total: int | None = None


class TrialLoaded(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="loaded"):
    """The version was loaded and answered."""

    model: LoadedModel


class TrialFailed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """The version cannot be served."""

    fault: Fault


TrialMessage: TypeAlias = Stage | TrialLoaded | TrialFailed
Report: TypeAlias = Callable[[Stage], None]


class Trials(Protocol):
    """Loads versions in a trial."""

    async def run(self, job: TrialJob, *, limit_s: float, load_limit_s: float, report: Report) -> LoadedModel:
        """Try one. Cancelling it ends the trial with all that it started.

        Args:
            job: what.
            limit_s: how long all of it may take.
            load_limit_s: how long it may take from the moment on when the model begins to load.
            report: called with what the trial does.

        Raises:
            TrivetError: it cannot be served.
            Unavailable: the trial's process died (reason `trial_died`).
            DeadlineExceeded: it took too long.
        """


class ProcessTrials:
    """Runs each trial as a process.

    Args:
        program: the command and its arguments.
        environ: all of its environment variables.
    """

    def __init__(self, program: Sequence[str], *, environ: Mapping[str, str]) -> None:
        self._program = tuple(program)
        self._environ = dict(environ)

    async def run(self, job: TrialJob, *, limit_s: float, load_limit_s: float, report: Report) -> LoadedModel:
        """See `Trials.run`."""
        process = await self._start(job)
        tail = bytearray()
        errors = asyncio.create_task(_keep_tail(process, tail))
        try:
            result = await _exchange(process, job, limit_s=limit_s, load_limit_s=load_limit_s, report=report)
        except BaseException:
            await asyncio.shield(_end(process, errors))
            raise
        if result is None:
            await _end(process, errors)
            raise _trial_died(job.name, process.returncode or 0, _last_lines(tail))
        await _end(process, errors)
        if isinstance(result, TrialFailed):
            raise result.fault.exception()
        return result.model

    async def _start(self, job: TrialJob) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._program,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAX_LINE_BYTES,
                env=self._environ,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                f"failed to start a process to load {job.name}",
                why=error.strerror or str(error),
                fix="check the free memory, and the limits on processes and open files",
                reason=TRIAL_DIED,
            ) from error


async def _exchange(
    process: asyncio.subprocess.Process, job: TrialJob, *, limit_s: float, load_limit_s: float, report: Report
) -> TrialLoaded | TrialFailed | None:
    """The trial's result; None if it ended without one."""
    assert process.stdin is not None
    loop = asyncio.get_running_loop()
    last = loop.time() + limit_s
    try:
        async with asyncio.timeout_at(last) as limit:
            with contextlib.suppress(ConnectionError):  # it died: its end is reported below
                process.stdin.write(encode(job) + b"\n")
                await process.stdin.drain()
            loading = False
            while (message := await _read(process)) is not None:
                if not isinstance(message, Stage):
                    return message
                if message.stage == "loading" and not loading:
                    loading = True
                    limit.reschedule(min(last, loop.time() + load_limit_s))
                report(message)
            # The process may run on after closing its output.
            await asyncio.wait_for(process.wait(), END_WAIT_S)
            return None
    except TimeoutError:
        what = f"loading {job.name}" if loop.time() < last else f"trying {job.name}"
        seconds = load_limit_s if loop.time() < last else limit_s
        raise DeadlineExceeded(
            f"{what} took longer than {seconds:g} s",
            why="it neither ended nor reported a reason",
            fix="read its upload log for the last stage; a model that loads slowly needs a higher load_timeout_s",
            reason="load_timeout",
        ) from None


async def _read(process: asyncio.subprocess.Process) -> TrialMessage | None:
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
    except ValueError as error:
        raise Internal("a trial wrote a line beyond the limit", why=str(error)) from error
    # A dying process may leave half a line.
    return decode(line, TrialMessage) if line.endswith(b"\n") else None  # type: ignore[arg-type]


async def _keep_tail(process: asyncio.subprocess.Process, tail: bytearray) -> None:
    assert process.stderr is not None
    while data := await process.stderr.read(65_536):
        tail += data
        del tail[:-TAIL_BYTES]


async def _end(process: asyncio.subprocess.Process, errors: asyncio.Task[None]) -> None:
    """Ends a trial: closes its input, which ends it, and then kills its whole session."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_WAIT_S)
    except TimeoutError:
        pass
    finally:
        # It leads its own process group: kill all that is left in it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    await asyncio.wait([errors], timeout=END_WAIT_S)
    errors.cancel()
    # Close the pipes, which an escaped process may hold open.
    process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001


def _last_lines(tail: bytearray) -> str:
    lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def _trial_died(name: str, code: int, tail: str) -> Unavailable:
    how = f"its process ended with exit code {code}"
    if code < 0:
        try:
            how = f"its process was killed by {signal.Signals(-code).name} (signal {-code})"
        except ValueError:
            how = f"its process was killed by signal {-code}"
    return Unavailable(
        f"the trial of {name} ended before the model answered",
        why=f"{how}; its last output:\n{tail}" if tail else how,
        fix="a crash needs another file or another version of the library that wrote it; a kill needs more memory",
        reason=TRIAL_DIED,
    )
