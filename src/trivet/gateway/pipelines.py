"""The pipelines that a gateway serves, by place, and the requests in flight of each.

This module is independent of the transport. A protocol takes each request in a `with pipelines.taken(place)` block, so that the
pipeline counts it and stays open until it has ended.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from trivet.domain.access import Action, Caller, check
from trivet.domain.statistics import RequestError
from trivet.engine.pipeline import ServedPipeline
from trivet.errors import Kind, NotFound, TrivetError
from trivet.gateway.live_pipeline import InferenceSink, LivePipeline
from trivet.gateway.metrics import FAULTS, GatewayMetrics

__all__ = ["Abandoned", "Phase", "Pipelines", "Place", "Taken"]

DRAIN_POLL_S = 0.01
MOST_ERROR_TEXT = 500


class Abandoned(Exception):
    """The client closed the connection before its request was answered: it gets no answer, and is not counted."""


class Phase(Enum):
    """Whether a gateway is ready for requests."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Place(NamedTuple):
    """The target of a request, independent of versions: names belong to a workspace, deployments to the platform.

    Attributes:
        deployment_id: None if a single model is served without a platform.
    """

    name: str
    deployment_id: int | None

    @classmethod
    def of(cls, pipeline: ServedPipeline) -> Self:
        """A pipeline's place."""
        return cls(pipeline.name, pipeline.deployment_id)


class Taken:
    """A request in flight, for the length of a `with` block. Its outcome is counted by the kind of the error that leaves it.

    Attributes:
        pipeline: the pipeline that answers it.
        caller: who sends it; None where every client may.
        left: whether the client has gone. An error that leaves the block becomes `Abandoned` then.
    """

    __slots__ = ("_pipelines", "_task", "caller", "left", "pipeline")

    def __init__(self, pipelines: "Pipelines", pipeline: LivePipeline, caller: Caller | None = None) -> None:
        if caller is not None:
            check(caller, Action.PREDICT, pipeline.pipeline.workspace_id)
        self.pipeline = pipeline
        self.caller = caller
        self.left = False
        self._pipelines = pipelines
        self._task: asyncio.Task[object] | None = None

    def on_left(self) -> Callable[[], None]:
        """What a transport calls when the client has gone: it cancels this task, so that work that waits does not start."""
        self._task = asyncio.current_task()
        return self._leave

    def _leave(self) -> None:
        self.left = True
        if self._task is not None:
            self._task.cancel()

    def moved(self, *, answers: bool = True) -> bool:
        """Whether another version has to answer, because this one was replaced before the request reached a model.

        Args:
            answers: whether this version can still answer.

        Raises:
            NotFound: the pipeline was removed meanwhile, and cannot answer any more.
        """
        before = self.pipeline
        if not before.retired:
            return False
        newer = self._pipelines.at(Place.of(before.pipeline))
        if newer is None and (before.closed or not answers):
            raise NotFound(
                "Deployment not found", why="the pipeline was undeployed before the request reached its model"
            )
        if newer is None:
            return False
        before.in_flight -= 1
        newer.in_flight += 1
        self.pipeline = newer
        return True

    def __enter__(self) -> Self:
        self.pipeline.in_flight += 1
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        pipeline = self.pipeline
        pipeline.in_flight -= 1
        self._task = None
        outcomes = pipeline.metrics.outcomes
        if error is None:
            outcomes[None] = outcomes.get(None, 0) + 1
        elif self.left:
            raise Abandoned from error
        elif not isinstance(error, Abandoned):
            kind = _kind(error)
            outcomes[kind] = outcomes.get(kind, 0) + 1
            if kind in FAULTS:
                pipeline.metrics.last_error = RequestError(at_s=time.time(), text=_text(error))


class Pipelines:
    """The pipelines by place. Call its methods in the event loop's thread.

    Args:
        log: the inference log, for pipelines that are put in with `logged`.
        waits: stay in the phase STARTING until `begin`.

    Attributes:
        phase: whether this gateway is ready for requests.
        metrics: the counters.
        places: every place that has a pipeline, or a reason why it has none, by name.
        refusals: why a place has no pipeline.
    """

    def __init__(self, *, log: InferenceSink | None = None, waits: bool = False) -> None:
        self.phase = Phase.STARTING if waits else Phase.SERVING
        self.metrics = GatewayMetrics()
        self.places: tuple[Place, ...] = ()
        self.refusals: Mapping[Place, TrivetError] = {}
        self._serving: dict[Place, LivePipeline] = {}
        self._log = log
        self._on_change: list[Callable[[], None]] = []

    def __iter__(self) -> Iterator[LivePipeline]:
        """Every pipeline that answers, by name."""
        return iter([self._serving[place] for place in self.places if place in self._serving])

    def at(self, place: Place) -> LivePipeline | None:
        """The pipeline at a place."""
        return self._serving.get(place)

    def taken(self, place: Place, caller: Caller | None = None) -> Taken:
        """A request for a place, to be answered within a `with` block.

        Args:
            place: what it is for.
            caller: who sends it; None where every client may.

        Raises:
            TrivetError: the place has no pipeline; the error has the reason.
            Forbidden: the caller may not request predictions of this pipeline.
        """
        pipeline = self._serving.get(place)
        if pipeline is None:
            raise self.refusals.get(place) or NotFound("Deployment not found")
        return Taken(self, pipeline, caller)

    def put(self, pipeline: ServedPipeline, *, logged: bool = False) -> LivePipeline:
        """Serve a pipeline. The version before it finishes its requests, and gets no new ones."""
        metrics = self.metrics.of(pipeline.name, workspace_id=pipeline.workspace_id)
        metrics.workers = lambda: pipeline.runner.capacity
        metrics.log_dropped = partial(self._dropped, (pipeline.workspace_id, pipeline.name))
        live = LivePipeline(pipeline, metrics=metrics, log=self._log if logged else None)
        metrics.versions.add(live)
        place = Place.of(pipeline)
        self._retire(place)
        self._serving[place] = live
        self.refusals = {each: error for each, error in self.refusals.items() if each != place}
        self._changed()
        return live

    def refuse(self, place: Place, error: TrivetError) -> None:
        """Set the reason why a place has no pipeline. An existing pipeline stays."""
        self.refusals = {**self.refusals, place: error}
        self._changed()

    def remove(self, place: Place) -> None:
        """Remove the pipeline of a place. It finishes its requests."""
        self._retire(place)
        self._serving.pop(place, None)
        self.refusals = {each: error for each, error in self.refusals.items() if each != place}
        self._changed()

    async def drain(self, pipeline: LivePipeline, *, within_s: float) -> None:
        """Wait for the last request of a replaced or removed pipeline, `within_s` at most; then close it."""
        assert pipeline.retired
        deadline = time.monotonic() + within_s
        while pipeline.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 - an event would cost every request
            await asyncio.sleep(DRAIN_POLL_S)
        pipeline.closed = True
        served = pipeline.pipeline
        if self._log is not None:
            self._log.finish(served)
        pipeline.metrics.versions.discard(pipeline)
        if not pipeline.metrics.versions:
            self.metrics.forget(served.name, workspace_id=served.workspace_id)

    def begin(self) -> None:
        """End the phase STARTING: the first pipelines are served."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING

    def begin_stop(self) -> None:
        """Report "not ready" from now on; requests are still answered."""
        self.phase = Phase.STOPPING

    async def unready(self) -> dict[LivePipeline, TrivetError]:
        """The pipelines that do not answer their canned row, and why."""
        checked = list(self)
        outcomes = await asyncio.gather(*(live.pipeline.probe.check() for live in checked))
        return {live: error for live, error in zip(checked, outcomes, strict=True) if error is not None}

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever a place gets or loses a pipeline or a reason, before the next request."""
        self._on_change.append(callback)

    def _retire(self, place: Place) -> None:
        before = self._serving.get(place)
        if before is not None:
            before.retired = True

    def _changed(self) -> None:
        self.places = tuple(sorted({*self._serving, *self.refusals}, key=_order))
        for callback in self._on_change:
            callback()

    def _dropped(self, key: tuple[int, str]) -> int:
        return 0 if self._log is None else self._log.dropped.get(key, 0)


def _order(place: Place) -> tuple[str, int]:
    return place.name, place.deployment_id or 0


def _text(error: BaseException) -> str:
    text = error.message if isinstance(error, TrivetError) else f"{type(error).__name__}: {error}"
    return text.partition("\n")[0][:MOST_ERROR_TEXT]


def _kind(error: BaseException) -> Kind:
    if isinstance(error, TrivetError):
        return error.kind
    # A request is cancelled if a stop exceeds its time limit.
    return Kind.UNAVAILABLE if isinstance(error, asyncio.CancelledError) else Kind.INTERNAL
