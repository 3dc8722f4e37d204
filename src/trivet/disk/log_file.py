"""A log file of limited size."""

import os
from pathlib import Path

__all__ = ["LogFile"]

_MAX_FILE_BYTES = 8 * 2**20


class LogFile:
    """A file that is renamed to `.1` when it is full, so that there are at most two.

    Several processes may write to one: lines are appended whole.
    """

    def __init__(self, path: Path, *, max_bytes: int = _MAX_FILE_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def append(self, data: bytes) -> None:
        """Write at the end. A full disk loses the log, and ends nothing.

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
