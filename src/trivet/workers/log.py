"""A worker's log of stdout and stderr: the last lines in memory, and all of it in a file of limited size."""

import os
import shutil
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from trivet.disk.log_file import LogFile

__all__ = ["TRIM_EVERY_S", "FileLog", "WorkerLog", "last_lines"]

TRIM_EVERY_S = 30.0
"""How often a `FileLog` is trimmed."""

_MAX_FILE_BYTES = 8 * 2**20
_KEPT_LINES = 200
_MAX_LINE_BYTES = 4096
_TAIL_BYTES = 64 * 2**10


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
                self._cut = False  # the end of a line whose start was kept
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
        return last_lines(self.lines, lines=lines)

    def _keep(self, lines: list[bytes]) -> None:
        if lines:
            self.lines.extend(line.decode("utf-8", "replace").rstrip("\r") for line in lines)
            self._file.append(b"\n".join(lines) + b"\n")


class FileLog:
    """A log that the worker itself writes, because it may outlive the process that started it.

    Args:
        path: the file; workers of one model share it.
        start: where the worker's own lines begin.
    """

    def __init__(self, path: Path, *, start: int) -> None:
        self.path = path
        self.start = start

    @classmethod
    def opened(cls, path: Path) -> "tuple[FileLog, int]":
        """The log, and a descriptor for the worker to write at its end.

        Raises:
            OSError: the file cannot be opened.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return cls(path, start=os.fstat(descriptor).st_size), descriptor

    def tail(self, *, lines: int = 20) -> str:
        """As `WorkerLog.tail`; may include lines of other workers of the model."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # A file that was truncated since starts from 0.
                begin = self.start if self.start <= size else 0
                file.seek(max(begin, size - _TAIL_BYTES))
                data = file.read(_TAIL_BYTES)
        except OSError:
            return ""
        return last_lines(
            [line.decode("utf-8", "replace")[:_MAX_LINE_BYTES] for line in data.splitlines()], lines=lines
        )

    def trim(self, *, max_bytes: int = _MAX_FILE_BYTES) -> None:
        """Move the content to `.1` if it is large. The writers append, so they continue in the file."""
        try:
            if self.path.stat().st_size < max_bytes:
                return
            aside = self.path.with_name(self.path.name + ".1")
            shutil.copyfile(self.path, aside)
            aside.chmod(0o600)
            os.truncate(self.path, 0)
        except OSError:
            return


def last_lines(written: Iterable[str], *, lines: int) -> str:
    """The last lines with content, each indented."""
    kept = [line for line in written if line.strip() and not line.startswith("Extension modules: ")]
    return "\n".join(f"    {line}" for line in kept[-lines:])
