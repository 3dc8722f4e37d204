"""Loads a route into a pipeline: loads its sessions, attaches its workers, and sends a canned row."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

from trivet.domain.routes import NativeStep, Route, ValidationStep, WorkerStep
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

# A worker that dies while its pipeline is loaded is replaced within about this time, and then answers the canned row.
WITHOUT_WORKERS_S = 5.0
LOOK_S = 0.1


class _Fleet:
    """The workers of one step.

    Args:
        pool: sends calls to them.
        workers: the workers of all routes.
        log: see `Loader`.
    """

    def __init__(self, pool: WorkerPool, workers: RemoteWorkers, *, log: str) -> None:
        self.pool = pool
        self._workers = workers
        self._log = log
        self._attached: dict[str, RemoteWorker] = {}

    def __contains__(self, worker_id: str) -> bool:
        return worker_id in self._attached

    def update(self, step: WorkerStep) -> None:
        """Send calls to the step's workers and to no others. A worker that the pool gave up is not attached again."""
        current = {address.id: address for address in step.workers}
        # New workers first, so that there is always one.
        for worker_id, address in current.items():
            if worker_id not in self._attached:
                self._attached[worker_id] = self._workers.at(address)
                self.pool.attach(self._attached[worker_id])
        for worker_id in [each for each in self._attached if each not in current]:
            self.pool.detach(self._attached.pop(worker_id))
        if step.stuck is not None:
            self._refuse(step.stuck)

    def _refuse(self, why: str) -> None:
        """Refuse the calls that wait for a worker, and all until one is attached. It is not the fault of their callers."""
        self.pool.fail(
            Unavailable(
                "no worker of the model can be started", why=why, fix=f"{self._log} says more", reason="worker_failed"
            )
        )


class Loader:
    """Loads the routes of a process; they share sessions and workers.

    Args:
        natives: loads native steps.
        limits: of every step; a step's own time limit takes precedence.
        log: the path of the models' log, for error messages.

    Attributes:
        workers: the workers of all routes.
    """

    def __init__(self, natives: NativeSessions, *, limits: EngineLimits, log: str = "its log") -> None:
        self.natives = natives
        self.workers = RemoteWorkers()
        self.limits = limits
        self.log = log

    def route(self, offer: Route) -> "LoadedPipeline":
        """A route to load."""
        return LoadedPipeline(offer, self)

    def close(self) -> None:
        """Stop loading."""
        self.natives.close()


class LoadedPipeline:
    """A route with its sessions and workers.

    Args:
        offer: the route.
        loader: loads it.

    Attributes:
        offer: the route with its current workers.
        timeout_s: the time limit of one request.
    """

    def __init__(self, offer: Route, loader: Loader) -> None:
        self.offer = offer
        limits = [_limits(step, loader.limits) for step in offer.steps if not isinstance(step, ValidationStep)]
        self.timeout_s = sum(limit.timeout_s for limit in limits)
        self._loader = loader
        self._fleets: dict[int, _Fleet] = {}
        self._held = AsyncExitStack()

    @property
    def digest(self) -> str:
        """The digest of all but its workers."""
        return self.offer.digest

    def uses(self, worker_id: str) -> bool:
        """Whether this route sends requests to a worker."""
        return any(worker_id in fleet for fleet in self._fleets.values())

    def update(self, offer: Route) -> None:
        """Take the route's new workers."""
        assert offer.digest == self.digest
        self.offer = offer
        for index, fleet in self._fleets.items():
            step = offer.steps[index]
            assert isinstance(step, WorkerStep)
            fleet.update(step)

    def retire(self) -> None:
        """Another version answers in its place, or none: no request waits for workers that are not ready."""
        for fleet in self._fleets.values():
            fleet.pool.retire()

    async def load(self, *, on_warm_up: Callable[[Probe], None] = lambda _: None) -> ServedPipeline:
        """Load it and send it its canned row.

        Args:
            on_warm_up: called with each probe before its row is sent.

        Raises:
            TrivetError: it cannot be loaded, or its answer does not match its output schema. Then it is closed.
        """
        try:
            return await self._load(on_warm_up)
        except BaseException:
            await asyncio.shield(self.close())
            raise

    async def close(self) -> None:
        """Release its sessions and workers. Its requests must have ended."""
        await self._held.aclose()

    async def _load(self, on_warm_up: Callable[[Probe], None]) -> ServedPipeline:
        offer = self.offer
        models = [(index, step) for index, step in enumerate(offer.steps) if not isinstance(step, ValidationStep)]
        if not models:
            raise Internal(f"pipeline {offer.pipeline} has no step that answers")
        probes: list[Probe] = []
        steps: list[ServedStep] = []
        for index, step in models:
            one = await self._native(step) if isinstance(step, NativeStep) else self._isolated(index, step)
            probes.append(one)
            steps.append(_served(step, one.runner))
        if len(steps) > 1:
            native = all(isinstance(step, NativeStep) for _, step in models)
            # Each step by itself, too: the first step's answer to a canned row need not suit the next one.
            probes.append(probes[0].through(await self._chain(steps) if native else PipelineRunner(steps)))
        for probe in probes:
            on_warm_up(probe)
            await self._warm_up(probe)
        return ServedPipeline(
            name=offer.pipeline,
            version=offer.pipeline_version,
            deployment_id=offer.deployment_id or None,
            workspace_id=offer.workspace_id,
            steps=tuple(steps),
            runner=probe.runner,
            probe=probe,
            checks=await self._checks(probe.runner),
        )

    async def _checks(self, runner: Runner) -> Any:
        """All validations of the pipeline, on its input and output columns."""
        steps = self.offer.steps
        validations = [each for step in steps if isinstance(step, ValidationStep) for each in step.validations]
        if not validations:
            return None
        from trivet.engine.checks.checks import Checks
        from trivet.engine.checks.timed import TimedChecks

        checks = await asyncio.to_thread(Checks, validations, runner.input_schema, runner.output_schema)
        timed = TimedChecks(checks, timeout_s=self.timeout_s, inline_s=self._loader.limits.inline_s)
        self._held.callback(timed.close)
        return timed

    async def _warm_up(self, probe: Probe) -> None:
        """Send a probe's row. Raises what `Probe.failure` returns."""
        failure = probe.failure(await self._answer(probe), log=self._loader.log)
        if failure is not None:
            raise failure

    async def _answer(self, probe: Probe) -> TrivetError | None:
        """Send the canned row. Ends before its deadline if no worker is left."""
        warm_up = asyncio.create_task(probe.warm_up())
        patience_s = WITHOUT_WORKERS_S
        try:
            while not (await asyncio.wait([warm_up], timeout=LOOK_S))[0]:
                lacking = next((fleet for fleet in self._fleets.values() if not fleet.pool.capacity), None)
                patience_s = WITHOUT_WORKERS_S if lacking is None else patience_s - LOOK_S
                if patience_s <= 0:
                    return Unavailable("no worker was ready to answer the canned row", reason="worker_died")
            return warm_up.result()
        finally:
            warm_up.cancel()

    async def _native(self, step: NativeStep) -> Probe:
        from trivet.engine.native.runner import NativeRunner

        natives = self._loader.natives
        session, cost = await natives.take(step)
        self._held.callback(natives.release, step)
        runner = NativeRunner(session, cost=cost, limits=_limits(step, self._loader.limits))
        runner.joins = step.batch_config == "joined"
        self._held.callback(runner.close)
        return Probe(runner, session.canned, synthetic=not step.example, must_answer=step.must_answer)

    async def _chain(self, steps: Sequence[ServedStep]) -> Runner:
        """All steps in this process, as one runner: requests that share a call share it through all steps."""
        from trivet.engine.native.cost import measure
        from trivet.engine.native.runner import NativeRunner
        from trivet.engine.native.views import NativeChain

        runners = [step.runner for step in steps if isinstance(step.runner, NativeRunner)]
        sessions = [runner.session for runner in runners]
        handovers = [
            Handover((before.name, before.runner.output_schema), (after.name, after.runner.input_schema))
            for before, after in pairwise(steps)
        ]
        chain = NativeChain(sessions, handovers)
        try:
            cost = await asyncio.to_thread(measure, chain)
        except TrivetError:
            # A later step may refuse the first one's answer to a canned row; without a cost the chain runs in threads.
            cost = None
        limits = replace(self._loader.limits, timeout_s=self.timeout_s)
        whole = NativeRunner(chain, cost=cost, limits=limits)
        whole.joins = all(runner.joins for runner in runners)
        self._held.callback(whole.close)
        return whole

    def _isolated(self, index: int, step: WorkerStep) -> Probe:
        pool = WorkerPool(
            input_schema=step.input_schema,
            output_schema=step.output_schema,
            batching=step.batch_config or "whole",
            limits=_limits(step, self._loader.limits),
        )
        self._held.push_async_callback(pool.close)
        fleet = self._fleets[index] = _Fleet(pool, self._loader.workers, log=self._loader.log)
        newest = self.offer.steps[index]
        assert isinstance(newest, WorkerStep)
        fleet.update(newest)
        make = example_maker(step.example)
        if make is None:
            return Probe.made_up(pool, must_answer=step.must_answer)
        return Probe(pool, make(step.input_schema), synthetic=False)


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
