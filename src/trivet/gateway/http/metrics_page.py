"""The page for Prometheus: what a gateway counts, as metric families."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from trivet.gateway.http.errors import STATUS
from trivet.gateway.metrics import GatewayMetrics, PipelineMetrics

__all__ = ["METRICS_TYPE", "PrometheusPage"]

LABELS = ("pipeline", "workspace")
METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class PrometheusPage(Collector):
    """Reads a gateway's metrics.

    Args:
        metrics: of all its pipelines.
    """

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus_client when the page is read."""
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
        for name, workspace_id, metrics in self._metrics:
            # Without a platform there are no workspaces, and no such label.
            workspace = [str(workspace_id)] if workspace_id else []
            labels = [name, *workspace]
            for status, count in sorted(_statuses(metrics).items()):
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


def _statuses(metrics: PipelineMetrics) -> dict[int, int]:
    """Answers by HTTP status. Several kinds of error may share one."""
    found: dict[int, int] = {}
    for kind, count in metrics.outcomes.items():
        status = 200 if kind is None else STATUS[kind]
        found[status] = found.get(status, 0) + count
    return found
