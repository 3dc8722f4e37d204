"""The restarts of a fleet's workers, and the places whose workers do not stop ending."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from trivet.errors import TrivetError
from trivet.workers.worker_set import Failed, Pausing, Ready, WorkerState

__all__ = ["Restarts", "WorkerEnds"]

MOST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class WorkerEnds:
    """How often the workers of one place ended unexpectedly, and the last end."""

    count: int
    error: str
    at: datetime


class Restarts:
    """Follows the states of a `WorkerSet`. Call it in the event loop's thread.

    Args:
        struggling_s: a place whose next start waits this long is struggling …
        healthy_s: … until a worker of it was ready this long. Ready for a moment is not enough: a worker that loads and ends
            again and again is ready half of the time.
        on_change: called when a place has recovered.
        now: the time of day.
    """

    def __init__(
        self,
        *,
        struggling_s: float,
        healthy_s: float,
        on_change: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._struggling_s = struggling_s
        self._healthy_s = healthy_s
        self._on_change = on_change
        self._now = now
        self._states: dict[int, WorkerState] = {}
        self._ends: dict[int, WorkerEnds] = {}
        self._struggling: dict[int, TrivetError] = {}
        self._recovering: dict[int, asyncio.TimerHandle] = {}

    @property
    def fault(self) -> TrivetError | None:
        """Why the first struggling place has no worker that stays; None if none struggles."""
        return self._struggling[min(self._struggling)] if self._struggling else None

    def struggles(self, place: int) -> TrivetError | None:
        """Why a place is struggling; None if it is not."""
        return self._struggling.get(place)

    def ends(self, place: int) -> WorkerEnds | None:
        """The unexpected ends of a place; None if there was none."""
        return self._ends.get(place)

    def follow(self, states: Sequence[WorkerState]) -> None:
        """Take the state of each place; places beyond them are forgotten."""
        for place, state in enumerate(states):
            if self._states.get(place) is not state:
                self._states[place] = state
                self._entered(place, state)
        for known in (self._states, self._ends, self._struggling):
            for place in [each for each in known if each >= len(states)]:
                del known[place]

    def close(self) -> None:
        """Forget all of it."""
        self.follow(())
        for timer in self._recovering.values():
            timer.cancel()
        self._recovering.clear()

    def _entered(self, place: int, state: WorkerState) -> None:
        timer = self._recovering.pop(place, None)
        if timer is not None:
            timer.cancel()
        match state:
            case Pausing(error) | Failed(error):
                before = self._ends.get(place)
                text = error.message[:MOST_TEXT]
                self._ends[place] = WorkerEnds(1 if before is None else before.count + 1, text, self._now())
                if isinstance(state, Failed) or state.delay_s >= self._struggling_s or place in self._struggling:
                    self._struggling[place] = error
            case Ready() if place in self._struggling:
                loop = asyncio.get_running_loop()
                self._recovering[place] = loop.call_later(self._healthy_s, self._recovered, place)

    def _recovered(self, place: int) -> None:
        self._recovering.pop(place, None)
        if self._struggling.pop(place, None) is not None:
            self._on_change()
