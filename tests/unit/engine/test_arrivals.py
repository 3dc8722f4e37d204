"""Which requests for a worker are held, and for how long, by the turns of an event loop."""

import asyncio
from collections.abc import Awaitable, Callable

from trivet.engine.arrivals import QUIET_TURNS, Arrivals


def in_a_loop(story: Callable[[Arrivals[int], list[int]], Awaitable[None]]) -> list[int]:
    """Runs a story with arrivals and what they passed on; returns the latter."""
    passed: list[int] = []

    async def run() -> None:
        await story(Arrivals(asyncio.get_running_loop(), passed.append), passed)

    asyncio.run(run())
    return passed


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_request_after_a_lone_one_is_passed_on_in_its_turn() -> None:
    async def story(arrivals: Arrivals[int], passed: list[int]) -> None:
        arrivals.add(1)
        await turns(1)
        assert passed == [1]
        arrivals.answered(1)
        arrivals.add(2)
        arrivals.add(3)
        await turns(1)
        assert passed == [1, 2, 3]

    in_a_loop(story)


def test_after_a_shared_call_as_many_are_passed_on_together_in_order() -> None:
    async def story(arrivals: Arrivals[int], passed: list[int]) -> None:
        arrivals.answered(3)
        for number in (1, 2, 3):
            assert passed == []
            arrivals.add(number)
            await turns(QUIET_TURNS - 2)
        await turns(2)

    assert in_a_loop(story) == [1, 2, 3]


def test_a_request_waits_a_few_turns_for_others_that_do_not_come() -> None:
    async def story(arrivals: Arrivals[int], passed: list[int]) -> None:
        arrivals.answered(16)
        arrivals.add(1)
        arrivals.add(2)
        await turns(QUIET_TURNS - 2)
        assert passed == []
        await turns(10)
        assert passed == [1, 2]
        # What comes while they are held, after a lone call, stays behind them.
        arrivals.add(3)
        arrivals.answered(1)
        arrivals.add(4)
        await turns(2)

    assert in_a_loop(story) == [1, 2, 3, 4]


def test_what_is_held_can_be_released_at_once() -> None:
    async def story(arrivals: Arrivals[int], passed: list[int]) -> None:
        arrivals.answered(3)
        arrivals.add(1)
        arrivals.release()
        assert passed == [1]
        arrivals.release()
        arrivals.add(2)
        arrivals.add(3)
        arrivals.add(4)
        await turns(1)
        assert passed == [1, 2, 3, 4]

    in_a_loop(story)


def test_what_comes_during_a_quick_call_waits_for_the_clients_of_that() -> None:
    passed: list[int] = []
    busy = False

    async def story() -> None:
        nonlocal busy
        arrivals = Arrivals(asyncio.get_running_loop(), passed.append, lambda: busy)
        arrivals.add(1)
        await turns(1)
        assert passed == [1]
        busy = True
        arrivals.add(2)
        arrivals.add(3)
        await turns(3 * QUIET_TURNS)
        assert passed == [1]
        busy = False
        arrivals.answered(1)
        await turns(QUIET_TURNS - 2)
        assert passed == [1]
        arrivals.add(4)
        await turns(2)
        assert passed == [1, 2, 3, 4]
        # The call of three is answered: its clients do not come again, and who came during it does not wait for long.
        busy = True
        arrivals.add(5)
        await turns(2)
        busy = False
        arrivals.answered(3)
        await turns(2 * QUIET_TURNS)
        assert passed == [1, 2, 3, 4, 5]

    asyncio.run(story())


def test_what_is_held_during_a_call_is_released_when_its_worker_is_lost() -> None:
    passed: list[int] = []

    async def story() -> None:
        arrivals = Arrivals(asyncio.get_running_loop(), passed.append, lambda: True)
        arrivals.add(1)
        await turns(3)
        assert passed == []
        arrivals.release()
        assert passed == [1]
        arrivals.add(2)
        await turns(3)
        assert passed == [1]

    asyncio.run(story())
