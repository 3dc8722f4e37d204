"""What the gateway measures, for Prometheus.

The hot path adds to plain numbers; they become Prometheus families only when somebody reads them. Everything here belongs to
the event loop's thread, so nothing is locked.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["GatewayMetrics", "ModelMetrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


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


class ModelMetrics:
    """What is counted for one model.

    Attributes:
        statuses: answers by HTTP status.
        rows: rows answered.
        in_flight: requests that wait or are being answered.
        request_s: from the end of a request's body to its answer.
        model_s: what of that was the model, with waiting for it.
        worker_exits: workers that ended unasked.
    """

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.rows = 0
        self.in_flight = 0
        self.worker_exits = 0
        self.request_s = _Times()
        self.model_s = _Times()
        self.workers: Callable[[], int] = lambda: 0

    def answered(self, status: int) -> None:
        """Count one answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


class GatewayMetrics(Collector):
    """The metrics of all models that one gateway serves."""

    def __init__(self) -> None:
        self._models: dict[str, ModelMetrics] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def of(self, model: str) -> ModelMetrics:
        """The metrics of one model, by its name."""
        return self._models.setdefault(model, ModelMetrics())

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus_client when somebody reads."""
        requests = CounterMetricFamily("trivet_requests", "Answers to prediction requests.", labels=["model", "status"])
        rows = CounterMetricFamily("trivet_rows", "Rows answered.", labels=["model"])
        exits = CounterMetricFamily("trivet_worker_exits", "Workers that ended unasked.", labels=["model"])
        waiting = GaugeMetricFamily(
            "trivet_requests_in_flight", "Requests waiting or being answered.", labels=["model"]
        )
        workers = GaugeMetricFamily(
            "trivet_ready", "How many calls could be answered at this moment.", labels=["model"]
        )
        whole = HistogramMetricFamily(
            "trivet_request_seconds", "From a request's last byte to its answer.", labels=["model"]
        )
        model_s = HistogramMetricFamily("trivet_model_seconds", "What of that was the model.", labels=["model"])
        for name, metrics in self._models.items():
            for status, count in sorted(metrics.statuses.items()):
                requests.add_metric([name, str(status)], count)
            rows.add_metric([name], metrics.rows)
            exits.add_metric([name], metrics.worker_exits)
            waiting.add_metric([name], metrics.in_flight)
            workers.add_metric([name], metrics.workers())
            whole.add_metric([name], list(metrics.request_s.buckets()), metrics.request_s.total_s)
            model_s.add_metric([name], list(metrics.model_s.buckets()), metrics.model_s.total_s)
        return [requests, rows, exits, waiting, workers, whole, model_s]

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self._registry)
