"""What the gateway measures, for Prometheus.

The hot path adds to plain numbers; they become Prometheus families only when somebody reads them. Everything here belongs to
the event loop's thread, so nothing is locked.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["GatewayMetrics", "PipelineMetrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LABELS = ("pipeline", "workspace")


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
        """Cumulative, as Prometheus wants them."""
        running = 0
        for bound, count in zip((*map(str, SECONDS), "+Inf"), self.counts, strict=True):
            running += count
            yield bound, running


class Busy(Protocol):
    """Something that requests are in."""

    in_flight: int


class PipelineMetrics:
    """What is counted for one pipeline, whichever version of it answers.

    Attributes:
        statuses: answers by HTTP status.
        rows: rows answered.
        routes: what requests may be in: the version that serves, and those whose last requests run.
        request_s: from the end of a request's body to its answer.
        model_s: what of that was the model, with waiting for it.
        worker_exits: workers that ended unasked.
        log_dropped: rows that the inference log had no room for.
    """

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.rows = 0
        self.routes: set[Busy] = set()
        self.worker_exits = 0
        self.request_s = _Times()
        self.model_s = _Times()
        self.workers: Callable[[], int] = _none
        self.log_dropped: Callable[[], int] = _none

    @property
    def in_flight(self) -> int:
        """Requests that wait or are being answered."""
        return sum(route.in_flight for route in self.routes)

    def answered(self, status: int) -> None:
        """Count one answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


def _none() -> int:
    return 0


class GatewayMetrics(Collector):
    """The metrics of all pipelines that one gateway serves."""

    def __init__(self) -> None:
        self._pipelines: dict[tuple[str, int], PipelineMetrics] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def of(self, pipeline: str, *, workspace_id: int) -> PipelineMetrics:
        """The metrics of one pipeline, by its name and its workspace; 0 is none."""
        return self._pipelines.setdefault((pipeline, workspace_id), PipelineMetrics())

    def forget(self, pipeline: str, *, workspace_id: int) -> None:
        """A pipeline is served no more; should it be again, it counts from zero."""
        self._pipelines.pop((pipeline, workspace_id), None)

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus_client when somebody reads."""
        requests = CounterMetricFamily(
            "trivet_requests", "Answers to prediction requests.", labels=["pipeline", "status", "workspace"]
        )
        rows = CounterMetricFamily("trivet_rows", "Rows answered.", labels=LABELS)
        exits = CounterMetricFamily("trivet_worker_exits", "Workers that ended unasked.", labels=LABELS)
        dropped = CounterMetricFamily(
            "trivet_inference_log_dropped_rows", "Rows that the inference log had no room for.", labels=LABELS
        )
        waiting = GaugeMetricFamily("trivet_requests_in_flight", "Requests waiting or being answered.", labels=LABELS)
        workers = GaugeMetricFamily("trivet_ready", "How many calls could be answered at this moment.", labels=LABELS)
        whole = HistogramMetricFamily(
            "trivet_request_seconds", "From a request's last byte to its answer.", labels=LABELS
        )
        model_s = HistogramMetricFamily("trivet_model_seconds", "What of that was the model.", labels=LABELS)
        for (name, workspace_id), metrics in self._pipelines.items():
            # Without a platform there are no workspaces, and no such label.
            workspace = [str(workspace_id)] if workspace_id else []
            labels = [name, *workspace]
            for status, count in sorted(metrics.statuses.items()):
                requests.add_metric([name, str(status), *workspace], count)
            rows.add_metric(labels, metrics.rows)
            exits.add_metric(labels, metrics.worker_exits)
            dropped.add_metric(labels, metrics.log_dropped())
            waiting.add_metric(labels, metrics.in_flight)
            workers.add_metric(labels, metrics.workers())
            whole.add_metric(labels, list(metrics.request_s.buckets()), metrics.request_s.total_s)
            model_s.add_metric(labels, list(metrics.model_s.buckets()), metrics.model_s.total_s)
        return [requests, rows, exits, dropped, waiting, workers, whole, model_s]

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self._registry)
