"""A log of JSON lines that costs the event loop microseconds: a thread writes what has come every quarter of a second."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from trivet.disk.log_file import LogFile

__all__ = ["JsonLines"]

log = logging.getLogger(__name__)

EVERY_S: Final = 0.25


class JsonLines:
    """Appends records to a file of limited size. Use it in the event loop's thread.

    Args:
        path: the file; when it is full it becomes the `.1` beside it.
        max_bytes: when it is full.
        most: records in a quarter of a second; of more the oldest are dropped, and the next line counts them in `dropped`.
    """

    def __init__(self, path: Path, *, max_bytes: int, most: int) -> None:
        self._file = LogFile(path, max_bytes=max_bytes)
        self._waiting: deque[Mapping[str, Any]] = deque(maxlen=most)
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a record soon. Raises nothing and waits for nothing."""
        if len(self._waiting) == self._waiting.maxlen:
            self._dropped += 1
        self._waiting.append(record)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._begin)

    async def close(self) -> None:
        """Write what has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._waiting:
            await asyncio.to_thread(self._write, self._taken())

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._writing is not None and not self._writing.done():
            # The disk is slow: later, with what comes meanwhile.
            self._timer = loop.call_later(EVERY_S, self._begin)
            return
        self._timer = None
        self._writing = loop.run_in_executor(None, self._write, self._taken())

    def _taken(self) -> list[Mapping[str, Any]]:
        records = list(self._waiting)
        self._waiting.clear()
        if self._dropped:
            records[0] = {**records[0], "dropped": self._dropped}
            self._dropped = 0
        return records

    def _write(self, records: list[Mapping[str, Any]]) -> None:
        try:
            self._file.append(b"".join(orjson.dumps(record, default=str) + b"\n" for record in records))
        except TypeError as error:
            log.warning("failed to write to a log: %s", error)
