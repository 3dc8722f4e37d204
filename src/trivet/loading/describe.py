"""Learns how an ONNX model answers, in a process of its own that has a limit: a row can make such a model run for ever, or crash."""

import os
import signal
import subprocess
import sys
from typing import TypeAlias

import msgspec
import pyarrow as pa

from trivet.domain.encoding import decode, encode
from trivet.domain.fault import Fault
from trivet.domain.onnx_calls import OnnxCalls
from trivet.domain.routes import NativeStep
from trivet.errors import DeadlineExceeded, ModelFailed, Unavailable
from trivet.settings import process_environ

__all__ = ["DescribeJob", "Described", "DescribedMessage", "NotDescribed", "describe"]

PROGRAM = (sys.executable, "-P", "-m", "trivet.wiring.describe_process")


class DescribeJob(msgspec.Struct, frozen=True, kw_only=True):
    """The step to describe; `parent` is the process that waits."""

    step: NativeStep
    parent: int


class Described(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="described"):
    """Schemas of a model, and how rows become calls of it."""

    input_schema: pa.Schema
    output_schema: pa.Schema
    calls: OnnxCalls


class NotDescribed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """Why the model cannot be opened, or does not answer its canned row."""

    fault: Fault


DescribedMessage: TypeAlias = Described | NotDescribed


def describe(step: NativeStep, *, limit_s: float) -> Described:
    """Open a model and send it its canned row, in another process.

    Args:
        step: the model's file under its configuration.
        limit_s: how long it may take.

    Raises:
        TrivetError: the model cannot be opened, or does not answer its canned row.
        ModelFailed: it crashed.
        DeadlineExceeded: it took too long.
    """
    job = encode(DescribeJob(step=step, parent=os.getpid())) + b"\n"
    try:
        # subprocess.run kills the process at the limit, and when this thread is interrupted.
        done = subprocess.run(
            PROGRAM, input=job, capture_output=True, timeout=limit_s, env=process_environ(), check=False
        )
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(
            f"{step.name} did not answer its canned row within {limit_s:g} s",
            why="the model may repeat a loop as often as a row says",
            fix="give an `example:` row in trivet.yaml that it answers soon",
            reason="load_timeout",
        ) from None
    except OSError as error:
        raise Unavailable(
            f"failed to start a process to try {step.name}",
            why=error.strerror or str(error),
            fix="check the free memory, and the limits on processes and open files",
        ) from error
    _, _, line = done.stdout.rstrip(b"\n").rpartition(b"\n")
    if not line:
        raise _crashed(step.name, done.returncode, done.stderr.decode("utf-8", "replace"))
    message: DescribedMessage = decode(line, DescribedMessage)  # type: ignore[arg-type]
    if isinstance(message, NotDescribed):
        raise message.fault.exception()
    return message


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
