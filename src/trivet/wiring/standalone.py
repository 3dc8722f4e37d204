"""One model without a platform: a route of one step, loaded like every route of the gateway, with its workers."""

import asyncio
import os
import re
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from trivet.domain.answers import difference
from trivet.domain.frameworks import Runtime
from trivet.domain.package import Package, TestCase
from trivet.domain.routes import NativeStep, Route, WorkerAddress, WorkerEnded, WorkerStep
from trivet.domain.version import LoadedModel, network_of
from trivet.engine.batch import Batch
from trivet.engine.independence import compare_rows
from trivet.engine.limits import EngineLimits
from trivet.engine.native.shared import NativeSessions
from trivet.engine.pipeline import ServedPipeline
from trivet.engine.served import Probe, Runner, StepRunner, predict
from trivet.errors import ModelFailed, TrivetError
from trivet.gateway.formats.examples import example_maker
from trivet.gateway.formats.json_text import column_texts
from trivet.gateway.formats.records import RecordsDecoder
from trivet.gateway.loading import LoadedPipeline, Loader
from trivet.loading.environments import Report
from trivet.loading.restore import sandbox_of, worker_files
from trivet.loading.restoring_starts import RestoringStarts
from trivet.loading.steps import Identity, native_step, work_of, worker_step
from trivet.settings import Settings
from trivet.workers import Failed, Launcher, ProcessLauncher, RunningWorker, WorkerSet, WorkerSpec, reason_for_clients

__all__ = ["NO_WORKSPACE", "compared", "given_rows", "refusal_of", "rows_of", "run_tests", "standalone"]

NO_WORKSPACE = 0
MOST_SHOWN = 300
MOST_WARNING = 500
WARNING = re.compile(r"^ *\S.*?:\d+: (\w*Warning: .+)$", re.MULTILINE)
NO_DEPLOYMENT = 0
MODEL_NAMESPACE = uuid.UUID("6a7c2e0e-6f5d-4c62-9d5c-0d3c1f3a9b11")


@asynccontextmanager
async def standalone(
    package: Package,
    model: LoadedModel,
    *,
    settings: Settings,
    report: Report,
    root: Path | None = None,
    workers: int = 1,
    on_ready: Callable[[RunningWorker], None] = lambda _: None,
    on_exit: Callable[[], None] = lambda: None,
) -> AsyncIterator[ServedPipeline]:
    """Load a prepared model as a pipeline of one step, for the length of a `with` block.

    Args:
        package: from `prepare`, as `model` is.
        model: how it runs.
        settings: home and limits.
        report: receives progress.
        root: the folder of a converted file, if that is what runs.
        workers: how many to start, if the model runs in workers.
        on_ready: called with each worker that is ready.
        on_exit: called whenever a worker ended unexpectedly.

    Raises:
        TrivetError: it cannot be loaded, or its answer to the canned row differs from what it declares.
    """
    name = model.settings.name or package.name
    # The same bytes have the same version on every machine.
    version = str(uuid.uuid5(MODEL_NAMESPACE, package.digest))
    identity = Identity(name, version, 0, package.digest, package.framework.value)
    if model.runtime is Runtime.NATIVE:
        step: NativeStep | WorkerStep = native_step(identity, model, None, root=root or package.root)
    else:
        step = worker_step(identity, model, None)
    route = Route(
        deployment_id=NO_DEPLOYMENT,
        pipeline=name,
        workspace_id=NO_WORKSPACE,
        pipeline_version=version,
        digest=version,
        steps=(step,),
        log_inferences=False,
    )
    limits = EngineLimits(max_waiting=settings.max_waiting, native_call_bytes=int(settings.native_call_mib * 2**20))
    loader = Loader(
        NativeSessions(example_maker, trust_native=settings.trust_native, most_call_bytes=limits.native_call_bytes),
        limits=limits,
        log=str(settings.home / "logs" / f"{name}.log"),
    )
    loaded = LoadedPipeline(route, loader)

    def warming_up(probe: Probe) -> None:
        report("warming up", "a canned row" if probe.synthetic else "the example row")

    started: list[RunningWorker] = []
    launcher: ProcessLauncher | None = None

    def ready(worker: RunningWorker) -> None:
        if not started:
            started.append(worker)
        on_ready(worker)

    async with AsyncExitStack() as stack:
        stack.callback(loader.close)
        if isinstance(step, WorkerStep):
            python = f"Python {model.python_version}"
            report("loading", f"in {workers} worker{'s' if workers > 1 else ''}, {python}")
            network = network_of(model, None)
            work = work_of(step, model, network=network, root=lambda: package.root, settings=settings, report=report)
            spec = replace(stack.enter_context(work()), workers=workers)
            launcher = ProcessLauncher(
                environ=os.environ, home=settings.home, files=worker_files(settings), sandbox=sandbox_of(settings)
            )
            stack.callback(launcher.close)
            await stack.enter_async_context(
                _workers(
                    launcher,
                    spec,
                    route,
                    loaded,
                    loader,
                    starts=RestoringStarts(launcher, work),
                    report=report,
                    on_ready=ready,
                    on_exit=on_exit,
                )
            )
        else:
            report("loading", model.native_file or "")
        # Close it before the workers stop, so that their streams end in order.
        stack.push_async_callback(loaded.close)
        try:
            pipeline = await loaded.load(on_warm_up=warming_up)
        except TrivetError as error:
            if error.trace:
                report("traceback", error.trace.rstrip())
            raise
        if launcher is not None:
            for warning in warnings_in(await launcher.logs(started[0].address)):
                report("warning", f"while it loaded: {warning}")
        refusal = refusal_of(pipeline)
        if refusal is not None:
            report("warning", f"{refusal.message}. To fix this: {refusal.fix}")
            if refusal.trace:
                report("traceback", refusal.trace.rstrip())
        yield pipeline


def warnings_in(log: str) -> list[str]:
    """The Python warnings at the end of a worker's log, each once: `UserWarning: …`."""
    return list(dict.fromkeys(found.group(1)[:MOST_WARNING] for found in WARNING.finditer(log)))


def refusal_of(pipeline: ServedPipeline) -> ModelFailed | None:
    """Why the model of a pipeline did not answer a made-up row; None if it answered, or was sent its example."""
    probe = pipeline.probe
    if probe.refused is None:
        return None
    (row,) = rows_of(probe.canned)
    shown = msgspec.json.encode(row).decode()
    return probe.made_up_refusal(row=shown if len(shown) <= MOST_SHOWN else f"{{{', '.join(row)}: …}}")


@asynccontextmanager
async def _workers(
    launcher: Launcher,
    spec: WorkerSpec,
    route: Route,
    loaded: LoadedPipeline,
    loader: Loader,
    *,
    starts: RestoringStarts,
    report: Report,
    on_ready: Callable[[RunningWorker], None],
    on_exit: Callable[[], None],
) -> AsyncIterator[None]:
    """Keep the workers of a route's only step running, and give the loaded route those that are ready."""
    (step,) = route.steps
    ready: dict[RunningWorker, WorkerAddress] = {}
    tasks: set[asyncio.Task[None]] = set()
    stopping = False

    def update() -> None:
        stuck = None if workers.stuck is None else reason_for_clients(workers.stuck)
        current = msgspec.structs.replace(step, workers=tuple(ready.values()), stuck=stuck)
        loaded.update(msgspec.structs.replace(route, steps=(current,)))

    def add(worker: RunningWorker) -> None:
        ready[worker] = worker.address
        on_ready(worker)
        update()

    def remove(worker: RunningWorker) -> None:
        address = ready.pop(worker)
        if stopping:
            return
        update()
        on_exit()
        start(report_end(worker, address))

    def start(work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def report_end(worker: RunningWorker, address: WorkerAddress) -> None:
        loader.workers.ended(WorkerEnded(id=address.id, ending=await worker.wait()))

    def changed() -> None:
        if workers.stuck is not None:
            update()
        failures = [state.error for state in workers.states if isinstance(state, Failed)]
        if failures and len(failures) == len(workers.states):
            report("warning", f"no worker is started any more: {failures[0].message}")

    loader.workers.on_end = lambda address: start(launcher.end(address))
    workers = WorkerSet(starts, spec, count=spec.workers, on_ready=add, on_gone=remove, on_state=changed)
    async with workers:
        try:
            yield
        finally:
            stopping = True


async def compared(pipeline: ServedPipeline, model: LoadedModel, *, report: Report) -> LoadedModel:
    """The model with what comparing its answers shows, unless its owner says which rows share a call.

    Requests are joined from now on where that is proved to change no answer.

    Args:
        pipeline: from `standalone`, of this model. No requests may come yet.
        model: as it was loaded.
        report: receives progress.
    """
    runner = pipeline.runner
    if model.settings.batch_config is None and isinstance(runner, StepRunner):
        report("comparing", "the answers to rows alone and beside others")
        found = await compare_rows(runner, pipeline.probe.canned, given_rows(model, runner.input_schema))
        model = msgspec.structs.replace(model, independence=found)
        runner.joins = found.proved
    return model


def given_rows(model: LoadedModel, schema: pa.Schema) -> list[Batch]:
    """The rows that come with a model under its input schema: the example, and those of its tests."""
    decoder = RecordsDecoder(schema)
    batches = []
    for rows in (model.settings.example, *(test.rows for test in model.settings.tests)):
        # A test may be about rows that are refused.
        with suppress(TrivetError):
            batches.append(decoder.decode(msgspec.json.encode(rows)).batch)
    return batches


async def run_tests(runner: Runner, tests: Sequence[TestCase]) -> list[tuple[str, str | None]]:
    """Run the tests of a model's trivet.yaml.

    Returns:
        Each test's name, and the difference, or None if it passes.
    """
    results: list[tuple[str, str | None]] = []
    decoder = RecordsDecoder(runner.input_schema)
    for test in tests:
        try:
            outputs = await predict(runner, decoder.decode(msgspec.json.encode(test.rows)).batch)
        except TrivetError as error:
            results.append((test.name, error.message))
            continue
        results.append((test.name, difference(list(test.expect), rows_of(outputs), rtol=test.rtol)))
    return results


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """A batch as records of JSON values."""
    names = batch.schema.names
    columns = [[msgspec.json.decode(text) for text in column_texts(batch, index)] for index in range(len(names))]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
