"""The statistics of the last minutes, from the counters of requests."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from trivet.errors import Invalid, Kind, ModelFailed
from trivet.gateway.metrics import GatewayMetrics, PipelineMetrics
from trivet.gateway.pipelines import Taken
from trivet.gateway.statistics import WINDOW_S, Statistics


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics()


@pytest.fixture
def pipeline(metrics: GatewayMetrics, clock: Clock) -> PipelineMetrics:
    made = metrics.of("churn", workspace_id=7)
    made.since_s = clock.now
    return made


@pytest.fixture
def statistics(metrics: GatewayMetrics, clock: Clock) -> Statistics:
    return Statistics(metrics, clock=clock)


@pytest.fixture
def answer(pipeline: PipelineMetrics) -> Callable[..., None]:
    def end(count: int, *, kind: Kind | None = None, seconds: float = 0.01) -> None:
        pipeline.outcomes[kind] = pipeline.outcomes.get(kind, 0) + count
        for _ in range(count if kind is None else 0):
            pipeline.request_s.observe(seconds)

    return end


def run(statistics: Statistics, clock: Clock, *, seconds: float) -> None:
    """Let time pass, with a sample each ten seconds."""
    for _ in range(round(seconds / 10)):
        clock.now += 10
        statistics.sample()


def test_rates_are_those_of_the_time_since_the_pipeline_is_served(statistics, clock, answer) -> None:
    answer(90)
    answer(6, kind=Kind.MODEL)
    answer(4, kind=Kind.INVALID)
    run(statistics, clock, seconds=50)
    [found] = statistics.all()
    assert (found.pipeline, found.workspace_id, found.over_s) == ("churn", 7, 50)
    assert found.requests_per_s == pytest.approx(2.0)
    assert (found.error_rate, found.refused_rate) == pytest.approx((0.06, 0.04))


def test_what_is_older_than_five_minutes_does_not_count(statistics, clock, answer) -> None:
    answer(1000, seconds=5.0)
    answer(1000, kind=Kind.MODEL)
    run(statistics, clock, seconds=400)
    answer(30, seconds=0.002)
    [found] = statistics.all()
    assert found.over_s == WINDOW_S
    assert found.requests_per_s == pytest.approx(0.1)
    assert found.error_rate == 0
    assert found.p99_s is not None
    assert found.p99_s <= 0.0025


def test_a_pipeline_without_requests_has_no_times(statistics, clock, pipeline) -> None:
    run(statistics, clock, seconds=20)
    [found] = statistics.all()
    assert (found.requests_per_s, found.error_rate, found.p50_s, found.p99_s) == (0, 0, None, None)


def test_quantiles_lie_in_the_bucket_of_their_answers(statistics, clock, answer) -> None:
    answer(98, seconds=0.02)
    answer(2, seconds=2.0)
    [found] = statistics.all()
    assert found.p50_s is not None
    assert found.p99_s is not None
    assert 0.01 < found.p50_s <= 0.025
    assert 1.0 < found.p99_s <= 2.5


def test_answers_beyond_the_last_bucket_count_as_its_bound(statistics, answer) -> None:
    answer(1, seconds=600.0)
    [found] = statistics.all()
    assert found.p99_s == 60.0


def test_a_pipeline_has_few_samples_however_long_it_is_busy(statistics, clock, answer, pipeline) -> None:
    for _ in range(200):
        answer(1)
        run(statistics, clock, seconds=10)
    assert len(statistics._samples[pipeline]) <= 32
    run(statistics, clock, seconds=400)
    assert len(statistics._samples[pipeline]) == 1


def test_a_pipeline_that_is_gone_has_no_samples(statistics, clock, metrics, pipeline) -> None:
    run(statistics, clock, seconds=10)
    metrics.forget("churn", workspace_id=7)
    run(statistics, clock, seconds=10)
    assert statistics.all() == ()
    assert statistics._samples == {}


def test_the_last_error_is_the_models_and_not_a_clients() -> None:
    metrics = PipelineMetrics()
    live: Any = SimpleNamespace(in_flight=0, metrics=metrics)
    nothing: Any = None
    for error in (ModelFailed("ValueError: no\nmore lines"), ValueError("x" * 9000), Invalid("a client's mistake")):
        with pytest.raises(type(error)), Taken(nothing, live):
            raise error
    assert metrics.last_error is not None
    assert metrics.last_error.text == f"ValueError: {'x' * 488}"
    assert metrics.last_error.at_s > 1e9
