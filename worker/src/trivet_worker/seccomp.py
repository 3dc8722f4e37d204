"""A filter of system calls: those that act on other processes beyond Landlock's rules, and internet sockets where they are refused."""

import ctypes
import errno
import os
import struct
from typing import Dict, List, Tuple

__all__ = ["filter_calls"]

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
_AF_UNIX = 1


class _Calls:
    """Numbers of system calls of one architecture."""

    def __init__(
        self, architecture: int, socket: int, prlimit: int, by_handle: int, keys: Tuple[int, int, int]
    ) -> None:
        self.architecture = architecture
        self.socket = socket
        self.prlimit = prlimit
        self.by_handle = by_handle
        self.keys = keys


_IO_URING_SETUP = 425
_MACHINES: Dict[str, _Calls] = {
    "x86_64": _Calls(0xC000003E, 41, 302, 304, (248, 249, 250)),
    "aarch64": _Calls(0xC00000B7, 198, 261, 265, (217, 218, 219)),
}


def filter_calls(*, network: bool) -> bool:
    """Install the filter for this process and all that it starts. Needs `no_new_privs`.

    Args:
        network: whether sockets other than Unix sockets may be made.

    Returns:
        False if the machine or its kernel does not support it.
    """
    calls = _MACHINES.get(os.uname().machine)
    if calls is None:
        return False
    program = b"".join(_program(calls, network=network))
    buffer = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.prctl(
        ctypes.c_int(_PR_SET_SECCOMP), ctypes.c_ulong(_MODE_FILTER), head, ctypes.c_ulong(0), ctypes.c_ulong(0)
    )
    return done == 0


def _program(calls: _Calls, *, network: bool) -> List[bytes]:
    """Instructions of classic BPF. Calls of another architecture's table (32 bits, x32) would bypass the numbers: there are none."""
    found = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, calls.architecture, 1, 0),
        _refuse(errno.ENOSYS),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    # A process with the right to search any folder could open files by their numbers; keys are shared by all processes of a user.
    for number in (calls.by_handle, *calls.keys):
        found += _on(number, [_refuse(errno.EPERM)])
    # Limits of another process: its time limit would end it.
    found += _on(
        calls.prlimit,
        [
            _step(_LOAD, _ARGUMENTS),
            _step(_EQUAL, 0, 5, 0),
            _step(_LOAD, _ARGUMENTS + 16),
            _step(_EQUAL, 0, 0, 2),
            _step(_LOAD, _ARGUMENTS + 20),
            _step(_EQUAL, 0, 1, 0),
            _refuse(errno.EPERM),
            _step(_RETURN, _ALLOW),
        ],
    )
    if not network:
        found += _on(_IO_URING_SETUP, [_refuse(errno.ENOSYS)])
        found += _on(
            calls.socket,
            [
                _step(_LOAD, _ARGUMENTS),
                _step(_EQUAL, _AF_UNIX, 1, 0),
                _refuse(errno.EACCES),
                _step(_RETURN, _ALLOW),
            ],
        )
    return [*found, _step(_RETURN, _ALLOW)]


def _on(number: int, steps: List[bytes]) -> List[bytes]:
    """Steps for one call, the last of which returns; other calls skip them."""
    return [_step(_EQUAL, number, 0, len(steps)), *steps]


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
