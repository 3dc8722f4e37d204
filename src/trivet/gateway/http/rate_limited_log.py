"""What would be said with every request is said once a second at most: a log does not grow with the load."""

import asyncio
import logging
from collections.abc import Hashable
from dataclasses import dataclass

__all__ = ["RateLimitedLog"]

EVERY_S = 1.0
# So many different things a second are told apart; the rest of them are counted together.
MOST_KEYS = 16


@dataclass(slots=True)
class _Held:
    """What was said less than a second ago: how often it came since, and how it was put the last time."""

    count: int = 0
    level: int = logging.WARNING
    text: str = ""


class RateLimitedLog:
    """Says something at once, and what comes again within a second in one line at its end. Belongs to an event loop's thread.

    Args:
        log: where it is said.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._held: dict[Hashable, _Held] = {}

    def say(self, level: int, text: str, *, key: Hashable, exc_info: BaseException | None = None) -> None:
        """Say something, now or within a second; of what has the same key in that second, the last and how often.

        Args:
            level: of `logging`.
            text: the line.
            key: what is the same for the same thing, though the line may have a number of its own.
            exc_info: an error whose traceback is shown if the line is said now.
        """
        if key not in self._held and len(self._held) >= MOST_KEYS:
            key = None
        held = self._held.get(key)
        if held is not None:
            held.count += 1
            held.level, held.text = level, text
            return
        self._log.log(level, "%s", text, exc_info=exc_info)
        self._hold(key)

    def _hold(self, key: Hashable) -> None:
        self._held[key] = _Held()
        asyncio.get_running_loop().call_later(EVERY_S, self._say_rest, key)

    def _say_rest(self, key: Hashable) -> None:
        held = self._held.pop(key)
        if not held.count:
            return
        left_out = held.count - 1
        more = f" ({left_out} more like it within a second are left out)" if left_out else ""
        self._log.log(held.level, "%s%s", held.text, more)
        self._hold(key)
