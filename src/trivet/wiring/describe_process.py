"""The process that opens an ONNX model and sends it its canned row. See `trivet.loading.describe` for its input and output."""

import os
import sys
from pathlib import Path
from typing import TextIO

from trivet.domain.encoding import decode, encode
from trivet.domain.fault import Fault
from trivet.domain.routes import NativeStep
from trivet.engine.native.opening import open_session
from trivet.errors import Internal, TrivetError, Unavailable
from trivet.gateway.formats.examples import example_maker
from trivet.loading.describe import Described, DescribedMessage, DescribeJob, NotDescribed
from trivet_worker.interpreter import own_folders
from trivet_worker.process import apply_limits, die_with_parent, read_line, take_streams
from trivet_worker.sandbox import Grants, restrict

__all__ = ["main"]


def main() -> None:
    """Describe the step given on standard input, and end."""
    line = read_line(0)
    if not line:
        sys.exit("the process that waits ended before it sent the job")
    job = decode(line, DescribeJob)
    die_with_parent(job.parent)
    results = take_streams()
    apply_limits(memory_bytes=job.memory_bytes, open_files=None)
    try:
        _restrict(job)
    except OSError as error:
        refused = Unavailable(
            f"the process that tries {job.step.name} cannot be kept to its own files",
            why=str(error),
            fix="use a kernel with Landlock (Linux 5.13 or newer), or set TRIVET_SANDBOX=on to run with what this one has",
            reason="sandbox_missing",
        )
        _send(results, NotDescribed(fault=Fault.of(refused)))
    # The kernel forgets this when a process changes its user.
    die_with_parent(job.parent)
    _send(results, _described(job.step))


def _send(results: TextIO, message: DescribedMessage) -> None:
    """Send the result, and end."""
    results.buffer.write(encode(message) + b"\n")
    results.buffer.flush()
    os._exit(0)


def _restrict(job: DescribeJob) -> None:
    """Keep this process to the model's file, for good. All of Trivet's own code was imported before.

    Raises:
        OSError: the kernel cannot do what the settings require.
    """
    grants = Grants(
        read=(str(Path(job.step.path).parent), *own_folders(), *filter(os.path.isdir, sys.path)),
        hidden=job.home,
        scratch=job.scratch,
        folder=job.scratch,
        network=job.network,
    )
    restrict(job.sandbox, grants)


def _described(step: NativeStep) -> DescribedMessage:
    try:
        session = open_session(
            Path(step.path),
            tensor_fields=step.tensor_fields,
            single=step.batch_config == "single",
            input_schema=step.input_schema,
            output_schema=step.output_schema,
            example=example_maker(step.example),
            threads=1,
            providers=step.providers,
        )
    except TrivetError as error:
        return NotDescribed(fault=Fault.of(error))
    except Exception as error:  # noqa: BLE001 - an edge: it is reported and ends this process
        return NotDescribed(fault=Fault.of(Internal("the model failed", why=f"{type(error).__name__}: {error}")))
    return Described(input_schema=session.input_schema, output_schema=session.output_schema, calls=session.calls)


if __name__ == "__main__":
    main()
