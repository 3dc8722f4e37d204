"""From a route to a pipeline that answers: sessions loaded, workers attached, a canned row answered."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

from trivet.domain.routes import NativeStep, Route, RouteStep, ValidationStep, WorkerAddress, WorkerStep
from trivet.engine.handover import Handover
from trivet.engine.limits import EngineLimits
from trivet.engine.native.shared import NativeSessions
from trivet.engine.pipeline import PipelineRunner, ServedPipeline, ServedStep
from trivet.engine.pool import WorkerPool
from trivet.engine.remote_workers import RemoteWorker, RemoteWorkers
from trivet.engine.served import Probe, Runner
from trivet.errors import Internal, TrivetError, Unavailable
from trivet.gateway.formats.examples import example_maker

__all__ = ["LoadedPipeline", "Loader"]

# A worker that dies while its pipeline is being loaded is replaced in about so long; then the canned row is answered after all.
WITHOUT_WORKERS_S = 5.0
LOOK_S = 0.1


class _Fleet:
    """The workers of one step."""

    def __init__(self, pool: WorkerPool, workers: RemoteWorkers) -> None:
        self.pool = pool
        self._workers = workers
        self._attached: dict[str, RemoteWorker] = {}

    def __contains__(self, worker_id: str) -> bool:
        return worker_id in self._attached

    def update(self, addresses: Sequence[WorkerAddress]) -> None:
        """Give work to these workers and to no others. One that the pool has given up is not taken again."""
        wanted = {address.id: address for address in addresses}
        # The new ones first: there is no moment without any.
        for worker_id, address in wanted.items():
            if worker_id not in self._attached:
                self._attached[worker_id] = self._workers.at(address)
                self.pool.attach(self._attached[worker_id])
        for worker_id in [each for each in self._attached if each not in wanted]:
            self.pool.detach(self._attached.pop(worker_id))


class Loader:
    """What all routes of a process share.

    Args:
        natives: loads native steps.
        limits: of every step; a step's own time limit takes precedence.
        log: where the models' log is, for error messages.

    Attributes:
        workers: every worker that some route uses.
    """

    def __init__(self, natives: NativeSessions, *, limits: EngineLimits, log: str = "its log") -> None:
        self.natives = natives
        self.workers = RemoteWorkers()
        self.limits = limits
        self.log = log

    def route(self, wanted: Route) -> "LoadedPipeline":
        """A route that is still to be loaded."""
        return LoadedPipeline(wanted, self)

    def close(self) -> None:
        """Load nothing more."""
        self.natives.close()


class LoadedPipeline:
    """A route, with all that it holds once it is loaded.

    Args:
        wanted: as it was offered.
        loader: what loads it.

    Attributes:
        wanted: as it was offered last: its workers come and go.
        timeout_s: how long one of its requests may take.
    """

    def __init__(self, wanted: Route, loader: Loader) -> None:
        self.wanted = wanted
        limits = [_limits(step, loader.limits) for step in wanted.steps if not isinstance(step, ValidationStep)]
        self.timeout_s = sum(limit.timeout_s for limit in limits)
        self._loader = loader
        self._fleets: dict[int, _Fleet] = {}
        self._held = AsyncExitStack()

    @property
    def digest(self) -> str:
        """Of everything but its workers."""
        return self.wanted.digest

    def uses(self, worker_id: str) -> bool:
        """Whether requests go to a worker."""
        return any(worker_id in fleet for fleet in self._fleets.values())

    def update(self, wanted: Route) -> None:
        """The same route with other workers."""
        assert wanted.digest == self.digest
        self.wanted = wanted
        for index, fleet in self._fleets.items():
            step = wanted.steps[index]
            assert isinstance(step, WorkerStep)
            fleet.update(step.workers)

    def fail(self, cause: TrivetError) -> None:
        """No more workers will come: requests that wait for one fail with the cause."""
        for fleet in self._fleets.values():
            fleet.pool.fail(cause)

    async def load(self, *, on_warm_up: Callable[[Probe], None] = lambda _: None) -> ServedPipeline:
        """Load it and have it answer its canned row.

        Args:
            on_warm_up: called with each probe before its row is sent.

        Raises:
            TrivetError: it cannot be loaded, or answers the row with something else than it declares. Nothing is held then.
        """
        try:
            return await self._load(on_warm_up)
        except BaseException:
            await asyncio.shield(self.close())
            raise

    async def close(self) -> None:
        """Let go of sessions and workers. Its requests must have ended before."""
        await self._held.aclose()

    async def _load(self, on_warm_up: Callable[[Probe], None]) -> ServedPipeline:
        wanted = self.wanted
        models = [(index, step) for index, step in enumerate(wanted.steps) if not isinstance(step, ValidationStep)]
        if not models:
            raise Internal(f"pipeline {wanted.pipeline} has no step that answers")
        probes: list[Probe] = []
        steps: list[ServedStep] = []
        for index, step in models:
            one = await self._native(step) if isinstance(step, NativeStep) else self._isolated(index, step)
            probes.append(one)
            steps.append(_served(step, one.runner))
        if len(steps) > 1:
            native = all(isinstance(step, NativeStep) for _, step in models)
            # Each step by itself, too, since what the first makes of a made-up row need not suit those after it.
            probes.append(probes[0].through(await self._chain(steps) if native else PipelineRunner(steps)))
        for probe in probes:
            on_warm_up(probe)
            await self._warm_up(probe)
        return ServedPipeline(
            name=wanted.pipeline,
            version=wanted.pipeline_version,
            deployment_id=wanted.deployment_id or None,
            workspace_id=wanted.workspace_id,
            steps=tuple(steps),
            runner=probe.runner,
            probe=probe,
            checks=_checks(wanted.steps, probe.runner),
        )

    async def _warm_up(self, probe: Probe) -> None:
        """Have the row of a step, or of the whole, answered. Raises what `Probe.failure` gives."""
        failure = probe.failure(await self._answer(probe), log=self._loader.log)
        if failure is not None:
            raise failure

    async def _answer(self, probe: Probe) -> TrivetError | None:
        """Have the canned row answered. Does not wait out its deadline where no worker is left that could answer."""
        warm_up = asyncio.create_task(probe.warm_up())
        patience_s = WITHOUT_WORKERS_S
        try:
            while not (await asyncio.wait([warm_up], timeout=LOOK_S))[0]:
                lacking = next((fleet for fleet in self._fleets.values() if not fleet.pool.capacity), None)
                patience_s = WITHOUT_WORKERS_S if lacking is None else patience_s - LOOK_S
                if patience_s <= 0:
                    return Unavailable("no worker was there to answer the canned row", reason="worker_died")
            return warm_up.result()
        finally:
            warm_up.cancel()

    async def _native(self, step: NativeStep) -> Probe:
        from trivet.engine.native.runner import NativeRunner

        natives = self._loader.natives
        session, cost = await natives.take(step)
        self._held.callback(natives.release, step)
        runner = NativeRunner(session, cost=cost, limits=_limits(step, self._loader.limits))
        self._held.callback(runner.close)
        return Probe(runner, session.canned, synthetic=not step.example, must_answer=step.must_answer)

    async def _chain(self, steps: Sequence[ServedStep]) -> Runner:
        """All steps in this process: requests that share a call share it through all of them."""
        from trivet.engine.native.runner import NativeRunner, measure
        from trivet.engine.native.views import NativeChain

        runners = [step.runner for step in steps]
        sessions = [runner.session for runner in runners if isinstance(runner, NativeRunner)]
        handovers = [
            Handover((before.name, before.runner.output_schema), (after.name, after.runner.input_schema))
            for before, after in pairwise(steps)
        ]
        chain = NativeChain(sessions, handovers)
        try:
            cost = await asyncio.to_thread(measure, chain)
        except TrivetError:
            # A later step may refuse what the first makes of a canned row; threads are always right.
            cost = None
        limits = replace(self._loader.limits, timeout_s=self.timeout_s)
        whole = NativeRunner(chain, cost=cost, limits=limits)
        self._held.callback(whole.close)
        return whole

    def _isolated(self, index: int, step: WorkerStep) -> Probe:
        pool = WorkerPool(
            input_schema=step.input_schema,
            output_schema=step.output_schema,
            joins=step.batch_config != "single",
            limits=_limits(step, self._loader.limits),
        )
        self._held.push_async_callback(pool.close)
        fleet = self._fleets[index] = _Fleet(pool, self._loader.workers)
        newest = self.wanted.steps[index]
        assert isinstance(newest, WorkerStep)
        fleet.update(newest.workers)
        make = example_maker(step.example)
        if make is None:
            return Probe.made_up(pool, must_answer=step.must_answer)
        return Probe(pool, make(step.input_schema), synthetic=False)


def _checks(steps: Sequence[RouteStep], runner: Runner) -> Any:
    """All validations of a pipeline, which are about what it takes and what it answers."""
    validations = [each for step in steps if isinstance(step, ValidationStep) for each in step.validations]
    if not validations:
        return None
    from trivet.engine.checks.checks import Checks

    return Checks(validations, runner.input_schema, runner.output_schema)


def _limits(step: NativeStep | WorkerStep, limits: EngineLimits) -> EngineLimits:
    if step.timeout_s is not None:
        limits = replace(limits, timeout_s=step.timeout_s)
    if isinstance(step, WorkerStep):
        most = step.batch_size_limit or limits.join_rows
        limits = replace(
            limits,
            delay_s=(step.max_batch_delay_ms or 0) / 1000,
            delay_rows=min(step.batch_size_target or most, most),
            call_rows=step.batch_size_limit,
        )
    return limits


def _served(step: NativeStep | WorkerStep, runner: Runner) -> ServedStep:
    return ServedStep(
        name=step.name,
        version=step.version,
        version_id=step.version_id,
        sha=step.sha,
        framework=step.framework,
        runtime="native" if isinstance(step, NativeStep) else "isolated",
        runner=runner,
    )
