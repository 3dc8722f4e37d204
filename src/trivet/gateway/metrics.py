"""The counters of a gateway. The hot path adds to plain numbers; the metrics page converts them to Prometheus families.

Use them in the event loop's thread only: they have no locks.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from trivet.domain.statistics import RequestError
from trivet.errors import Kind

__all__ = ["FAULTS", "SECONDS", "GatewayMetrics", "PipelineMetrics", "Version"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

FAULTS: Final = (Kind.MODEL, Kind.INTERNAL, Kind.UNAVAILABLE, Kind.DEADLINE, Kind.OVERLOADED)
"""The kinds of error that are not a mistake of the client."""


class _Times:
    """A histogram of seconds."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total_s += seconds

    def buckets(self) -> Iterator[tuple[str, float]]:
        """Cumulative, as in Prometheus."""
        running = 0
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            running += count
            yield bound, running


class Version(Protocol):
    """A version that has requests."""

    in_flight: int


class PipelineMetrics:
    """The counters of one pipeline, of all its versions.

    Attributes:
        outcomes: ended requests by the kind of their error; None where they were answered.
        rows: rows answered.
        versions: the number of the serving version and of those that still drain.
        request_s: from the end of a request's body to its answer.
        model_s: the model's part of that, with the wait for it.
        worker_exits: workers that ended unexpectedly.
        workers: how many calls can run at once now.
        log_dropped: rows that the inference log dropped.
        last_error: the last one of the kinds in `FAULTS`.
        since_s: when it was created, in monotonic seconds.
    """

    def __init__(self) -> None:
        self.outcomes: dict[Kind | None, int] = {}
        self.rows = 0
        self.versions: set[Version] = set()
        self.worker_exits = 0
        self.request_s = _Times()
        self.model_s = _Times()
        self.workers: Callable[[], int] = int
        self.log_dropped: Callable[[], int] = int
        self.last_error: RequestError | None = None
        self.since_s = time.monotonic()

    @property
    def in_flight(self) -> int:
        """Requests that wait or are being answered."""
        return sum(version.in_flight for version in self.versions)


class GatewayMetrics:
    """The metrics of all pipelines of a gateway, by name and workspace; workspace 0 is none."""

    def __init__(self) -> None:
        self._pipelines: dict[tuple[str, int], PipelineMetrics] = {}

    def __iter__(self) -> Iterator[tuple[str, int, PipelineMetrics]]:
        """Each pipeline's name, workspace and metrics."""
        return iter([(name, workspace_id, each) for (name, workspace_id), each in self._pipelines.items()])

    def of(self, pipeline: str, *, workspace_id: int) -> PipelineMetrics:
        """The metrics of one pipeline."""
        return self._pipelines.setdefault((pipeline, workspace_id), PipelineMetrics())

    def forget(self, pipeline: str, *, workspace_id: int) -> None:
        """Drop the metrics of a pipeline that is no longer served; if it is served again, it counts from zero."""
        self._pipelines.pop((pipeline, workspace_id), None)
