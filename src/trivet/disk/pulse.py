"""Memory that a process shares with its parent: a beat at each turn of its event loop, and the model of each native call.

The memory survives the process: its parent reads afterwards what the process was doing when it ended.
"""

import mmap
import os
import tempfile
from typing import Final, Self

__all__ = ["LOOP_SLOT", "Pulse"]

WORDS: Final = 1024
LOOP_SLOT: Final = 1
"""The slot of calls on the event loop; a thread takes any other one. Word 0 has the beats."""


class Pulse:
    """Shared words of 64 bits.

    Args:
        descriptor: of the memory. The object keeps it open until `close`.

    Attributes:
        words: the number of beats, then the model of each native call; 0 while there is no call.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, 8 * WORDS)
        self.words = memoryview(self._memory).cast("Q")

    @classmethod
    def create(cls) -> Self:
        """New memory, without a beat."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("trivet-pulse")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, 8 * WORDS)
        return cls(descriptor)

    @property
    def beats(self) -> int:
        """The number of beats so far."""
        return self.words[0]

    def beat(self) -> None:
        """Count a turn of the event loop."""
        self.words[0] += 1

    def calls(self) -> set[int]:
        """The models of all native calls in progress."""
        return {*self.words[LOOP_SLOT:]} - {0}

    def close(self) -> None:
        """Release the memory. Its other users keep it."""
        self.words.release()
        self._memory.close()
        os.close(self.descriptor)
