"""Folders of the store: find a package by its digest, and add one in a single step."""

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from trivet.disk.drafts import draft_folder, draft_name, locked_folder, sweep_drafts
from trivet.disk.errors import disk
from trivet.disk.files import remove
from trivet.domain.decoders import decoder
from trivet.domain.digest import Digest, digest_of_file
from trivet.domain.package import PackageFile
from trivet.packaging.limits import Budget
from trivet.packaging.paths import Entry
from trivet.packaging.writing import make_durable, write_bytes, write_files

__all__ = ["FILES", "Form", "Record", "add", "canonical_json", "discard", "find", "in_use"]

FILES = "files"
Form = Literal["file", "zip", "folder"]

_MANIFEST = "manifest.json"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The content of `manifest.json`: the source's form, its size in bytes, and the stored files, in order of path."""

    form: Form
    size: int
    files: tuple[PackageFile, ...]


def find(store: Path, *, digest: Digest, form: Form) -> Record | None:
    """The record of a complete package; None if it is missing or damaged.

    A file that changed after the package was complete is read again, because a model with enough rights can write to it.
    Nothing is written. The same bytes in another form are another package, with other files.
    """
    folder = store / digest
    try:
        manifest = folder / _MANIFEST
        record = decoder(Record).decode(manifest.read_bytes())
        complete_ns = manifest.lstat().st_ctime_ns
        for file in record.files:
            path = folder / FILES / file.path
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
                return None
            if found.st_ctime_ns > complete_ns and digest_of_file(path) != file.sha256:
                return None
    except (OSError, ValueError):
        return None
    return record if record.form == form else None


def add(
    entries: list[Entry],
    *,
    store: Path,
    digest: Digest,
    form: Form,
    size: int,
    budget: Budget,
    verify: Callable[[tuple[PackageFile, ...]], None],
) -> Record:
    """Put a package into the store. It replaces a damaged one.

    Args:
        entries: its files, in order of path.
        store: created if missing.
        digest: the package's key.
        form: of the source.
        size: of the source, in bytes.
        budget: counts what is written.
        verify: raises if these files do not match the digest.

    Returns:
        Its record; the record of another process if that was faster.

    Raises:
        Unavailable: the store cannot be written to, or its disk is full.
        TrivetError: from the entries' chunks, the budget and `verify`.
    """
    with disk(store):
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep_drafts(store)
        with draft_folder(store) as (folder, descriptor):
            os.mkdir(FILES, 0o700, dir_fd=descriptor)
            files_descriptor = os.open(FILES, _FOLDER, dir_fd=descriptor)
            try:
                files = write_files(entries, into=files_descriptor, budget=budget)
            finally:
                os.close(files_descriptor)
            verify(files)
            record = Record(form=form, size=size, files=files)
            write_bytes(_MANIFEST, canonical_json(record), into=descriptor)
            make_durable(folder)
            return _publish(folder, store=store, digest=digest, record=record)


@contextmanager
def in_use(store: Path, *, digest: Digest) -> Iterator[None]:
    """Keep a package from being discarded by any process, for the length of a `with` block.

    Raises:
        Unavailable: it is not there, or cannot be read.
    """
    with disk(store):
        descriptor = os.open(store / digest, _FOLDER)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def discard(store: Path, *, digest: Digest) -> None:
    """Remove a package, if it is there and no process uses it: see `in_use`.

    Raises:
        Unavailable: the store cannot be written to.
    """
    target = store / digest
    if not target.exists():
        return
    with disk(store):
        # The name is gone at once; a sweep removes what a crash leaves.
        with locked_folder(store):
            draft = draft_name(store)
            descriptor = os.open(target, _FOLDER)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                target.rename(draft)
            except BlockingIOError:
                return
            finally:
                os.close(descriptor)
        remove(draft)


def canonical_json(value: object) -> bytes:
    """Deterministic JSON: sorted keys, no spaces, UTF-8."""
    builtin = msgspec.to_builtins(value)
    return json.dumps(builtin, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _publish(folder: Path, *, store: Path, digest: Digest, record: Record) -> Record:
    """Rename a finished folder to its digest, unless another process was faster."""
    target = store / digest
    damaged: Path | None = None
    try:
        # One process at a time: two that find the same damaged package must not remove each other's new one.
        with locked_folder(store) as descriptor:
            found = find(store, digest=digest, form=record.form)
            if found == record:
                return found
            if target.is_symlink() or target.exists():
                damaged = draft_name(store)
                target.rename(damaged)
            folder.rename(target)
            os.fsync(descriptor)
    finally:
        if damaged is not None:
            remove(damaged)
    return record
