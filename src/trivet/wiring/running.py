"""From a prepared package to a model that answers, for the length of a `with` block."""

import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from trivet.domain.answers import difference
from trivet.domain.package import TestCase
from trivet.engine.canned import canned_batch
from trivet.engine.limits import EngineLimits
from trivet.engine.served import Probe, ServedModel, is_refusal, predict
from trivet.errors import ModelFailed, TrivetError
from trivet.gateway.formats.examples import example_maker
from trivet.gateway.formats.json_text import column_texts
from trivet.gateway.formats.records import RecordsDecoder
from trivet.loading.prepare import Isolated, Native, Prepared, Report, environment_store
from trivet.settings import Settings

__all__ = ["run_tests", "running"]

DEFAULT_TIMEOUT_S = 60.0
MODEL_NAMESPACE = uuid.UUID("6a7c2e0e-6f5d-4c62-9d5c-0d3c1f3a9b11")


@asynccontextmanager
async def running(
    prepared: Prepared, *, settings: Settings, report: Report, on_exit: Callable[[], None] = lambda: None
) -> AsyncIterator[ServedModel]:
    """Load a prepared model, warm it up, and keep it running for the length of a `with` block.

    Args:
        prepared: from `prepare`.
        settings: limits.
        report: told what is going on.
        on_exit: called whenever a worker ended unasked.

    Raises:
        TrivetError: it cannot be loaded, or answers its canned row with something else than it declares.
    """
    limits = EngineLimits(timeout_s=prepared.model.timeout_s or DEFAULT_TIMEOUT_S, max_waiting=settings.max_waiting)
    if isinstance(prepared, Native):
        runtime = _native(prepared, limits, report)
    else:
        runtime = _isolated(prepared, limits, settings, report, on_exit)
    async with runtime as served:
        report("warming up", "a canned row" if served.probe.synthetic else "the example row")
        refusal = await served.probe.warm_up()
        if refusal is not None and not (served.probe.synthetic and is_refusal(refusal)):
            raise _of_example(refusal, log=settings.home / "logs" / f"{prepared.name}.log")
        if refusal is not None:
            report(
                "warning",
                f"the model refuses {served.probe.shown} ({refusal.message}); give `example:` rows in trivet.yaml",
            )
        yield served


def _of_example(refusal: TrivetError, *, log: Path) -> TrivetError:
    """The model's own refusal says neither which row it is about nor where to look; other errors do."""
    if not is_refusal(refusal):
        return refusal
    return ModelFailed(
        "the model refuses its own example row",
        why=refusal.message,
        fix=f"mend the model, its input schema or the example; {log} has the traceback",
        path=refusal.path,
        reason="canned_row_failed",
    )


@asynccontextmanager
async def _native(prepared: Native, limits: EngineLimits, report: Report) -> AsyncIterator[ServedModel]:
    from trivet.engine.native.opening import open_session
    from trivet.engine.native.runner import NativeRunner, measure

    model = prepared.model
    report("loading", prepared.contents.files["model"])
    session = open_session(
        prepared.package.root / prepared.contents.files["model"],
        tensor_fields=model.tensor_fields,
        batch_config=model.batch_config,
        input_schema=model.input_schema,
        output_schema=model.output_schema,
        example=example_maker(model.example),
        threads=os.cpu_count() or 1,
    )
    runner = NativeRunner(session, cost=measure(session), limits=limits)
    try:
        yield _served(prepared, "native", runner, Probe(runner, session.canned, synthetic=not model.example))
    finally:
        runner.close()


@asynccontextmanager
async def _isolated(
    prepared: Isolated, limits: EngineLimits, settings: Settings, report: Report, on_exit: Callable[[], None]
) -> AsyncIterator[ServedModel]:
    from trivet.engine.pool import WorkerPool
    from trivet.workers import Failed, ProcessLauncher, WorkerSet, WorkerSpec

    model = prepared.model
    spec = WorkerSpec(
        name=prepared.name,
        python=prepared.environment.python,
        package_root=prepared.package.root,
        adapter=prepared.adapter,
        entry=prepared.entry,
        files=prepared.contents.files,
        input_schema=prepared.input_schema,
        output_schema=prepared.output_schema,
        home=settings.home,
        memory_bytes=model.memory_bytes,
        open_files=model.open_files,
        load_timeout_s=settings.load_timeout_s,
    )
    count = model.workers or 1
    report("loading", f"in {count} worker{'s' if count > 1 else ''}, Python {prepared.environment.python_version}")
    async with AsyncExitStack() as stack:
        stack.enter_context(environment_store(settings).in_use(prepared.environment))
        pool = WorkerPool(
            input_schema=prepared.input_schema,
            output_schema=prepared.output_schema,
            joins=model.batch_config != "single",
            limits=limits,
        )
        stopping = False

        def gone(worker: Any) -> None:
            pool.detach(worker)
            if not stopping:
                on_exit()

        def changed() -> None:
            failures = [state.error for state in workers.states if isinstance(state, Failed)]
            if failures and len(failures) == len(workers.states):
                pool.fail(failures[0])

        workers = WorkerSet(
            ProcessLauncher(environ={**_thread_limits(count), **os.environ}),
            spec,
            count=count,
            on_ready=pool.attach,
            on_gone=gone,
            on_state=changed,
        )
        await stack.enter_async_context(workers)
        # Closed before the workers are stopped, so that their streams end in order.
        stack.push_async_callback(pool.close)
        await pool.attached()
        example = example_maker(model.example)
        if example is not None:
            probe = Probe(pool, example(prepared.input_schema), synthetic=False)
        else:
            zeros, ones = (canned_batch(prepared.input_schema, ones=ones) for ones in (False, True))
            probe = Probe(pool, zeros, synthetic=True, spare=ones)
        try:
            yield _served(prepared, "isolated", pool, probe)
        finally:
            stopping = True


def _thread_limits(workers: int) -> dict[str, str]:
    """How many threads a model's matrix library starts, unless the user says otherwise: together one less than cores.

    Left alone each worker starts one a core, and they spin while they wait: two cores then answer half as many requests.
    """
    threads = str(max(1, ((os.cpu_count() or 1) - 1) // workers))
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)


def _served(prepared: Prepared, runtime: str, runner: Any, probe: Probe) -> ServedModel:
    package = prepared.package
    return ServedModel(
        name=prepared.name,
        # The same bytes are the same version, on every machine.
        version=str(uuid.uuid5(MODEL_NAMESPACE, package.digest)),
        sha=package.digest,
        framework=package.framework.value,
        runtime=runtime,
        runner=runner,
        probe=probe,
    )


async def run_tests(served: ServedModel, tests: Sequence[TestCase]) -> list[tuple[str, str | None]]:
    """Have a model answer the tests of its trivet.yaml.

    Returns:
        Each test's name, and what differs, or None where it passes.
    """
    results: list[tuple[str, str | None]] = []
    decoder = RecordsDecoder(served.runner.input_schema)
    for test in tests:
        try:
            outputs = await predict(served.runner, decoder.decode(msgspec.json.encode(test.rows)).batch)
        except TrivetError as error:
            results.append((test.name, error.message))
            continue
        names = outputs.schema.names
        columns = [[msgspec.json.decode(text) for text in column_texts(outputs, index)] for index in range(len(names))]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        results.append((test.name, difference(list(test.expect), rows, rtol=test.rtol)))
    return results
