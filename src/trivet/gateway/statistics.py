"""Rates and times of the last minutes, from the counters that the metrics page has: requests pay nothing for them."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from trivet.domain.statistics import PipelineStatistics
from trivet.gateway.metrics import FAULTS, SECONDS, GatewayMetrics, PipelineMetrics

__all__ = ["Statistics"]

WINDOW_S: Final = 300.0
# A window begins with the last sample before it, so it may be this much longer.
EVERY_S: Final = 10.0


class _Sample(NamedTuple):
    """The counters of a pipeline at one time."""

    at_s: float
    ended: int
    failed: int
    answered: int
    times: tuple[int, ...]


class Statistics:
    """Samples the counters of all pipelines. Use it in the event loop's thread.

    It keeps at most 32 samples of a pipeline, and one of a pipeline without requests.

    Args:
        metrics: the counters.
        clock: monotonic seconds.
    """

    def __init__(self, metrics: GatewayMetrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._samples: dict[PipelineMetrics, deque[_Sample]] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(EVERY_S)

    def sample(self) -> None:
        """Keep what every pipeline has counted by now."""
        now = self._clock()
        known = [metrics for _, _, metrics in self._metrics]
        self._samples = {each: self._samples.get(each) or deque([_nothing(each)]) for each in known}
        for metrics, samples in self._samples.items():
            while len(samples) > 1 and samples[1].at_s <= now - WINDOW_S:
                samples.popleft()
            # Without requests in between, the sample before says the same.
            if sum(metrics.outcomes.values()) != samples[-1].ended:
                samples.append(_sample(metrics, now))

    def all(self) -> tuple[PipelineStatistics, ...]:
        """The statistics of every pipeline, up to this moment."""
        now = self._clock()
        return tuple(
            _statistics(name, workspace_id, metrics, before=self._before(metrics, now), now=_sample(metrics, now))
            for name, workspace_id, metrics in self._metrics
        )

    def _before(self, metrics: PipelineMetrics, now: float) -> _Sample:
        samples = self._samples.get(metrics) or [_nothing(metrics)]
        early = [sample for sample in samples if sample.at_s <= now - WINDOW_S]
        return early[-1] if early else samples[0]


def _nothing(metrics: PipelineMetrics) -> _Sample:
    return _Sample(metrics.since_s, 0, 0, 0, (0,) * (len(SECONDS) + 1))


def _sample(metrics: PipelineMetrics, now: float) -> _Sample:
    outcomes = metrics.outcomes
    failed = sum(outcomes.get(kind, 0) for kind in FAULTS)
    return _Sample(now, sum(outcomes.values()), failed, outcomes.get(None, 0), tuple(metrics.request_s.counts))


def _statistics(
    name: str, workspace_id: int, metrics: PipelineMetrics, *, before: _Sample, now: _Sample
) -> PipelineStatistics:
    ended, failed = now.ended - before.ended, now.failed - before.failed
    answered = now.answered - before.answered
    # A moment after the first sample, one request would look like thousands a second.
    over_s = min(max(1.0, now.at_s - before.at_s), WINDOW_S)
    counts = [new - old for new, old in zip(now.times, before.times, strict=True)]
    return PipelineStatistics(
        pipeline=name,
        workspace_id=workspace_id,
        over_s=over_s,
        requests_per_s=ended / over_s,
        error_rate=failed / ended if ended else 0.0,
        refused_rate=(ended - failed - answered) / ended if ended else 0.0,
        p50_s=_quantile(counts, 0.5),
        p99_s=_quantile(counts, 0.99),
        in_flight=metrics.in_flight,
        last_error=metrics.last_error,
    )


def _quantile(counts: Sequence[int], share: float) -> float | None:
    """A quantile of a histogram, as evenly spread within a bucket; the last bucket has no end, so it counts as its start."""
    rank = share * sum(counts)
    if not rank:
        return None
    below = 0.0
    for count, low, high in zip(counts, (0.0, *SECONDS), (*SECONDS, SECONDS[-1]), strict=True):
        if below + count >= rank:
            return low + (high - low) * (rank - below) / count
        below += count
    return SECONDS[-1]
