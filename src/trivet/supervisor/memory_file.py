"""The supervisor's memory in a file: what the next supervisor needs, so that it does not disturb serving routes."""

import logging
from pathlib import Path

from trivet.disk.replace import replace_file
from trivet.domain.encoding import encode
from trivet.domain.released_forms import decode_released
from trivet.domain.routes import RouteTable
from trivet.errors import TrivetError
from trivet.supervisor.desired import Memory, memory_of_table

__all__ = ["MemoryFile"]

log = logging.getLogger(__name__)


class MemoryFile:
    """Stores a `Memory`.

    Args:
        path: the file; it is replaced as a whole.
        table: the gateway's file of routes, which has most of it if the first is lost.
    """

    def __init__(self, path: Path, *, table: Path) -> None:
        self._path = path
        self._table = table

    def read(self) -> Memory:
        """The stored memory."""
        try:
            return decode_released(self._path.read_bytes(), Memory)
        except FileNotFoundError:
            pass
        except (OSError, TrivetError) as error:
            log.warning("failed to read the supervisor's memory: %s", error)
        try:
            return memory_of_table(decode_released(self._table.read_bytes(), RouteTable))
        except (OSError, TrivetError):
            return Memory()

    def write(self, memory: Memory) -> None:
        """Store a memory. If that fails, it is only lost with this process."""
        try:
            replace_file(self._path, encode(memory), durable=True)
        except OSError as error:
            log.warning("failed to write the supervisor's memory to %s: %s", self._path, error.strerror or error)
