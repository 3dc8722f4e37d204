"""The store of packages: every package once, under the sha256 of its file or folder.

    store/<digest>/files/...        the package's files, read-only
    store/<digest>/manifest.json    their paths, sizes and digests
    store/tmp-<random>/             a package that is being written; its writer holds a lock on the folder

A package appears by one rename, once all of it is on the disk, so it is never incomplete. A digest depends on bytes alone, so
a file's name is not kept: a package of a single file has one file `model` with the suffix.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO

from trivet.domain.digest import Digest, digest_of_bytes
from trivet.domain.frameworks import ACCEPTED, ZIPPED
from trivet.domain.package import Manifest, PackageFile
from trivet.errors import BadPackage, NotFound
from trivet.packaging import store_folder
from trivet.packaging.archive import looks_like_zip, read_archive
from trivet.packaging.folder import read_folder
from trivet.packaging.limits import Budget, Limits
from trivet.packaging.paths import Entry, shown

__all__ = ["StoredPackage", "discard_package", "find_package", "package_in_use", "put_file", "put_folder", "put_zip"]

_CHUNK = 1 << 20
_FORMS: tuple[store_folder.Form, ...] = ("file", "zip", "folder")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,16}")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPackage:
    """A package in the store.

    Attributes:
        digest: sha256 of the bytes of the file; for a folder, of its files' paths, sizes and digests.
        size: in bytes, of the file, or of all files of the folder.
        root: the folder with its files; read-only.
        manifest: its files.
        file_name: the name of this upload's file or folder.
    """

    digest: Digest
    size: int
    root: Path
    manifest: Manifest
    file_name: str


def find_package(store: Path, digest: Digest) -> Path | None:
    """The folder with a package's files; None if it is missing or incomplete.

    Only files that changed after they were stored are read.
    """
    known = any(store_folder.find(store, digest=digest, form=form) for form in _FORMS)
    return store / digest / store_folder.FILES if known else None


def package_in_use(store: Path, digest: Digest) -> AbstractContextManager[None]:
    """Keep the unpacked files of a package, for the length of a `with` block.

    Raises:
        Unavailable: they are not there, or cannot be read.
    """
    return store_folder.in_use(store, digest=digest)


def discard_package(store: Path, digest: Digest) -> None:
    """Remove the unpacked files of a package that no model needs any more, unless `package_in_use` holds them.

    Raises:
        Unavailable: the store cannot be written to.
    """
    store_folder.discard(store, digest=digest)


def put_file(path: Path, *, store: Path, limits: Limits, name: str | None = None) -> StoredPackage:
    """Store one plain file, such as an ONNX model; in the store its name is `model` and its suffix.

    Args:
        path: the file.
        store: where packages are kept.
        limits: on its size.
        name: the file's name, if it differs from the path's.

    Raises:
        NotFound: there is no such file.
        BadPackage: it cannot be read, it is a ZIP archive and its suffix says otherwise, or it changes while it is read.
        TooLarge: beyond a limit.
        Unavailable: the store cannot be written to.
    """
    name = name or path.name
    with _opened(path) as file:
        suffix = PurePath(name).suffix.lower()
        if suffix not in ZIPPED and looks_like_zip(os.pread(file.fileno(), 4, 0)):
            raise BadPackage(
                f"{shown(name)!r} is a ZIP archive", fix="give it a name that ends in .zip", path=shown(name)
            )
        digest, size = _digest(file, path=path, name=name, limits=limits)
        kept = "model" + (suffix if _SUFFIX.fullmatch(suffix) else "")
        files = (PackageFile(path=kept, size=size, sha256=digest),)
        record = store_folder.find(store, digest=digest, form="file")
        # The store may have the same bytes under another suffix.
        if record is None or record.files != files:
            record = store_folder.add(
                [Entry(name=shown(name), parts=(kept,), chunks=partial(_chunks, file, path=path))],
                store=store,
                digest=digest,
                form="file",
                size=size,
                budget=Budget(limits),
                verify=lambda written: _check_unchanged(written == files, path=path),
            )
    return _stored(store, digest=digest, record=record, name=name)


def put_zip(path: Path, *, store: Path, limits: Limits, name: str | None = None) -> StoredPackage:
    """Store the files in a ZIP archive.

    Args:
        path: the archive.
        store: where packages are kept.
        limits: of its content.
        name: the archive's name, if it differs from the path's.

    Raises:
        NotFound: there is no such file.
        BadPackage: it is not a ZIP archive, holds what is not supported, or changes while it is read.
        TooLarge: beyond a limit.
        Unavailable: the store cannot be written to.
    """
    name = name or path.name
    with _opened(path) as file:
        before = _state(file)
        digest, size = _digest(file, path=path, name=name, limits=limits)
        record = store_folder.find(store, digest=digest, form="zip")
        if record is None:
            record = store_folder.add(
                read_archive(file, limits=limits),
                store=store,
                digest=digest,
                form="zip",
                size=size,
                budget=Budget(limits, packed_bytes=size),
                verify=lambda _: _check_unchanged(_state(file) == before, path=path),
            )
    return _stored(store, digest=digest, record=record, name=name)


def put_folder(path: Path, *, store: Path, limits: Limits) -> StoredPackage:
    """Store the files in a folder.

    Raises:
        NotFound: the folder does not exist.
        BadPackage: it holds what is not supported, cannot be read, or changes while it is read.
        TooLarge: beyond a limit.
        Unavailable: the store cannot be written to.
    """
    with _reading(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        entries = read_folder(descriptor, limits=limits)
        files = tuple(_measured(entries, budget=Budget(limits)))
        digest = digest_of_bytes(store_folder.canonical_json(files))
        record = store_folder.find(store, digest=digest, form="folder")
        if record is None or record.files != files:
            record = store_folder.add(
                entries,
                store=store,
                digest=digest,
                form="folder",
                size=sum(file.size for file in files),
                budget=Budget(limits),
                verify=lambda written: _check_unchanged(written == files, path=path),
            )
    finally:
        os.close(descriptor)
    # "." has no name of its own.
    return _stored(store, digest=digest, record=record, name=path.name or path.resolve().name)


def _stored(store: Path, *, digest: Digest, record: store_folder.Record, name: str) -> StoredPackage:
    return StoredPackage(
        digest=digest,
        size=record.size,
        root=store / digest / store_folder.FILES,
        manifest=Manifest(files=record.files),
        file_name=name,
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn an error of the disk into one that names the source."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        name = shown(str(path))
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            raise NotFound(f"File not found: {name!r}", why=why, fix="check the path") from error
        raise BadPackage(
            f"{name!r} cannot be read", why=why, fix="make it readable for the user that runs Trivet", path=name
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading."""
    with _reading(path):
        # A named pipe would make open() wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        name = shown(str(path))
        raise BadPackage(f"{name!r} is not a file", fix=ACCEPTED, path=name)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _chunks(file: BinaryIO, *, path: Path) -> Iterator[bytes]:
    at = 0
    while True:
        with _reading(path):
            chunk = os.pread(file.fileno(), _CHUNK, at)
        if not chunk:
            return
        at += len(chunk)
        yield chunk


def _digest(file: BinaryIO, *, path: Path, name: str, limits: Limits) -> tuple[Digest, int]:
    """A file's sha256 and its size in bytes, counted as it is read."""
    budget = Budget(limits)
    budget.begin(shown(name))
    hashed = hashlib.sha256()
    size = 0
    for chunk in _chunks(file, path=path):
        budget.spend(len(chunk))
        hashed.update(chunk)
        size += len(chunk)
    return Digest(hashed.hexdigest()), size


def _measured(entries: list[Entry], *, budget: Budget) -> Iterator[PackageFile]:
    for entry in entries:
        assert entry.chunks is not None
        budget.begin(entry.name)
        hashed = hashlib.sha256()
        size = 0
        for chunk in entry.chunks():
            budget.spend(len(chunk))
            hashed.update(chunk)
            size += len(chunk)
        yield PackageFile(path=entry.path, size=size, sha256=Digest(hashed.hexdigest()))


def _state(file: BinaryIO) -> tuple[int, int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_unchanged(unchanged: bool, *, path: Path) -> None:
    if not unchanged:
        name = shown(str(path))
        raise BadPackage(
            f"{name!r} changed while it was read", fix="try again once it is complete", path=name, reason="changed"
        )
