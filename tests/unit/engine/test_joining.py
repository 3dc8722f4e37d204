"""Which waiting requests share a call."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trivet.engine.joining import gather, patience_s


@dataclass(frozen=True)
class Request:
    number: int
    rows: int
    nbytes: int
    joins: bool = True
    form: str = ""


sizes = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 400)), min_size=1, max_size=30)


def calls_of(requests, *, max_rows, max_bytes):
    """All calls that a queue of requests becomes."""
    waiting = deque(requests)
    calls = []
    held = waiting.popleft()
    while held is not None:
        taken, held = gather(
            held, lambda _: waiting.popleft() if waiting else None, max_rows=max_rows, max_bytes=max_bytes
        )
        calls.append(taken)
        if held is None and waiting:
            held = waiting.popleft()
    return calls


@given(sizes=sizes, max_rows=st.integers(1, 64), max_bytes=st.integers(1, 640))
def test_every_request_is_in_exactly_one_call_and_in_order(sizes, max_rows, max_bytes):
    requests = [Request(number, *size) for number, size in enumerate(sizes)]
    calls = calls_of(requests, max_rows=max_rows, max_bytes=max_bytes)
    assert [request for call in calls for request in call] == requests


@given(sizes=sizes, max_rows=st.integers(1, 64), max_bytes=st.integers(1, 640))
def test_a_call_keeps_to_the_limits_unless_it_is_one_request(sizes, max_rows, max_bytes):
    requests = [Request(number, *size) for number, size in enumerate(sizes)]
    for call in calls_of(requests, max_rows=max_rows, max_bytes=max_bytes):
        assert len(call) == 1 or sum(request.rows for request in call) <= max_rows
        assert len(call) == 1 or sum(request.nbytes for request in call) <= max_bytes


@given(sizes=sizes, max_rows=st.integers(1, 64), max_bytes=st.integers(1, 640))
def test_no_two_neighbours_that_fit_together_travel_apart(sizes, max_rows, max_bytes):
    requests = [Request(number, *size) for number, size in enumerate(sizes)]
    calls = calls_of(requests, max_rows=max_rows, max_bytes=max_bytes)
    for call, following in pairwise(calls):
        rows = sum(request.rows for request in call) + following[0].rows
        nbytes = sum(request.nbytes for request in call) + following[0].nbytes
        # A call that is exactly full takes no more, not even what weighs nothing.
        assert rows > max_rows or nbytes > max_bytes or nbytes - following[0].nbytes >= max_bytes


def test_nothing_is_waited_for():
    first = Request(0, 1, 1)
    assert gather(first, lambda _: None, max_rows=10, max_bytes=10) == ([first], None)


def test_a_request_beyond_the_limits_goes_alone():
    huge, small = Request(0, 100, 1), Request(1, 1, 1)
    taken, held = gather(huge, lambda _: small, max_rows=10, max_bytes=10)
    assert (taken, held) == ([huge], None)
    taken, held = gather(small, lambda _: huge, max_rows=10, max_bytes=10)
    assert (taken, held) == ([small], huge)


def test_requests_of_different_forms_do_not_share_a_call():
    short, long = Request(0, 1, 1, form="[2]"), Request(1, 1, 1, form="[3]")
    assert calls_of([short, short, long, short], max_rows=10, max_bytes=10) == [[short, short], [long], [short]]


def test_a_request_that_does_not_join_goes_alone():
    rows, raw = Request(0, 1, 1), Request(1, 1, 1, joins=False)
    assert gather(raw, lambda _: rows, max_rows=10, max_bytes=10) == ([raw], None)
    assert gather(rows, lambda _: raw, max_rows=10, max_bytes=10) == ([rows], raw)


@given(
    rows=st.integers(1, 100),
    target=st.integers(1, 100),
    waited=st.floats(0, 10),
    delay=st.floats(0, 10),
)
def test_a_call_with_too_few_rows_waits_for_the_rest_of_the_delay(rows, target, waited, delay):
    left = patience_s(rows, target_rows=target, waited_s=waited, delay_s=delay)
    assert left >= 0
    assert (left > 0) == (rows < target and waited < delay)
    assert left <= delay


def test_time_in_the_queue_counts_towards_the_delay():
    assert patience_s(3, target_rows=8, waited_s=0.75, delay_s=1.0) == 0.25
    assert patience_s(3, target_rows=8, waited_s=2.0, delay_s=1.0) == 0
    assert patience_s(8, target_rows=8, waited_s=0.0, delay_s=1.0) == 0
