"""Makes the first file operation of this process fail, then the second, until a run gets through: SQLite's test loops.

    for fault in nth_failure.each("ENOSPC"):
        with fault:
            act()
        if fault.reached: the operation `fault.operation` failed in this run
        else: this was the last run, nothing failed

A crash is acted out in a child: `fault.in_child(act)` gives its exit code, which is `CRASHED` if it came that far.

Operations fail where Python hands them to the kernel, so whoever calls them, and however, meets the fault: `os.open`,
`open`, `os.write` and the writes of opened files, `os.fsync`, renames, `os.mkdir`, links, `flock`, `chmod`, and the
start of a program. What programs do that are started counts for nothing, nor do reads and removals.
"""

import builtins
import errno
import fcntl
import io
import itertools
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from typing import Any, Self

import pytest

CRASHED = 86
RAISED = 87

_ON_DISK = {"create", "write", "fsync", "rename", "mkdir", "link"}
# What a fault can meet: a full disk refuses no reading, and only what makes a descriptor runs out of them.
MEETS = {
    "ENOSPC": _ON_DISK,
    "EIO": _ON_DISK | {"open", "lock", "chmod"},
    "EMFILE": {"open", "create", "spawn"},
    "short write": {"write"},
    "crash": _ON_DISK | {"open", "lock", "chmod", "spawn"},
}

_real_open = io.open


def each(kind: str, *, meets: Collection[str] | None = None) -> Iterator["Fault"]:
    """A fault at the first operation that `kind` can meet, at the second, and so on; the last one meets none.

    `meets` narrows the operations that count.
    """
    for number in itertools.count(1):
        fault = Fault(kind, number, meets=meets)
        yield fault
        if not fault.reached:
            return


class Fault:
    """One operation that fails, for the length of a `with` block: the `number`-th that `kind` can meet.

    Attributes:
        reached: whether there were so many.
        operation: what failed, as `rename /a/b`; empty if nothing did.
        operations: all that were counted.
    """

    def __init__(self, kind: str, number: int, *, meets: Collection[str] | None = None) -> None:
        self.kind = kind
        self.number = number
        self.reached = False
        self.operation = ""
        self.operations: list[str] = []
        self._meets = MEETS[kind] if meets is None else meets
        self._mutex = threading.Lock()
        self._patch: pytest.MonkeyPatch | None = None

    def __str__(self) -> str:
        return f"{self.kind} at operation {self.number}: {self.operation or 'not reached'}"

    def __enter__(self) -> Self:
        self._patch = patch = pytest.MonkeyPatch()
        for name in ("fsync", "mkdir", "rename", "link", "symlink", "chmod", "fchmod"):
            what = {"symlink": "link", "fchmod": "chmod"}.get(name, name)
            patch.setattr(os, name, self._failing(what, getattr(os, name)))
        patch.setattr(os, "replace", self._failing("rename", os.replace))
        patch.setattr(fcntl, "flock", self._failing("lock", fcntl.flock))
        patch.setattr(os, "open", self._failing_os_open(os.open))
        patch.setattr(os, "write", self._failing_os_write(os.write))
        patch.setattr(io, "open", self._open)
        patch.setattr(builtins, "open", self._open)
        patch.setattr(subprocess.Popen, "__init__", self._failing_spawn(subprocess.Popen.__init__))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._patch is not None
        self._patch.undo()

    def in_child(self, act: Callable[[], object]) -> int:
        """Runs something under this fault in a copy of this process; gives its exit code: 0, `CRASHED` or `RAISED`."""
        child = os.fork()
        if child == 0:
            code = RAISED
            try:
                with self:
                    act()
                code = 0
            except BaseException:  # noqa: BLE001 - the copy must not go on as a second pytest
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.reached = code == CRASHED
        return code

    def due(self, what: str, on: object) -> bool:
        """Counts an operation; whether it is the one that is to fail."""
        if what not in self._meets:
            return False
        with self._mutex:
            self.operations.append(f"{what} {on}")
            if len(self.operations) != self.number:
                return False
            self.reached = True
            self.operation = self.operations[-1]
            return True

    def happen(self, on: object) -> None:
        """Fails as this fault does."""
        if self.kind == "crash":
            os._exit(CRASHED)
        code = getattr(errno, self.kind)
        raise OSError(code, os.strerror(code), on if isinstance(on, str | bytes) else None)

    def write(self, on: object, data: Any, write: Callable[[Any], int]) -> int:
        """Writes, or a part only, or fails."""
        if not self.due("write", on):
            return write(data)
        half = memoryview(data).cast("B")[: len(memoryview(data).cast("B")) // 2]
        if self.kind == "short write":
            # A file of one byte cannot be cut: it is written.
            return write(half or data)
        if self.kind == "crash":
            write(half)
        self.happen(on)
        raise AssertionError

    def _failing(self, what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(on: Any, *args: Any, **named: Any) -> Any:
            # A folder that is there already is said to be there, whatever else is wrong.
            there = what == "mkdir" and os.path.lexists(on)
            if not there and self.due(what, _name(on)):
                self.happen(_name(on))
            return real(on, *args, **named)

        return call

    def _failing_os_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *args: Any, **named: Any) -> int:
            if self.due("create" if flags & os.O_CREAT else "open", _name(path)):
                self.happen(_name(path))
            return real(path, flags, *args, **named)

        return call

    def _failing_os_write(self, real: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        return lambda descriptor, data: self.write(_name(descriptor), data, lambda part: real(descriptor, part))

    def _failing_spawn(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(process: subprocess.Popen[Any], command: Any, *args: Any, **named: Any) -> None:
            if self.due("spawn", command):
                self.happen(None)
            real(process, command, *args, **named)

        return call

    def _open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        # A pipe to a program that was started is no file.
        if isinstance(file, int):
            return _real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        writes = set("wxa+") & set(mode)
        if self.due("create" if set("wxa") & set(mode) else "open", _name(file)):
            self.happen(_name(file))
        if not writes:
            return _real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _FailingFile(self, file, mode.replace("b", "").replace("t", ""), opener=opener)
        if buffering == 0:
            return raw
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)


class _FailingFile(io.FileIO):
    """What lies below an opened file: Python's own buffering above it stays as it is."""

    def __init__(self, fault: Fault, file: Any, mode: str, *, opener: Any) -> None:
        super().__init__(file, mode, opener=opener)
        self._fault = fault

    def write(self, data: Any, /) -> int:
        return self._fault.write(_name(self.name), data, super().write)


def _name(on: Any) -> str:
    """The path of a path or a descriptor."""
    if not isinstance(on, int):
        return os.fsdecode(on)
    try:
        return os.readlink(f"/proc/self/fd/{on}")  # noqa: PTH115 - Path would be counted by nobody, and costs more
    except OSError:
        return str(on)
