"""Locks between processes, and temporary folders. The next process removes the folders of dead processes.

A lock is `flock` on a file that is never deleted, so that all processes lock the same inode. The kernel releases it
when its holder ends, for whatever reason.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from trivet.disk.files import remove_tree

__all__ = ["LockBusyError", "TemporaryFolder", "held", "temporary_folder"]

_POLL_S = 0.1
_SWEEP_WAIT_S = 60.0


class LockBusyError(Exception):
    """Another process held the lock for longer than the caller waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemporaryFolder:
    """A private folder, and the descriptor of the lock that its owner holds."""

    path: Path
    lock: int


@contextmanager
def held(
    path: Path, *, shared: bool = False, wait_s: float = 0.0, on_wait: Callable[[], None] | None = None
) -> Iterator[int]:
    """Hold a lock for the length of a `with` block.

    Args:
        path: the lock's file; created, with its folder, if missing.
        shared: hold it together with other shared holders.
        wait_s: how long to wait for another holder; 0 does not wait.
        on_wait: called once, before the first wait.

    Yields:
        The lock's descriptor. A child process that inherits it keeps the lock for as long as it lives.

    Raises:
        LockBusyError: another process still holds it after `wait_s`.
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
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockBusyError(str(path)) from None
        else:
            return
        if on_wait is not None and not waited:
            on_wait()
            waited = True
        time.sleep(_POLL_S)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[TemporaryFolder]:
    """A new folder in `parent`, removed after the block. Folders of dead processes are removed, too.

    Raises:
        LockBusyError: another process has been sweeping for a minute.
        OSError: the disk is full, or `parent` is not writable.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    folder = parent / name
    lock = parent / f"{name}.lock"
    with ExitStack() as own:
        # One sweep at a time: a new folder that is not locked yet looks like the folder of a dead process.
        with ExitStack() as dead:
            with held(parent / ".sweep", wait_s=_SWEEP_WAIT_S):
                stale = _claim_stale(parent, claims=dead)
                descriptor = own.enter_context(held(lock))
                own.callback(_discard, folder=folder, lock=lock)
                folder.mkdir(mode=0o700)
            for old in stale:
                _discard(folder=old, lock=old.with_name(f"{old.name}.lock"))
        yield TemporaryFolder(path=folder, lock=descriptor)


def _claim_stale(parent: Path, *, claims: ExitStack) -> list[Path]:
    """The folders of dead processes; their locks are held until `claims` ends."""
    stale = []
    for lock in parent.glob("*.lock"):
        with suppress(LockBusyError):
            claims.enter_context(held(lock))
            stale.append(lock.with_suffix(""))
    return stale


def _discard(*, folder: Path, lock: Path) -> None:
    remove_tree(folder)
    # A folder that could not be removed keeps its lock file, so the next sweep tries again.
    if not folder.exists():
        lock.unlink(missing_ok=True)
