"""Locks between processes, and temporary folders that a dead process leaves behind for the next one to sweep.

A lock is `flock` on a file that is never deleted, so everybody locks the same inode, and the kernel lets go of it
however its holder ends.
"""

import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LockBusyError", "Workspace", "held", "remove_tree", "workspace"]

_POLL_S = 0.1
_SWEEP_WAIT_S = 60.0


class LockBusyError(Exception):
    """Somebody else kept the lock for longer than the caller would wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """A private temporary folder, and the descriptor of the lock that says that its maker is alive."""

    folder: Path
    lock: int


@contextmanager
def held(
    path: Path, *, shared: bool = False, wait_s: float = 0.0, on_wait: Callable[[], None] | None = None
) -> Iterator[int]:
    """Holds a lock for the length of a `with` block.

    Args:
        path: the lock's file; made, with its folder, where it is missing.
        shared: others may hold it shared too.
        wait_s: how long to wait for somebody else's; 0 does not wait.
        on_wait: called once, before the first wait.

    Yields:
        The lock's descriptor. A child process that inherits it keeps the lock for as long as it lives.

    Raises:
        LockBusyError: it was not free in time.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path=path, shared=shared, wait_s=wait_s, on_wait=on_wait)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, path: Path, shared: bool, wait_s: float, on_wait: Callable[[], None] | None) -> None:
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
    deadline = time.monotonic() + wait_s
    said = False
    while True:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockBusyError(str(path)) from None
        else:
            return
        if on_wait is not None and not said:
            on_wait()
            said = True
        time.sleep(_POLL_S)


@contextmanager
def workspace(parent: Path) -> Iterator[Workspace]:
    """Makes a folder in `parent` that is gone after the block, and sweeps the ones whose makers died.

    Raises:
        LockBusyError: another process has been sweeping for a minute.
        OSError: the disk is full, or `parent` cannot be written to.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    folder = parent / name
    lock = parent / f"{name}.lock"
    with ExitStack() as own:
        # One at a time here, so that nobody takes a folder for a dead one between its making and its locking.
        with ExitStack() as dead:
            with held(parent / ".sweep", wait_s=_SWEEP_WAIT_S):
                stale = _claim_stale(parent, claims=dead)
                descriptor = own.enter_context(held(lock))
                own.callback(_discard, folder=folder, lock=lock)
                folder.mkdir(mode=0o700)
            for old in stale:
                _discard(folder=old, lock=old.with_name(f"{old.name}.lock"))
        yield Workspace(folder=folder, lock=descriptor)


def _claim_stale(parent: Path, *, claims: ExitStack) -> list[Path]:
    """The folders whose makers are dead; their locks are ours until `claims` ends."""
    stale = []
    for lock in parent.glob("*.lock"):
        with suppress(LockBusyError):
            claims.enter_context(held(lock))
            stale.append(lock.with_suffix(""))
    return stale


def _discard(*, folder: Path, lock: Path) -> None:
    remove_tree(folder)
    # What could not be removed stays claimed by its lock file, so the next sweep tries again.
    if not folder.exists():
        lock.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Removes a folder as far as that is possible, folders that are not writable included; never raises."""

    def unlock_and_retry(function: Callable[..., object], path: str, _error: BaseException) -> None:
        with suppress(OSError):
            parent = os.path.dirname(path)  # noqa: PTH120 - shutil hands out plain strings
            os.chmod(parent, os.lstat(parent).st_mode | stat.S_IRWXU)  # noqa: PTH101
            if not os.path.islink(path):  # noqa: PTH114
                os.chmod(path, os.lstat(path).st_mode | stat.S_IRWXU)  # noqa: PTH101
            if function in (os.unlink, os.rmdir):
                function(path)
            else:
                shutil.rmtree(path, ignore_errors=True)

    # `onerror` rather than `onexc`: the latter came with Python 3.12.
    shutil.rmtree(folder, onerror=lambda function, path, info: unlock_and_retry(function, path, info[1]))
