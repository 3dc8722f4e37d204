"""A worker's log: what it writes on stdout and stderr, the last lines in memory and all of it in a file of limited size."""

import os
from collections import deque
from pathlib import Path

__all__ = ["LogFile", "WorkerLog"]

_MAX_FILE_BYTES = 8 * 2**20
_KEPT_LINES = 200
_MAX_LINE_BYTES = 4096


class LogFile:
    """A file that is put aside as `.1` when it is full, so that two together are all there ever is.

    Several workers may write to one: lines are appended whole.
    """

    def __init__(self, path: Path, *, max_bytes: int = _MAX_FILE_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def append(self, data: bytes) -> None:
        """Write at the end. A full disk loses the log, not the worker: the lines in memory remain.

        Raises:
            Nothing.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, data)
                full = os.fstat(descriptor).st_size >= self._max_bytes
            finally:
                os.close(descriptor)
            if full:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
        except OSError:
            return


class WorkerLog:
    """Splits one worker's output into lines.

    Attributes:
        lines: the last lines, decoded; long ones are cut.
    """

    def __init__(self, file: LogFile) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._file = file
        self._rest = b""
        self._cut = False

    def feed(self, data: bytes) -> None:
        """Take what was read from the worker, lines in pieces or many at once."""
        *whole, rest = (self._rest + data).split(b"\n")
        kept = []
        for line in whole:
            if self._cut:
                self._cut = False  # the end of a line whose beginning was kept
            else:
                kept.append(line[:_MAX_LINE_BYTES])
        if len(rest) > _MAX_LINE_BYTES:
            if not self._cut:
                kept.append(rest[:_MAX_LINE_BYTES])
            self._cut, rest = True, b""
        self._rest = rest
        self._keep(kept)

    def close(self) -> None:
        """The worker has ended: a last line without a line feed counts too."""
        if self._rest and not self._cut:
            self._keep([self._rest])
        self._rest = b""

    def tail(self, *, lines: int = 20) -> str:
        """The last lines, each indented, as an error message quotes them; empty if there are none.

        Empty lines are left out, and the list of all extension modules that Python's fault handler ends with.
        """
        telling = [line for line in self.lines if line.strip() and not line.startswith("Extension modules: ")]
        return "\n".join(f"    {line}" for line in telling[-lines:])

    def _keep(self, lines: list[bytes]) -> None:
        if lines:
            self.lines.extend(line.decode("utf-8", "replace").rstrip("\r") for line in lines)
            self._file.append(b"\n".join(lines) + b"\n")
