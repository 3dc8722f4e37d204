"""Files and folders that appear complete: written under a temporary name, and renamed once all bytes are on the disk.

The process that writes a draft locks it. The kernel releases the lock when that process ends, and the next writer removes
the draft.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trivet.disk.files import remove, remove_tree

__all__ = ["draft_file", "draft_folder", "draft_name", "locked_folder", "sweep_drafts"]

_PREFIX = "tmp-"
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def draft_name(folder: Path) -> Path:
    """A new temporary name in a folder."""
    return folder / f"{_PREFIX}{secrets.token_hex(8)}"


@contextmanager
def draft_file(folder: Path) -> Iterator[tuple[Path, int]]:
    """A new file and its descriptor; removed after the block, unless it was renamed.

    Raises:
        OSError: it cannot be made.
    """
    with _draft(
        folder, lambda path: os.open(path, _NEW_FILE, 0o600), lambda path: path.unlink(missing_ok=True)
    ) as made:
        yield made


@contextmanager
def draft_folder(folder: Path) -> Iterator[tuple[Path, int]]:
    """A new folder and its descriptor; removed after the block, unless it was renamed.

    Raises:
        OSError: it cannot be made.
    """

    def make(path: Path) -> int:
        path.mkdir(mode=0o700)
        return os.open(path, _FOLDER)

    with _draft(folder, make, remove_tree) as made:
        yield made


def sweep_drafts(folder: Path) -> None:
    """Remove drafts whose writers are dead: their locks are free."""
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path)
            finally:
                os.close(descriptor)


@contextmanager
def locked_folder(folder: Path) -> Iterator[int]:
    """Hold a folder's own lock for the length of a `with` block. Waits for the process that holds it.

    Yields:
        The folder's descriptor.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _draft(folder: Path, make: Callable[[Path], int], end: Callable[[Path], None]) -> Iterator[tuple[Path, int]]:
    while True:
        path = draft_name(folder)
        # A sweep between creation and lock may remove the draft, because it looks like the draft of a dead process.
        try:
            descriptor = make(path)
        except FileNotFoundError:
            if not folder.is_dir():
                raise
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                yield path, descriptor
                return
        finally:
            end(path)
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
