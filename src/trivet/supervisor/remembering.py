"""The supervisor's memory, in a file: what a new supervisor must know in order not to disturb what serves."""

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
    """Keeps a `Memory`.

    Args:
        path: the file; it is replaced as a whole.
        table: the gateway's file with its routes, which tells most of it, should the first be lost.
    """

    def __init__(self, path: Path, *, table: Path) -> None:
        self._path = path
        self._table = table

    def read(self) -> Memory:
        """What was kept last."""
        try:
            return decode_released(self._path.read_bytes(), Memory)
        except FileNotFoundError:
            pass
        except (OSError, TrivetError) as error:
            log.warning("what the supervisor knew cannot be read: %s", error)
        try:
            return memory_of_table(decode_released(self._table.read_bytes(), RouteTable))
        except (OSError, TrivetError):
            return Memory()

    def write(self, memory: Memory) -> None:
        """Keep a memory. One that cannot be kept is lost with this process only."""
        try:
            replace_file(self._path, encode(memory), durable=True)
        except OSError as error:
            log.warning("what the supervisor knows cannot be kept in %s: %s", self._path, error.strerror or error)
