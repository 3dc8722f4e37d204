"""The process that opens an ONNX model and sends it its canned row. See `trivet.loading.describe` for its input and output."""

import os
import sys
from pathlib import Path

from trivet.domain.encoding import decode, encode
from trivet.domain.fault import Fault
from trivet.domain.routes import NativeStep
from trivet.engine.native.opening import open_session
from trivet.errors import Internal, TrivetError
from trivet.gateway.formats.examples import example_maker
from trivet.loading.describe import Described, DescribedMessage, DescribeJob, NotDescribed
from trivet_worker.process import die_with_parent, read_line, take_streams

__all__ = ["main"]


def main() -> None:
    """Describe the step given on standard input, and end."""
    line = read_line(0)
    if not line:
        sys.exit("the process that waits ended before it sent the job")
    job = decode(line, DescribeJob)
    die_with_parent(job.parent)
    results = take_streams()
    results.buffer.write(encode(_described(job.step)) + b"\n")
    results.buffer.flush()
    os._exit(0)


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
