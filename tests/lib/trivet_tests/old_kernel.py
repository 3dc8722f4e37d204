"""Runs a command on this kernel as on one that has no Landlock: a filter of system calls hides it.

`python old_kernel.py COMMAND ARGUMENT…`
"""

import ctypes
import errno
import os
import struct
import sys

CREATE_RULESET = 444
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2


def hide_landlock() -> None:
    """For this process and all that it starts."""
    steps = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, CREATE_RULESET),
        (0x06, 0, 0, 0x50000 | errno.ENOSYS),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    head = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    for arguments in ((NO_NEW_PRIVS, ctypes.c_ulong(1), zero), (SECCOMP, ctypes.c_ulong(FILTER), head)):
        if libc.prctl(ctypes.c_int(arguments[0]), *arguments[1:], zero, zero) != 0:
            raise OSError(ctypes.get_errno(), "the filter is refused")


if __name__ == "__main__":
    hide_landlock()
    os.execv(sys.argv[1], sys.argv[1:])
