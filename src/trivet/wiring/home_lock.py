"""The lock of a home: one platform at a time runs from it, and other processes see by it that one does."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from trivet.disk.locks import LockBusyError, held
from trivet.errors import Conflict, Unavailable

__all__ = ["check_lock", "is_locked", "locked_by", "only_platform"]


@contextlib.contextmanager
def only_platform(home: Path) -> Iterator[int]:
    """Allow one platform a home: the kernel releases the lock, whose descriptor this gives, when this process ends."""
    path = _lock_of(home)
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(held(path))
        except LockBusyError as error:
            pid = path.read_text().strip() or "unknown"
            raise Conflict(
                f"a platform already runs from {home} (pid {pid})",
                fix="use it, stop it with `trivet down`, or give another --home",
                reason="already_running",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor


def check_lock(home: Path, lock: int) -> None:
    """Check that a lock that this process holds is still the one of its home.

    Raises:
        Unavailable: the home's `run` was removed.
    """
    path = _lock_of(home)
    try:
        if os.path.samestat(path.stat(), os.fstat(lock)):
            return
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:  # a disk that fails for a moment
        return
    raise Unavailable(
        f"{path.parent} was removed while the platform ran from it",
        why="its processes do not find each other without it, and another platform could start from the same home",
        fix="start the platform again: `trivet up`",
        reason="run_folder_removed",
    )


def is_locked(home: Path) -> bool:
    """Whether a platform runs from a home."""
    path = _lock_of(home)
    if not path.exists():
        return False
    try:
        with held(path, shared=True):
            return False
    except LockBusyError:
        return True
    except OSError:
        return False


def locked_by(home: Path) -> int:
    """The process id of the platform that runs from a locked home."""
    return int(_lock_of(home).read_text())


def _lock_of(home: Path) -> Path:
    return home / "run" / "up.lock"
