"""System calls that Python has no functions for."""

import ctypes
import os
from typing import List

__all__ = ["libc", "prctl", "syscall", "unshare", "zeros"]

_LIBC: List[ctypes.CDLL] = []


def libc() -> ctypes.CDLL:
    """The C library of this process."""
    # One for all of some hundred calls: each new one takes as long as a call.
    if not _LIBC:
        _LIBC.append(ctypes.CDLL(None, use_errno=True))
    return _LIBC[0]


def zeros(count: int) -> "List[ctypes.c_ulong]":
    """Arguments that a call does not use."""
    return [ctypes.c_ulong(0)] * count


def prctl(option: int, *values: int) -> None:
    """Change this process. Raises OSError."""
    arguments = [ctypes.c_ulong(value) for value in values] + zeros(4 - len(values))
    if libc().prctl(ctypes.c_int(option), *arguments) != 0:
        _raise()


def syscall(number: int, *arguments: object) -> int:
    """Make a system call by its number. Raises OSError."""
    library = libc()
    library.syscall.restype = ctypes.c_long
    done: int = library.syscall(
        ctypes.c_long(number), *(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    )
    if done < 0:
        _raise()
    return done


def unshare(flags: int) -> None:
    """Give this process namespaces of its own. Raises OSError."""
    if libc().unshare(ctypes.c_int(flags)) != 0:
        _raise()


def _raise() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
