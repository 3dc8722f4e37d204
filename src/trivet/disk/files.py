"""Durable writes, and removal of read-only folders."""

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["remove", "remove_tree", "sync", "write_all"]


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`.

    Raises:
        OSError: the write failed.
    """
    left = memoryview(data)
    while left:
        # A disk that fills up accepts a part of the bytes and fails at the next call.
        left = left[os.write(descriptor, left) :]


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. Links are not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(folder: Path) -> None:
    """Remove a folder with read-only files and folders as far as that is possible. Links are not followed.

    A folder that is missing is not an error. Nothing is raised: a later sweep removes what stays.
    """
    if folder.is_symlink():
        return
    with suppress(OSError):
        folder.chmod(stat.S_IRWXU)
        for above, folders, _ in os.walk(folder):
            for name in folders:
                if not (below := Path(above, name)).is_symlink():
                    below.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
