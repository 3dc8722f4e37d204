"""The logs of workers as their owner reads them: which line was written when, and what came since.

Workers write straight to their files, so that no process between loses or delays a line; the files have no times. While
`stamp_logs` is called each few seconds, a file of offsets and times lies beside each log.
"""

import json
import os
import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["FAILURES", "LogLine", "LogLines", "find_failures", "read_log", "stamp_logs"]

ROTATED: Final = ".1"
TIMES: Final = ".times"
FAILURES: Final = "failures.jsonl"
"""The gateway's records of errors of models, by request id."""
# The platform's own log, in the same folder, has times.
PLATFORM: Final = "platform.log"
MOST_READ_BYTES: Final = 4 * 2**20
MOST_LINE_BYTES: Final = 4096
# Fewer new bytes than this wait for a later stamp, so that the times of a log are never larger than the log …
LEAST_BYTES: Final = 32
# … unless the last stamp is this old.
LATEST_S: Final = 60.0

_STAMP = struct.Struct("<qd")
"""The log's size, and the time until which that was written."""


class LogLine(NamedTuple):
    """One line of a log.

    Attributes:
        at_s: until when it was written, in seconds since 1970, a few seconds exact; None if it is not known.
    """

    at_s: float | None
    text: str


class LogLines(NamedTuple):
    """The last lines of a log, the oldest first.

    Attributes:
        end: where the next ones begin.
    """

    lines: list[LogLine]
    end: int


def stamp_logs(folder: Path, *, now_s: float) -> None:
    """Note the size of each log that has grown. A log that cannot be stamped has no times."""
    try:
        logs = [each for each in os.scandir(folder) if each.name.endswith(".log") and each.name != PLATFORM]
    except OSError:
        return
    for entry in logs:
        try:
            _stamp(Path(entry.path), entry.stat().st_size, now_s)
        except OSError:
            continue


def _stamp(log: Path, size: int, now_s: float) -> None:
    times = _beside(log, TIMES)
    before = _last_stamp(times)
    if before is None and size == 0:
        return
    if before is not None and size < before[0]:
        # The log was emptied into its `.1`; its times go with it.
        times.replace(_beside(log, ROTATED + TIMES))
        before = None
    grown = size - (0 if before is None else before[0])
    if grown >= LEAST_BYTES or (grown and (before is None or now_s - before[1] >= LATEST_S)):
        descriptor = os.open(times, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, _STAMP.pack(size, now_s))
        finally:
            os.close(descriptor)


def _last_stamp(times: Path) -> tuple[int, float] | None:
    try:
        with times.open("rb") as file:
            count = os.fstat(file.fileno()).st_size // _STAMP.size
            if not count:
                return None
            file.seek((count - 1) * _STAMP.size)
            size, at_s = _STAMP.unpack(file.read(_STAMP.size))
            return size, at_s
    except (OSError, struct.error):
        return None


def read_log(log: Path, *, limit: int, since_s: float | None = None, after: int | None = None) -> LogLines:
    """The last lines of a log, with those of the file before it where they fit.

    Args:
        log: the file; one that does not exist is empty.
        limit: lines at most; 4 MiB are read at most.
        since_s: leave out lines of before, as far as their time is known.
        after: only what was written after this `end` of an earlier call.
    """
    kept: deque[LogLine] = deque(maxlen=limit)
    size = _size(log)
    older = _beside(log, ROTATED)
    if after is None:
        begin = max(0, size - MOST_READ_BYTES)
        if begin == 0:
            kept.extend(_lines(older, max(0, _size(older) - (MOST_READ_BYTES - size)), None)[0])
    elif size < after:
        kept.extend(_lines(older, after, None)[0])
        begin = 0
    else:
        begin = max(after, size - MOST_READ_BYTES)
    found, end = _lines(log, begin, size)
    kept.extend(found)
    lines = [line for line in kept if since_s is None or line.at_s is None or line.at_s >= since_s]
    return LogLines(lines, end)


def find_failures(folder: Path, request_id: str, *, version: str) -> list[LogLine]:
    """The tracebacks of a request, as lines; of pipelines that run a version.

    Args:
        folder: of the logs.
        request_id: of the request.
        version: the UUID of a model version.
    """
    wanted = request_id.encode()
    found: list[LogLine] = []
    for path in (folder / (FAILURES + ROTATED), folder / FAILURES):
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            record = _record(line) if wanted in line else None
            if record is not None and record["request_id"] == request_id and version in record["versions"]:
                text = f"request {request_id} of pipeline {record['pipeline']}\n{record['trace']}"
                found.extend(LogLine(record["at_s"], each) for each in text.splitlines())
    return found


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(line)
        return record if record.keys() >= {"request_id", "versions", "pipeline", "trace", "at_s"} else None
    except (ValueError, AttributeError):
        return None


def _lines(log: Path, begin: int, size: int | None) -> tuple[list[LogLine], int]:
    """Whole lines from an offset on, and where they end. Of the file that is still written, a line without its end waits."""
    try:
        with log.open("rb") as file:
            # A read that does not begin at the start of a line leaves that line out.
            file.seek(max(0, begin - 1))
            data = file.read(MOST_READ_BYTES + 1)
    except OSError:
        return [], begin if size is None else size
    if begin:
        first, found, data = data.partition(b"\n")
        begin += len(first) if found else 0
    if size is not None and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
    return [
        LogLine(at_s, line[:MOST_LINE_BYTES].decode("utf-8", "replace").rstrip("\r\n"))
        for at_s, line in _timed(data, begin, _stamps(log))
    ], begin + len(data)


def _timed(data: bytes, begin: int, stamps: list[tuple[int, float]]) -> Iterator[tuple[float | None, bytes]]:
    offset = begin
    for line in data.splitlines(keepends=True):
        place = bisect_right(stamps, (offset, float("inf")))
        yield (stamps[place][1] if place < len(stamps) else None), line
        offset += len(line)


def _stamps(log: Path) -> list[tuple[int, float]]:
    try:
        content = _beside(log, TIMES).read_bytes()
    except OSError:
        return []
    whole = len(content) - len(content) % _STAMP.size
    return [(size, at_s) for size, at_s in _STAMP.iter_unpack(content[:whole])]


def _beside(log: Path, suffix: str) -> Path:
    return log.with_name(log.name + suffix)


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0
