"""Learns how an ONNX model answers, in a process of its own that is restricted as a worker is.

A row can make such a model run for ever, crash, or take all memory.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import msgspec
import pyarrow as pa

from trivet.domain.encoding import decode, encode
from trivet.domain.fault import Fault
from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.routes import NativeStep
from trivet.errors import DeadlineExceeded, ModelFailed, Unavailable
from trivet.loading.restore import sandbox_of, scratch_folder
from trivet.settings import Settings, process_environ

__all__ = ["DescribeJob", "Described", "DescribedMessage", "NotDescribed", "describe"]

PROGRAM = (sys.executable, "-P", "-m", "trivet.wiring.describe_process")
# The model's code has no use for others, which may hold secrets.
VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "ORT_DISABLE_TELEMETRY")
# Where the owner sets no limit: what a session takes beside its weights, of which it may hold a few copies.
BASE_BYTES = 4 * 2**30
COPIES = 4


class DescribeJob(msgspec.Struct, frozen=True, kw_only=True):
    """What to describe, and how to restrict the process.

    Attributes:
        step: the model's file under its configuration.
        parent: the process that waits.
        memory_bytes: limit on its private memory.
        home: which the process cannot read, but for the model's folder.
        scratch: the only folder that it can write.
        sandbox: `on` where the kernel has it, `required`, or `off`.
        network: whether it may use internet sockets.
    """

    step: NativeStep
    parent: int
    memory_bytes: int
    home: str
    scratch: str
    sandbox: str
    network: bool


class Described(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="described"):
    """Schemas of a model, and how rows become calls of it."""

    input_schema: pa.Schema
    output_schema: pa.Schema
    calls: OnnxCalls


class NotDescribed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """Why the model cannot be opened, or does not answer its canned row."""

    fault: Fault


DescribedMessage: TypeAlias = Described | NotDescribed


def describe(step: NativeStep, *, memory_bytes: int | None, settings: Settings) -> Described:
    """Open a model and send it its canned row, in another process.

    Args:
        step: the model's file under its configuration.
        memory_bytes: the limit that its owner sets.
        settings: the home, what restricts workers, and how long loading may take.

    Raises:
        TrivetError: the model cannot be opened, or does not answer its canned row.
        ModelFailed: it crashed, or took too much memory.
        DeadlineExceeded: it took too long.
        Unavailable: the process cannot be restricted as the settings require.
    """
    limit_s = settings.load_timeout_s
    sandbox = sandbox_of(settings)
    with scratch_folder(settings.home) as scratch:
        job = DescribeJob(
            step=step,
            parent=os.getpid(),
            memory_bytes=memory_bytes or BASE_BYTES + COPIES * _folder_bytes(Path(step.path).parent),
            home=str(settings.home),
            scratch=str(scratch),
            sandbox=sandbox.mode,
            network=sandbox.network,
        )
        done = _run(job, name=step.name, limit_s=limit_s)
    _, _, line = done.stdout.rstrip(b"\n").rpartition(b"\n")
    if not line:
        raise _crashed(step.name, done.returncode, done.stderr.decode("utf-8", "replace"))
    message: DescribedMessage = decode(line, DescribedMessage)  # type: ignore[arg-type]
    if isinstance(message, NotDescribed):
        raise message.fault.exception()
    return message


def _run(job: DescribeJob, *, name: str, limit_s: float) -> subprocess.CompletedProcess[bytes]:
    environ = {variable: value for variable, value in process_environ().items() if variable in VARIABLES}
    try:
        # subprocess.run kills the process at the limit, and when this thread is interrupted.
        return subprocess.run(
            PROGRAM,
            input=encode(job) + b"\n",
            capture_output=True,
            timeout=limit_s,
            env={**environ, "HOME": job.scratch, "TMPDIR": job.scratch},
            cwd=job.scratch,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(
            f"{name} did not answer its canned row within {limit_s:g} s",
            why="the model may repeat a loop as often as a row says",
            fix="give an `example:` row in trivet.yaml that it answers soon",
            reason="load_timeout",
        ) from None
    except OSError as error:
        raise Unavailable(
            f"failed to start a process to try {name}",
            why=error.strerror or str(error),
            fix="check the free memory, and the limits on processes and open files",
        ) from error


def _folder_bytes(folder: Path) -> int:
    """The sizes of the model's file and of those beside it, which may hold its weights."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _crashed(name: str, code: int, errors: str) -> ModelFailed:
    how = f"its process ended with exit code {code}"
    if code < 0:
        how = f"its process was killed by {signal.Signals(-code).name}"
    last = errors.strip().splitlines()[-1:]
    return ModelFailed(
        f"{name} crashed when it was sent its canned row",
        why=": ".join([how, *last]),
        fix="give an `example:` row in trivet.yaml that it answers",
        reason="canned_row_failed",
    )
