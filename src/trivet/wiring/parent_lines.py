"""What a process's parent sends through its standard input: its settings first, and later what has changed."""

import asyncio
import contextlib
import os
from collections.abc import Callable

__all__ = ["ParentLines"]


class ParentLines:
    """Lines from a descriptor.

    Args:
        descriptor: the end of the pipe that is read.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def first(self) -> bytes:
        """Wait for a line; empty if the parent has ended."""
        while b"\n" not in self._rest:
            piece = os.read(self._descriptor, 2**16)
            if not piece:
                return b""
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def follow(self, loop: asyncio.AbstractEventLoop, take: Callable[[bytes], None]) -> None:
        """Call `take` in the loop with each line that comes from now on."""
        os.set_blocking(self._descriptor, False)

        def take_whole(piece: bytes) -> None:
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                take(line)

        def read() -> None:
            with contextlib.suppress(BlockingIOError):
                piece = os.read(self._descriptor, 2**16)
                if not piece:
                    loop.remove_reader(self._descriptor)
                take_whole(piece)

        # Some may have come with the first one.
        take_whole(b"")
        loop.add_reader(self._descriptor, read)
