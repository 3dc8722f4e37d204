"""Swaps versions without downtime: each one is loaded and tried beside the serving one and then replaces it at once. The old
version is closed after its last request.
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

# Added to the time limit of a request, when a replaced version waits for its last one.
DRAIN_SLACK_S = 5.0
CLOSE_S = 10.0


@dataclass(slots=True, eq=False)
class _Loading:
    """A route that is being loaded."""

    pipeline: LoadedPipeline
    task: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Serving:
    """A route that answers."""

    pipeline: LoadedPipeline
    live: LivePipeline


@dataclass(slots=True, eq=False)
class _Deployment:
    """The state of one deployment.

    Attributes:
        offer: the newest route; None after it was removed from the table.
        failed: the route that failed to load, and why.
        leaving: digests of routes that are being closed, by task.
    """

    place: Place
    offer: Route | None = None
    serving: _Serving | None = None
    loading: _Loading | None = None
    failed: tuple[Route, Fault] | None = None
    leaving: dict[asyncio.Task[None], str] = field(default_factory=dict)


class ServedDeployments:
    """Serves the pipelines of the newest table. Call its methods in the event loop's thread.

    Args:
        pipelines: the pipelines that answer.
        loader: loads routes.

    Attributes:
        on_change: called whenever `states` may have changed.
    """

    def __init__(self, pipelines: Pipelines, loader: Loader) -> None:
        self.on_change: Callable[[], None] = _ignore
        self._pipelines = pipelines
        self._loader = loader
        self._deployments: dict[int, _Deployment] = {}
        self._settling: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()

    def take(self, table: RouteTable) -> None:
        """Serve the routes of a table, and no others."""
        offers = {route.deployment_id: route for route in table.routes}
        for deployment_id in [each for each in self._deployments if each not in offers]:
            self._withdraw(deployment_id)
        for route in offers.values():
            self._offer(route)
        steps = (step for route in table.routes for step in route.steps if isinstance(step, WorkerStep))
        self._loader.workers.listed(worker.id for step in steps for worker in step.workers)
        if self._settling is None:
            self._settling = asyncio.create_task(self._settle())
        self.on_change()

    def worker_ended(self, end: WorkerEnded) -> None:
        """Fail the requests of a worker that ended unexpectedly with the reason, and count its end."""
        self._loader.workers.ended(end)
        for deployment in self._deployments.values():
            serving = deployment.serving
            if serving is not None and serving.pipeline.uses(end.id):
                serving.live.metrics.worker_exits += 1

    def states(self) -> tuple[RouteState, ...]:
        """The state of each deployment."""
        return tuple(_state(deployment_id, each) for deployment_id, each in sorted(self._deployments.items()))

    async def settled(self) -> None:
        """Wait until each route of the first table answers or has failed."""
        await self._settled.wait()

    async def close(self) -> None:
        """Close all routes. Their requests must have ended."""
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
        deployment.offer = route
        loading, serving = deployment.loading, deployment.serving
        if loading is not None and loading.pipeline.digest == route.digest:
            loading.pipeline.update(route)
            return
        self._stop_loading(deployment)
        if serving is not None and serving.pipeline.digest == route.digest:
            deployment.failed = None
            serving.pipeline.update(route)
            return
        if deployment.failed is not None and deployment.failed[0] == route:
            return
        self._load(deployment, route)

    def _load(self, deployment: _Deployment, route: Route) -> None:
        deployment.failed = None
        loading = _Loading(self._loader.route(route))
        deployment.loading = loading
        if deployment.serving is None:
            starting = Unavailable(f"pipeline {route.pipeline} is starting", fix="send the request again in a moment")
            self._pipelines.refuse(deployment.place, starting)
        loading.task = asyncio.create_task(self._finish_loading(deployment, loading))

    async def _finish_loading(self, deployment: _Deployment, loading: _Loading) -> None:
        loaded = loading.pipeline
        try:
            pipeline = await loaded.load()
            # No await from here on: a request sees the whole swap or none of it.
            live = self._pipelines.put(pipeline, logged=loaded.offer.log_inferences)
        except TrivetError as error:
            fault = Fault.of(error)
        except Exception as error:
            log.exception("pipeline %s cannot be served", loaded.offer.pipeline)
            fault = Fault.of(Internal("the pipeline cannot be served", why=f"{type(error).__name__}: {error}"))
        else:
            before = deployment.serving
            deployment.serving, deployment.loading = _Serving(loaded, live), None
            if before is not None:
                before.pipeline.retire()
                self._close_after(deployment, before.pipeline, self._drain(before))
            self.on_change()
            return
        deployment.loading = None
        deployment.failed = (loaded.offer, fault)
        if deployment.serving is None:
            refusal = Unavailable(f"pipeline {loaded.offer.pipeline} cannot answer", why=fault.message, fix=fault.fix)
            self._pipelines.refuse(deployment.place, refusal)
        self.on_change()
        await loaded.close()

    def _withdraw(self, deployment_id: int) -> None:
        deployment = self._deployments[deployment_id]
        deployment.offer = deployment.failed = None
        self._stop_loading(deployment)
        self._pipelines.remove(deployment.place)
        if deployment.serving is not None:
            serving, deployment.serving = deployment.serving, None
            serving.pipeline.retire()
            self._close_after(deployment, serving.pipeline, self._drain(serving))
        if not deployment.leaving:
            del self._deployments[deployment_id]

    def _stop_loading(self, deployment: _Deployment) -> None:
        loading, deployment.loading = deployment.loading, None
        if loading is not None:
            assert loading.task is not None
            loading.task.cancel()
            self._close_after(deployment, loading.pipeline, _ended(loading.task))

    def _close_after(self, deployment: _Deployment, pipeline: LoadedPipeline, end: Coroutine[None, None, None]) -> None:
        """Close a pipeline after `end` has returned; until then it needs its workers."""

        async def close() -> None:
            try:
                await end
            finally:
                await pipeline.close()

        def closed(task: asyncio.Task[None]) -> None:
            deployment.leaving.pop(task, None)
            idle = deployment.offer is None and not deployment.leaving
            if idle and self._deployments.get(pipeline.offer.deployment_id) is deployment:
                del self._deployments[pipeline.offer.deployment_id]
            if not task.cancelled() and task.exception() is not None:
                log.error("failed to close pipeline %s", pipeline.offer.pipeline, exc_info=task.exception())
            self.on_change()

        task = asyncio.create_task(close())
        deployment.leaving[task] = pipeline.digest
        task.add_done_callback(closed)

    async def _drain(self, serving: _Serving) -> None:
        await self._pipelines.drain(serving.live, within_s=serving.pipeline.timeout_s + DRAIN_SLACK_S)

    async def _settle(self) -> None:
        first = [each.loading.task for each in self._deployments.values() if each.loading and each.loading.task]
        if first:
            await asyncio.wait(first)
        self._pipelines.begin()
        self._settled.set()


def _state(deployment_id: int, deployment: _Deployment) -> RouteState:
    offer, serving, loading = deployment.offer, deployment.serving, deployment.loading
    using = {*deployment.leaving.values()}
    if serving is not None:
        using.add(serving.pipeline.digest)
    if loading is not None:
        using.add(loading.pipeline.digest)
    return RouteState(
        deployment_id=deployment_id,
        offered=None if offer is None else offer.digest,
        state=_word(deployment),
        serving=None if serving is None else serving.pipeline.digest,
        serving_version=None if serving is None else serving.pipeline.offer.pipeline_version,
        using=tuple(sorted(using)),
        fault=None if deployment.failed is None else deployment.failed[1],
    )


def _word(deployment: _Deployment) -> Literal["loading", "serving", "failed", "leaving"]:
    if deployment.offer is None:
        return "leaving"
    if deployment.loading is not None:
        return "loading"
    return "serving" if deployment.failed is None else "failed"


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a cancelled task."""
    await asyncio.wait([task])


def _ignore() -> None:
    """The default of `on_change`."""
