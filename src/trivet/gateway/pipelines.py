"""The pipelines that a gateway serves, by place: what is put in and taken out, and the requests that each of them has.

Nothing here knows a transport. Whatever takes a request, takes it in a `with pipelines.taken(place)` block, so that the pipeline
counts it and is not let go of before it has ended.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from trivet.engine.pipeline import ServedPipeline
from trivet.errors import Kind, NotFound, TrivetError
from trivet.gateway.live_pipeline import InferenceSink, LivePipeline
from trivet.gateway.metrics import GatewayMetrics

__all__ = ["Abandoned", "Phase", "Pipelines", "Place", "Taken"]

DRAIN_POLL_S = 0.01


class Abandoned(Exception):
    """The client is gone before its request has come as a whole: it gets no answer, and is not counted."""


class Phase(Enum):
    """Whether a gateway is to be sent requests."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


class Place(NamedTuple):
    """What a request is for, whichever version answers: names belong to a workspace, deployments to the platform.

    Attributes:
        deployment_id: None where a single model is served without a platform.
    """

    name: str
    deployment_id: int | None

    @classmethod
    def of(cls, pipeline: ServedPipeline) -> Self:
        """A pipeline's place."""
        return cls(pipeline.name, pipeline.deployment_id)


class Taken:
    """A request that was taken, for the length of a `with` block.

    Its pipeline has it in flight for so long, and its outcome is counted by the kind of the error that leaves the block.

    Attributes:
        pipeline: what answers it.
    """

    __slots__ = ("_pipelines", "pipeline")

    def __init__(self, pipelines: "Pipelines", pipeline: LivePipeline) -> None:
        self.pipeline = pipeline
        self._pipelines = pipelines

    def moved(self) -> bool:
        """Whether another version has to answer, because the request came so slowly that its own was replaced meanwhile.

        Raises:
            NotFound: the pipeline was removed meanwhile, and can answer no more.
        """
        before = self.pipeline
        if not before.retired:
            return False
        newer = self._pipelines.at(Place.of(before.pipeline))
        if newer is None and before.closed:
            raise NotFound("Deployment not found", why="the pipeline was undeployed before the request's body had come")
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
        outcomes = pipeline.metrics.outcomes
        if error is None:
            outcomes[None] = outcomes.get(None, 0) + 1
        elif not isinstance(error, Abandoned):
            kind = _kind(error)
            outcomes[kind] = outcomes.get(kind, 0) + 1


class Pipelines:
    """What answers where. All of it belongs to the event loop's thread.

    Args:
        log: keeps what is answered, of pipelines that are put in with `logged`.
        waits: be in the phase STARTING until `begin`.

    Attributes:
        phase: whether requests are to be sent here.
        metrics: what is counted.
        places: every place that has a pipeline, or a reason why it has none, in order of their names.
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
        """Every pipeline that answers, in order of their names."""
        return iter([self._serving[place] for place in self.places if place in self._serving])

    def at(self, place: Place) -> LivePipeline | None:
        """What answers at a place."""
        return self._serving.get(place)

    def taken(self, place: Place) -> Taken:
        """A request for a place, to be answered within a `with` block.

        Raises:
            TrivetError: nothing answers there; the error says why.
        """
        pipeline = self._serving.get(place)
        if pipeline is None:
            raise self.refusals.get(place) or NotFound("Deployment not found")
        return Taken(self, pipeline)

    def put(self, pipeline: ServedPipeline, *, logged: bool = False) -> LivePipeline:
        """Let a pipeline answer from now on. The version before it keeps the requests that it has, and gets no more."""
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
        """Give the reason why a place has no pipeline. A pipeline that is there stays."""
        self.refusals = {**self.refusals, place: error}
        self._changed()

    def remove(self, place: Place) -> None:
        """Let nothing answer at a place. Requests that are being answered still are."""
        self._retire(place)
        self._serving.pop(place, None)
        self.refusals = {each: error for each, error in self.refusals.items() if each != place}
        self._changed()

    async def drain(self, pipeline: LivePipeline, *, within_s: float) -> None:
        """Wait for the last request of a pipeline that was replaced or removed; so long at most."""
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
        """What was served before, or is to be served first, is being served."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING

    def begin_stop(self) -> None:
        """Requests are to be sent elsewhere from now on; those that come are still answered."""
        self.phase = Phase.STOPPING

    async def unready(self) -> dict[LivePipeline, TrivetError]:
        """The pipelines that do not answer their canned row, and why."""
        asked = list(self)
        outcomes = await asyncio.gather(*(live.pipeline.probe.check() for live in asked))
        return {live: error for live, error in zip(asked, outcomes, strict=True) if error is not None}

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have something called whenever a place gets or loses a pipeline or a reason, before any further request."""
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


def _kind(error: BaseException) -> Kind:
    if isinstance(error, TrivetError):
        return error.kind
    # A request is cancelled where a stop has run out of time.
    return Kind.UNAVAILABLE if isinstance(error, asyncio.CancelledError) else Kind.INTERNAL
