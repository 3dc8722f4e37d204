"""Writes a package's files into a private folder."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from trivet.disk.files import sync, write_all
from trivet.domain.digest import Digest
from trivet.domain.package import PackageFile
from trivet.packaging.limits import Budget
from trivet.packaging.paths import Entry

__all__ = ["make_durable", "write_bytes", "write_files"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_files(entries: list[Entry], *, into: int, budget: Budget) -> tuple[PackageFile, ...]:
    """Write files below an empty, private folder. A name that exists already is an error.

    Args:
        entries: the files, in order of path.
        into: the folder's descriptor.
        budget: counts what is written.

    Raises:
        OSError: a file cannot be written.
        TooLarge: beyond the budget.
        BadPackage: from the entries' chunks.
    """
    written = []
    # The open folders down to the current one: the entries are sorted, so few folders are opened twice.
    way: list[tuple[str, int]] = []
    try:
        for entry in entries:
            assert entry.chunks is not None
            above, name = entry.parts[:-1], entry.parts[-1]
            common = 0
            while common < min(len(above), len(way)) and way[common][0] == above[common]:
                common += 1
            while len(way) > common:
                os.close(way.pop()[1])
            for part in above[common:]:
                way.append((part, _open_or_make(part, within=way[-1][1] if way else into)))
            descriptor = os.open(name, _NEW_FILE, 0o400, dir_fd=way[-1][1] if way else into)
            try:
                size, sha256 = _copy(entry, descriptor, budget=budget)
                os.fchmod(descriptor, 0o444)
            finally:
                os.close(descriptor)
            written.append(PackageFile(path=entry.path, size=size, sha256=sha256))
    finally:
        for _, descriptor in way:
            os.close(descriptor)
    return tuple(written)


def _open_or_make(name: str, *, within: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=within)
    return os.open(name, _FOLDER, dir_fd=within)


def _copy(entry: Entry, descriptor: int, *, budget: Budget) -> tuple[int, Digest]:
    assert entry.chunks is not None
    budget.begin(entry.name)
    hashed = hashlib.sha256()
    size = 0
    for chunk in entry.chunks():
        budget.spend(len(chunk))
        hashed.update(chunk)
        size += len(chunk)
        write_all(descriptor, chunk)
    return size, Digest(hashed.hexdigest())


def write_bytes(name: str, data: bytes, *, into: int) -> None:
    """Write one new read-only file.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(name, _NEW_FILE, 0o400, dir_fd=into)
    try:
        write_all(descriptor, data)
        os.fchmod(descriptor, 0o444)
    finally:
        os.close(descriptor)


def make_durable(folder: Path) -> None:
    """Make folders read-only and flush all files to the disk: files first, then the folders that name them.

    Raises:
        OSError: the write failed.
    """

    def fail(error: OSError) -> None:
        raise error

    for above, folders, files in os.walk(folder, topdown=False, onerror=fail):
        # Flush once all files are written: the first fsync then writes most of the others, too.
        for name in files:
            sync(Path(above, name))
        for name in folders:
            _seal(Path(above, name))
    _seal(folder)


def _seal(folder: Path) -> None:
    descriptor = os.open(folder, _FOLDER)
    try:
        os.fchmod(descriptor, 0o555)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
