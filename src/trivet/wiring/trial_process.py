"""The process that tries an uploaded version: it loads it, has it answer, and tells what it turned out to be.

See `trivet.loading.trials` for what it reads and writes. An ONNX model is loaded in this process, any other one in a
worker below it: a crash of either is told to nobody but the one who started this process.
"""

import asyncio
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from trivet.domain.encoding import decode, encode
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Runtime
from trivet.domain.version import LoadedModel
from trivet.envs import packages_of
from trivet.errors import Internal, ModelFailed, TrivetError
from trivet.loading.prepare import Native, Prepared, Report, prepare
from trivet.loading.trials import Doing, TrialFailed, TrialJob, TrialLoaded, TrialSaid
from trivet.settings import Settings, settings_from_json
from trivet.wiring.running import run_tests, running
from trivet_worker.process import die_with_parent, read_line, take_streams

__all__ = ["main", "try_out"]


def main() -> None:
    """Try what standard input says, and end."""
    line = read_line(0)
    if not line:
        sys.exit("the supervisor ended before it said what to try")
    job = decode(line, TrialJob)
    die_with_parent(job.parent)
    # The end of this pipe is the end of whoever wants to know; `take_streams` gives descriptor 0 away.
    lifeline = os.dup(0)
    threading.Thread(target=_end_with, args=[lifeline], daemon=True, name="lifeline").start()
    events = take_streams()

    def say(said: TrialSaid) -> None:
        events.buffer.write(encode(said) + b"\n")
        events.buffer.flush()

    def report(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        say(Doing(stage=stage, detail=detail, done=done, total=total))

    try:
        say(TrialLoaded(model=try_out(job, report=report)))
    except TrivetError as error:
        say(TrialFailed(fault=Fault.of(error)))
    except Exception as error:  # noqa: BLE001 - an edge: it is told and ends this process
        fault = Internal(f"trying {job.name} failed", why=f"{type(error).__name__}: {error}")
        say(TrialFailed(fault=Fault.of(fault)))
    # Threads of a model's library may be left, and need not be waited for: all that was started has ended.
    os._exit(0)


def try_out(job: TrialJob, *, report: Report) -> LoadedModel:
    """Check a package, build its environment, load it, and have it answer a row and its own tests.

    Raises:
        TrivetError: it cannot be served, or does not pass its own tests.
    """
    warnings: list[str] = []

    def listen(stage: str, detail: str, done: int | None = None, total: int | None = None) -> None:
        if stage == "warning":
            warnings.append(detail)
        report(stage, detail, done, total)

    settings = settings_from_json(job.settings)
    prepared = prepare(
        Path(job.path),
        flags=replace(job.flags, name=job.name),
        settings=settings,
        resolve_as_of=None,
        report=listen,
        file_name=job.file_name,
    )
    # One worker tells as much as many.
    single = replace(prepared, model=replace(prepared.model, workers=None))
    answer = asyncio.run(_answer(single, settings=settings, report=listen))
    return _loaded(prepared, answer, notes=warnings)


class _Answered(NamedTuple):
    """What was learnt of a model by asking it."""

    input_schema: pa.Schema
    output_schema: pa.Schema
    answered: bool


async def _answer(prepared: Prepared, *, settings: Settings, report: Report) -> _Answered:
    """Ask it; the first row it gets is the warm-up's."""
    async with running(prepared, settings=settings, report=report) as served:
        if served.probe.was_answered:
            report("warming up", f"it answered {served.probe.shown}")
        tests = prepared.model.tests
        if tests:
            report("testing", f"{len(tests)} test{'s' if len(tests) > 1 else ''} of its own")
        failed = [f"{name}: {difference}" for name, difference in await run_tests(served, tests) if difference]
        if failed:
            raise ModelFailed(
                f"{prepared.name} does not pass its own tests",
                why="\n  ".join(failed),
                fix="mend the model, or what trivet.yaml expects of it",
                path="trivet.yaml: tests",
                reason="test_failed",
            )
        return _Answered(served.runner.input_schema, served.runner.output_schema, served.probe.was_answered)


def _loaded(prepared: Prepared, answer: _Answered, *, notes: list[str]) -> LoadedModel:
    if isinstance(prepared, Native):
        return LoadedModel(
            runtime=Runtime.NATIVE,
            files=dict(prepared.contents.files),
            settings=prepared.model,
            input_schema=answer.input_schema,
            output_schema=answer.output_schema,
            answered=answer.answered,
            notes=tuple(notes),
        )
    return LoadedModel(
        runtime=Runtime.ISOLATED,
        adapter=prepared.adapter,
        entry=dict(prepared.entry),
        files=dict(prepared.contents.files),
        settings=prepared.model,
        input_schema=answer.input_schema,
        output_schema=answer.output_schema,
        answered=answer.answered,
        environment=prepared.environment.digest,
        requirements=prepared.contents.requirements,
        packages=packages_of(prepared.environment.lock),
        python_version=prepared.environment.python_version,
        notes=(*prepared.environment.notes, *notes),
    )


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    # Workers and builders below this process end with it.
    os._exit(1)


if __name__ == "__main__":
    main()
