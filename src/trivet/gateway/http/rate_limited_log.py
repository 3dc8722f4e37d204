"""A line that every request would log is logged once a second at most: a log does not grow with the load."""

import asyncio
import logging
from collections.abc import Hashable
from dataclasses import dataclass

__all__ = ["RateLimitedLog", "RepeatLimit"]

EVERY_S = 1.0
# Beyond so many different lines a second, the rest are counted together.
MOST_KEYS = 16


@dataclass(slots=True)
class _Held:
    """A line that was logged less than a second ago: how often it came since, and its last text."""

    count: int = 0
    level: int = logging.WARNING
    text: str = ""


class RepeatLimit(logging.Filter):
    """Lets a message of another package's logger pass once a second; the next one says how many came meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        key = str(record.msg)[:100]
        if key not in self._passed_at and len(self._passed_at) >= MOST_KEYS:
            self._passed_at.clear()
        if record.created - self._passed_at.get(key, -EVERY_S) < EVERY_S:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return False
        self._passed_at[key] = record.created
        if left_out := self._left_out.pop(key, 0):
            record.msg = f"{record.msg} ({left_out} more like it since the last one are left out)"
        return True


class RateLimitedLog:
    """Logs a line at once, and its repetitions within a second as one line at its end. Belongs to an event loop's thread.

    Args:
        log: where lines go.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._held: dict[Hashable, _Held] = {}

    def say(self, level: int, text: str, *, key: Hashable, exc_info: BaseException | None = None) -> None:
        """Log a line, now or within a second; of lines with one key in that second, the last and how many.

        Args:
            level: of `logging`.
            text: the line.
            key: the same for the same event, though the line may have a number of its own.
            exc_info: an error whose traceback is shown if the line is logged now.
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
