"""The worker's own process: its streams, its limits, and its end with its parent."""

import contextlib
import os
import signal
import sys
from typing import Optional, TextIO, Tuple

__all__ = ["apply_limits", "become_subreaper", "die_with_parent", "read_line", "take_streams"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def read_line(fd: int) -> bytes:
    """The first line of a pipe, without buffering the rest. Empty if the pipe is closed before."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(fd, 65536)
        if not piece:
            return b""
        line += piece
    return line


def take_streams() -> TextIO:
    """Keep the parent's pipe for events, and replace standard input and output for model code.

    Afterwards standard input is at its end, and output goes to the log on stderr, line by line.

    Returns:
        The stream for events, one JSON line each.
    """
    events = os.fdopen(
        os.dup(1), "w", encoding="utf-8", buffering=1
    )  # dup: not inherited by programs that a model starts
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    return events


def apply_limits(*, memory_bytes: Optional[int], open_files: Optional[int]) -> None:
    """Limit private memory in bytes and open files of this process and its children, and disable core dumps.

    The memory limit is on data (`RLIMIT_DATA`): heap and private writable mappings, not mapped files. An allocation beyond it
    fails with `MemoryError`.
    """
    import resource

    _lower(resource.RLIMIT_CORE, 0)
    if memory_bytes is not None:
        _lower(resource.RLIMIT_DATA, memory_bytes)
    if open_files is not None:
        _lower(resource.RLIMIT_NOFILE, open_files)


def _lower(which: int, value: int) -> None:
    import resource

    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Args:
        parent: the pid of that process; if it has ended already, this process ends here.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> bool:
    """Adopt descendants whose parents end. Returns False if the system does not support it."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    # An interpreter may lack ctypes, and other systems lack prctl: then only the pipe to the parent ends the worker.
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        done: int = ctypes.CDLL(None).prctl(ctypes.c_int(option), *_longs(int(value)))
        return done == 0
    return False


def _longs(value: int) -> "Tuple[object, ...]":
    import ctypes

    return tuple(ctypes.c_ulong(number) for number in (value, 0, 0, 0))
