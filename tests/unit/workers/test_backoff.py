"""Restarts are damped."""

from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.pauses import doubling_s
from trivet.workers.backoff import BackoffPolicy, GiveUp, Retry, after_end


def delays(lives, policy=BackoffPolicy()):  # noqa: B008 - it is frozen
    ends = failed_starts = 0
    for ready_s in lives:
        decision = after_end(policy, ends=ends, failed_starts=failed_starts, ready_s=ready_s)
        if isinstance(decision, GiveUp):
            yield None
            return
        ends, failed_starts = decision.ends, decision.failed_starts
        yield decision.delay_s


def test_pauses_double_up_to_a_limit():
    assert list(delays([1.0] * 11)) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


def test_a_minute_of_health_forgives_what_was():
    assert list(delays([1.0, 1.0, 60.0, 1.0])) == [0.1, 0.2, 0.1, 0.2]


def test_a_worker_that_never_gets_ready_is_given_up():
    assert list(delays([None] * 10, BackoffPolicy(give_up_after=3))) == [0.1, 0.2, None]


def test_one_success_in_between_counts():
    lives = [None, None, 0.0, None, None, None]
    assert list(delays(lives, BackoffPolicy(give_up_after=3)))[-2:] == [1.6, None]


@given(st.integers(0, 10**6), st.integers(0, 6), st.none() | st.floats(0, 1e9))
def test_every_pause_is_within_the_limits(ends, failed_starts, ready_s):
    policy = BackoffPolicy()
    decision = after_end(policy, ends=ends, failed_starts=failed_starts, ready_s=ready_s)
    assert isinstance(decision, Retry)
    assert policy.first_s <= decision.delay_s <= policy.most_s


@given(st.integers(0, 10**6), st.floats(1e-3, 10), st.floats(10, 1e4))
def test_a_pause_doubles_from_the_first_to_the_longest(failures, first_s, most_s):
    pause_s = doubling_s(failures, first_s=first_s, most_s=most_s)
    assert first_s <= pause_s <= most_s
    assert doubling_s(failures + 1, first_s=first_s, most_s=most_s) == min(pause_s * 2, most_s)
    assert doubling_s(0, first_s=first_s, most_s=most_s) == first_s
