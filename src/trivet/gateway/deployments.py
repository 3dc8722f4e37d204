"""What is to be served becomes what is served: each version is loaded and tried beside the one that answers, takes its
place at once, and the old one leaves when its last request is answered.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Literal

from trivet.domain.fault import Fault
from trivet.domain.routes import Route, RouteState, RouteTable, WorkerEnded, WorkerStep
from trivet.errors import Internal, TrivetError, Unavailable
from trivet.gateway.live_pipeline import LivePipeline
from trivet.gateway.loading import LoadedPipeline, Loader
from trivet.gateway.pipelines import Pipelines, Place

__all__ = ["ServedDeployments"]

log = logging.getLogger(__name__)

# Beyond the time that its requests may take, a version that leaves waits so long for the last of them.
DRAIN_SLACK_S = 5.0
CLOSE_S = 10.0


@dataclass(slots=True, eq=False)
class _Loading:
    """An offer that is being loaded."""

    route: LoadedPipeline
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Serving:
    """What answers."""

    route: LoadedPipeline
    live: LivePipeline


@dataclass(slots=True, eq=False)
class _Deployment:
    """One deployment: what is wanted of it, and what has become of that.

    Attributes:
        wanted: the newest offer; None once it is to go.
        failed: the offer that could not be loaded, and why.
        leaving: what is on its way out, by the task that sees to it.
    """

    place: Place
    wanted: Route | None = None
    serving: _Serving | None = None
    loading: _Loading | None = None
    failed: tuple[Route, Fault] | None = None
    leaving: dict[asyncio.Task[None], str] = field(default_factory=dict)


class ServedDeployments:
    """Keeps pipelines at the newest table. All methods belong to the event loop's thread.

    Args:
        pipelines: what answers.
        loader: makes routes that can be served.

    Attributes:
        on_change: called whenever `states` may have something new to say.
    """

    def __init__(self, pipelines: Pipelines, loader: Loader) -> None:
        self.on_change: Callable[[], None] = _ignore
        self._pipelines = pipelines
        self._loader = loader
        self._deployments: dict[int, _Deployment] = {}
        self._settling: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    def take(self, table: RouteTable) -> None:
        """Serve what a table says, and nothing else."""
        wanted = {route.deployment_id: route for route in table.routes}
        for deployment_id in [each for each in self._deployments if each not in wanted]:
            self._withdraw(deployment_id)
        for route in wanted.values():
            self._offer(route)
        steps = (step for route in table.routes for step in route.steps if isinstance(step, WorkerStep))
        self._loader.workers.listed(worker.id for step in steps for worker in step.workers)
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())
        self.on_change()

    def worker_ended(self, end: WorkerEnded) -> None:
        """A worker ended unexpectedly: the requests that it held get the reason, and it is counted."""
        self._loader.workers.ended(end)
        for deployment in self._deployments.values():
            serving = deployment.serving
            if serving is not None and serving.route.uses(end.id):
                serving.live.metrics.worker_exits += 1

    def states(self) -> tuple[RouteState, ...]:
        """What is served now."""
        return tuple(_state(deployment_id, each) for deployment_id, each in sorted(self._deployments.items()))

    async def settled(self) -> None:
        """Wait until there was a table and everything in the first one answers or has failed."""
        await self._settled.wait()

    async def close(self) -> None:
        """Let go of everything. Requests must have ended before."""
        if self._settling is not None:
            self._settling.cancel()
        for deployment_id in list(self._deployments):
            self._withdraw(deployment_id)
        leaving = [task for deployment in self._deployments.values() for task in deployment.leaving]
        if leaving:
            await asyncio.wait(leaving, timeout=CLOSE_S)
        self._loader.close()

    def _offer(self, route: Route) -> None:
        deployment = self._deployments.get(route.deployment_id)
        if deployment is None:
            deployment = _Deployment(Place(route.pipeline, route.deployment_id))
            self._deployments[route.deployment_id] = deployment
        deployment.wanted = route
        loading, serving = deployment.loading, deployment.serving
        if loading is not None and loading.route.digest == route.digest:
            loading.route.update(route)
            return
        self._stop_loading(deployment)
        if serving is not None and serving.route.digest == route.digest:
            deployment.failed = None
            serving.route.update(route)
            return
        if deployment.failed is not None and deployment.failed[0] == route:
            return
        self._load(deployment, route)

    def _load(self, deployment: _Deployment, route: Route) -> None:
        deployment.failed = None
        loading = _Loading(self._loader.route(route))
        deployment.loading = loading
        if deployment.serving is None:
            starting = Unavailable(f"pipeline {route.pipeline} is starting", fix="ask again in a moment")
            self._pipelines.refuse(deployment.place, starting)
        loading.task = asyncio.create_task(self._finish_loading(deployment, loading))

    async def _finish_loading(self, deployment: _Deployment, loading: _Loading) -> None:
        route = loading.route
        try:
            pipeline = await route.load()
            # From here on nothing is awaited: a request sees all of the swap or none of it.
            live = self._pipelines.put(pipeline, logged=route.wanted.log_inferences)
        except TrivetError as error:
            fault = Fault.of(error)
        except Exception as error:
            log.exception("pipeline %s cannot be served", route.wanted.pipeline)
            fault = Fault.of(Internal("the pipeline cannot be served", why=f"{type(error).__name__}: {error}"))
        else:
            before = deployment.serving
            deployment.serving, deployment.loading = _Serving(route, live), None
            if before is not None:
                self._let_go(deployment, before.route, self._drain(before))
            self.on_change()
            return
        deployment.loading = None
        deployment.failed = (route.wanted, fault)
        if deployment.serving is None:
            silent = Unavailable(f"pipeline {route.wanted.pipeline} cannot answer", why=fault.message, fix=fault.fix)
            self._pipelines.refuse(deployment.place, silent)
        self.on_change()
        await route.close()

    def _withdraw(self, deployment_id: int) -> None:
        deployment = self._deployments[deployment_id]
        deployment.wanted = deployment.failed = None
        self._stop_loading(deployment)
        self._pipelines.remove(deployment.place)
        if deployment.serving is not None:
            serving, deployment.serving = deployment.serving, None
            self._let_go(deployment, serving.route, self._drain(serving))
        if not deployment.leaving:
            del self._deployments[deployment_id]

    def _stop_loading(self, deployment: _Deployment) -> None:
        loading, deployment.loading = deployment.loading, None
        if loading is not None:
            assert loading.task is not None
            loading.task.cancel()
            self._let_go(deployment, loading.route, _ended(loading.task))

    def _let_go(self, deployment: _Deployment, route: LoadedPipeline, end: Coroutine[None, None, None]) -> None:
        """Close a route once `end` is over; until then its workers are needed."""

        async def see_out() -> None:
            try:
                await end
            finally:
                await route.close()

        def gone(task: asyncio.Task[None]) -> None:
            deployment.leaving.pop(task, None)
            idle = deployment.wanted is None and not deployment.leaving
            if idle and self._deployments.get(route.wanted.deployment_id) is deployment:
                del self._deployments[route.wanted.deployment_id]
            if not task.cancelled() and task.exception() is not None:
                log.error("pipeline %s did not end well", route.wanted.pipeline, exc_info=task.exception())
            self.on_change()

        task = asyncio.create_task(see_out())
        deployment.leaving[task] = route.digest
        task.add_done_callback(gone)

    async def _drain(self, serving: _Serving) -> None:
        await self._pipelines.drain(serving.live, within_s=serving.route.timeout_s + DRAIN_SLACK_S)

    async def _settle(self) -> None:
        first = [each.loading.task for each in self._deployments.values() if each.loading and each.loading.task]
        if first:
            await asyncio.wait(first)
        self._pipelines.begin()
        self._settled.set()


def _state(deployment_id: int, deployment: _Deployment) -> RouteState:
    wanted, serving, loading = deployment.wanted, deployment.serving, deployment.loading
    using = {*deployment.leaving.values()}
    if serving is not None:
        using.add(serving.route.digest)
    if loading is not None:
        using.add(loading.route.digest)
    return RouteState(
        deployment_id=deployment_id,
        offered=None if wanted is None else wanted.digest,
        state=_word(deployment),
        serving=None if serving is None else serving.route.digest,
        serving_version=None if serving is None else serving.route.wanted.pipeline_version,
        using=tuple(sorted(using)),
        fault=None if deployment.failed is None else deployment.failed[1],
    )


def _word(deployment: _Deployment) -> Literal["loading", "serving", "failed", "leaving"]:
    if deployment.wanted is None:
        return "leaving"
    if deployment.loading is not None:
        return "loading"
    return "serving" if deployment.failed is None else "failed"


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task that was cancelled."""
    await asyncio.wait([task])


def _ignore() -> None:
    """No listener is set."""
