"""Requests for a worker that arrive at about the same time are passed on at once, so that they share a call.

A quick call of a worker takes most of its time on the way, however few rows it has. The answers to a shared call make their clients
ask again at about the same time: without a pause, the first of them would go alone, and the others wait for it. What comes during
such a call waits for its clients, too, because two groups by turns would stay two.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Arrivals"]

T = TypeVar("T")

QUIET_TURNS = 8
"""Turns of the event loop without a new request after which no more are expected: well below a tenth of a call's time."""


class Arrivals(Generic[T]):
    """Holds requests while quick calls run, and then until as many are here again, or a few turns of the event loop bring none.

    After a call of a single request, only those of one turn are collected. Call it in the event loop's thread.

    Args:
        loop: the event loop.
        pass_on: takes a request.
        is_busy: whether requests are held because a call will soon be answered.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pass_on: Callable[[T], object],
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = loop
        self._pass_on = pass_on
        self._is_busy = is_busy
        self._held: list[T] = []
        self._expected = 1
        self._turn: asyncio.Handle | None = None

    def add(self, request: T) -> None:
        """A request came."""
        self._held.append(request)
        if self._turn is None:
            self._turn = self._loop.call_soon(self._end_turn, 1, 0)

    def answered(self, requests: int) -> None:
        """A call was answered that so many requests shared."""
        held = len(self._held)
        self._expected = requests + held
        if held and self._turn is None:
            self._turn = self._loop.call_soon(self._end_turn, held, 0)

    def _end_turn(self, before: int, quiet_turns: int) -> None:
        self._turn = None
        if self._is_busy():
            return
        held = len(self._held)
        if held < self._expected and quiet_turns < QUIET_TURNS:
            quiet_turns = quiet_turns + 1 if held == before else 0
            self._turn = self._loop.call_soon(self._end_turn, held, quiet_turns)
            return
        self.release()

    def release(self) -> None:
        """Pass on what is held."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        for request in self._held:
            self._pass_on(request)
        self._held.clear()
