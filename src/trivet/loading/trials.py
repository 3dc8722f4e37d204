"""Trials: an uploaded version is first loaded in a process of its own, whose crash ends nothing else.

The process reads what to try from one JSON line on its standard input, and writes what it does in JSON lines to its standard
output. It ends when its standard input does.
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
from trivet.domain.version import LoadedModel
from trivet.errors import DeadlineExceeded, Internal, Unavailable

__all__ = [
    "TRIAL_DIED",
    "Doing",
    "ProcessTrials",
    "Report",
    "TrialFailed",
    "TrialJob",
    "TrialLoaded",
    "TrialSaid",
    "Trials",
]

TRIAL_DIED = "trial_died"

MAX_LINE_BYTES = 1 << 26  # a schema of ten thousand columns is a few megabytes
TAIL_BYTES = 16_384
TAIL_LINES = 20
END_WAIT_S = 2.0


class TrialJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried.

    Attributes:
        name: the model's.
        path: the uploaded file; `file_name` is what its owner calls it. A trial that converts the model writes the converted
            file beside it, under the name `CONVERTED_FILE`.
        flags: what was said at the upload.
        settings: as `settings_to_json` writes them.
        parent: the process that started the trial, with which it ends.
    """

    name: str
    path: str
    file_name: str
    flags: ModelSettings
    settings: str
    parent: int


class Doing(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="doing"):
    """What the trial does now; `done` of `total` where that is known."""

    stage: str
    detail: str
    done: int | None = None
    total: int | None = None


class TrialLoaded(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="loaded"):
    """The version was loaded and has answered."""

    model: LoadedModel


class TrialFailed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """The version cannot be served."""

    fault: Fault


TrialSaid: TypeAlias = Doing | TrialLoaded | TrialFailed
Report: TypeAlias = Callable[[Doing], None]


class Trials(Protocol):
    """A way of trying versions."""

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
        program: what to start, with its arguments.
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
            said = await _converse(process, job, limit_s=limit_s, load_limit_s=load_limit_s, report=report)
        except BaseException:
            await asyncio.shield(_end(process, errors))
            raise
        if said is None:
            await _end(process, errors)
            raise _death(job.name, process.returncode or 0, _last_lines(tail))
        await _end(process, errors)
        if isinstance(said, TrialFailed):
            raise said.fault.exception()
        return said.model

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
                f"a process to try {job.name} in cannot be started",
                why=error.strerror or str(error),
                fix="see that there is memory, and that the limits on processes and open files leave room",
                reason=TRIAL_DIED,
            ) from error


async def _converse(
    process: asyncio.subprocess.Process, job: TrialJob, *, limit_s: float, load_limit_s: float, report: Report
) -> TrialLoaded | TrialFailed | None:
    """The trial's last word; None if it has ended without one."""
    assert process.stdin is not None
    loop = asyncio.get_running_loop()
    last = loop.time() + limit_s
    try:
        async with asyncio.timeout_at(last) as limit:
            with contextlib.suppress(ConnectionError):  # it died: its end is reported below
                process.stdin.write(encode(job) + b"\n")
                await process.stdin.drain()
            loading = False
            while (said := await _read(process)) is not None:
                if not isinstance(said, Doing):
                    return said
                if said.stage == "loading" and not loading:
                    loading = True
                    limit.reschedule(min(last, loop.time() + load_limit_s))
                report(said)
            # What closed its output may still run.
            await asyncio.wait_for(process.wait(), END_WAIT_S)
            return None
    except TimeoutError:
        what = f"loading {job.name}" if loop.time() < last else f"trying {job.name}"
        seconds = load_limit_s if loop.time() < last else limit_s
        raise DeadlineExceeded(
            f"{what} took longer than {seconds:g} s",
            why="neither did it end, nor did it say why not",
            fix="see its upload log for what it did last; a model that takes longer to load needs a higher load_timeout_s",
            reason="load_timeout",
        ) from None


async def _read(process: asyncio.subprocess.Process) -> TrialSaid | None:
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
    except ValueError as error:
        raise Internal("a trial said something too long", why=str(error)) from error
    # Half a line is what a dying process leaves.
    return decode(line, TrialSaid) if line.endswith(b"\n") else None  # type: ignore[arg-type]


async def _keep_tail(process: asyncio.subprocess.Process, tail: bytearray) -> None:
    assert process.stderr is not None
    while data := await process.stderr.read(65_536):
        tail += data
        del tail[:-TAIL_BYTES]


async def _end(process: asyncio.subprocess.Process, errors: asyncio.Task[None]) -> None:
    """Leaves nothing of a trial: at the end of its input it ends itself, and then its whole session is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_WAIT_S)
    except TimeoutError:
        pass
    finally:
        # It leads a group of its own: whatever remains in it ends here.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    await asyncio.wait([errors], timeout=END_WAIT_S)
    errors.cancel()
    # Closes the pipes, which something that escaped may hold open.
    process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001


def _last_lines(tail: bytearray) -> str:
    lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def _death(name: str, code: int, tail: str) -> Unavailable:
    how = f"its process ended with exit code {code}"
    if code < 0:
        try:
            how = f"its process was killed by {signal.Signals(-code).name} (signal {-code})"
        except ValueError:
            how = f"its process was killed by signal {-code}"
    return Unavailable(
        f"trying {name} ended before the model had answered",
        why=f"{how}; it said last\n{tail}" if tail else how,
        fix="a crash needs another file or another version of the library that wrote it; a kill needs more memory",
        reason=TRIAL_DIED,
    )
