"""Which workers do not stop ending."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from trivet.errors import Unavailable
from trivet.supervisor.restarts import Restarts
from trivet.workers.launcher import RunningWorker
from trivet.workers.worker_set import Failed, Pausing, Ready, Starting

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DIED = Unavailable("the worker of churn died", why="exit code 3")


def ready() -> Ready:
    return Ready(cast("RunningWorker", object()))


def restarts(**rules: Any) -> tuple[Restarts, list[int]]:
    """With a list that grows with each recovery."""
    changes: list[int] = []
    known = {"struggling_s": 3.0, "healthy_s": 60.0, **rules}
    return Restarts(**known, on_change=lambda: changes.append(1), now=lambda: NOON), changes


def test_each_unexpected_end_counts_once() -> None:
    known, _ = restarts()
    first, second = Pausing(DIED, 0.1), Pausing(DIED, 0.2)
    for state in (ready(), first, first, Starting(DIED), second):
        known.follow([state])
    ends = known.ends(0)
    assert ends is not None
    assert (ends.count, ends.error, ends.at) == (2, "the worker of churn died: exit code 3", NOON)
    assert known.fault is None


def test_a_worker_that_is_ready_for_a_moment_between_ends_still_struggles() -> None:
    async def end_again_and_again() -> None:
        known, changes = restarts()
        known.follow([Pausing(DIED, 3.2)])
        known.follow([Starting(DIED)])
        known.follow([ready()])
        assert known.struggles(0) is DIED
        assert known.fault is DIED
        known.close()
        assert (known.fault, changes) == (None, [])

    asyncio.run(end_again_and_again())


def test_a_worker_that_stays_ready_recovers() -> None:
    async def recover() -> None:
        known, changes = restarts(healthy_s=0.01)
        known.follow([Pausing(DIED, 30.0)])
        known.follow([ready()])
        async with asyncio.timeout(60):
            while not changes:
                await asyncio.sleep(0.01)
        assert known.fault is None
        ends = known.ends(0)
        assert ends is not None
        assert ends.count == 1

    asyncio.run(recover())


def test_places_that_are_no_longer_there_are_forgotten() -> None:
    known, _ = restarts()
    known.follow([Pausing(DIED, 0.1), Failed(DIED)])
    assert known.struggles(1) is DIED
    known.follow([Starting(None)])
    assert (known.ends(1), known.struggles(1)) == (None, None)
