"""The process of a trial: it loads an uploaded version, sends it a row and its tests, and writes the result.

See `trivet.loading.trials` for its input and output. An ONNX model is loaded in this process, any other one in a
worker below it: a crash of either only ends this process.
"""

import asyncio
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import msgspec

from trivet.domain.encoding import decode, encode
from trivet.domain.fault import Fault
from trivet.domain.machines import other_machine, refusal_elsewhere
from trivet.domain.package import Package
from trivet.domain.version import CONVERTED_FILE, LoadedModel
from trivet.errors import Internal, ModelFailed, TrivetError
from trivet.loading.elsewhere import check_elsewhere
from trivet.loading.environments import Report
from trivet.loading.prepare import prepare
from trivet.loading.trials import Stage, TrialFailed, TrialJob, TrialLoaded, TrialMessage
from trivet.settings import Settings, settings_from_json
from trivet.wiring.conversions import keep_pandas_out
from trivet.wiring.native_proof import as_proved
from trivet.wiring.standalone import refusal_of, run_tests, standalone
from trivet.workers import RunningWorker
from trivet.workers.devices import this_machine
from trivet_worker.process import die_with_parent, read_line, take_streams

__all__ = ["main", "try_out"]


def main() -> None:
    """Load the version given on standard input, and end."""
    line = read_line(0)
    if not line:
        sys.exit("the supervisor ended before it sent the job")
    job = decode(line, TrialJob)
    die_with_parent(job.parent)
    # This pipe ends with the parent process; `take_streams` closes descriptor 0.
    lifeline = os.dup(0)
    threading.Thread(target=_end_with, args=[lifeline], daemon=True, name="lifeline").start()
    events = take_streams()
    keep_pandas_out()

    def send(message: TrialMessage) -> None:
        events.buffer.write(encode(message) + b"\n")
        events.buffer.flush()

    def report(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        send(Stage(stage=stage, detail=detail, done=done, total=total))

    try:
        send(TrialLoaded(model=try_out(job, report=report)))
    except TrivetError as error:
        send(TrialFailed(fault=Fault.of(error)))
    except Exception as error:  # noqa: BLE001 - an edge: it is reported and ends this process
        fault = Internal(f"trying {job.name} failed", why=f"{type(error).__name__}: {error}")
        send(TrialFailed(fault=Fault.of(fault)))
    # Do not wait for threads of a model's library: all processes have ended.
    os._exit(0)


def try_out(job: TrialJob, *, report: Report) -> LoadedModel:
    """Check a package, build its environment, load it, and send it a row and its own tests.

    Raises:
        TrivetError: it cannot be served, or fails its own tests.
    """
    warnings: list[str] = []

    def listen(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        if stage == "warning":
            warnings.append(detail)
        report(stage, detail, done, total)

    settings = settings_from_json(job.settings)
    flags = replace(job.flags, name=job.name)
    machine = this_machine(os.environ)
    built_for = None if settings.stand_in else other_machine(job.arch, job.accel, machine)
    if built_for is not None:
        return check_elsewhere(
            Path(job.path),
            arch=job.arch,
            refusal=refusal_elsewhere(built_for, machine),
            flags=flags,
            settings=settings,
            report=report,
            file_name=job.file_name,
        )
    package, model = prepare(
        Path(job.path),
        flags=flags,
        settings=settings,
        resolve_as_of=None,
        report=listen,
        file_name=job.file_name,
    )
    target = Path(job.path).with_name(CONVERTED_FILE)
    answered = asyncio.run(_answer(package, model, target=target, settings=settings, report=listen))
    return msgspec.structs.replace(answered, notes=(*model.notes, *warnings))


async def _answer(
    package: Package, model: LoadedModel, *, target: Path, settings: Settings, report: Report
) -> LoadedModel:
    """Load it and send it its canned row and its own tests. Returns the model with the results."""
    workers: list[RunningWorker] = []
    async with standalone(package, model, settings=settings, report=report, on_ready=workers.append) as pipeline:
        refusal = refusal_of(pipeline)
        if refusal is None:
            report("warming up", f"it answered {pipeline.probe.shown}")
        tests = model.settings.tests
        if tests:
            report("testing", f"{len(tests)} test{'s' if len(tests) > 1 else ''} of its own")
        results = await run_tests(pipeline.runner, tests)
        failed = [f"{name}: {difference}" for name, difference in results if difference]
        if failed:
            raise ModelFailed(
                f"{model.settings.name} does not pass its own tests",
                why="\n  ".join(failed),
                fix="fix the model, or what trivet.yaml expects of it",
                path="trivet.yaml: tests",
                reason="test_failed",
            )
        schemas = {"input_schema": pipeline.runner.input_schema, "output_schema": pipeline.runner.output_schema}
        held = workers[0].protections if workers else None
        proved = msgspec.structs.replace(
            model, answered=refusal is None, refusal=refusal and Fault.of(refusal), protections=held, **schemas
        )
        return await as_proved(package, proved, pipeline, target=target, settings=settings, report=report)


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    # Workers and builders below this process end with it.
    os._exit(1)


if __name__ == "__main__":
    main()
