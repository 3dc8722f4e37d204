"""The store's own side: finding a package by its digest, and putting one there so that it is whole or not at all."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from trivet.disk.drafts import draft_folder, draft_name, locked_folder, sweep_drafts
from trivet.disk.errors import disk
from trivet.disk.files import remove
from trivet.domain.digest import Digest, digest_of_file
from trivet.domain.package import PackageFile
from trivet.packaging.limits import Budget
from trivet.packaging.paths import Entry
from trivet.packaging.writing import make_durable, write_bytes, write_files

__all__ = ["FILES", "Form", "Record", "add", "canonical_json", "find"]

FILES = "files"
Form = Literal["file", "zip", "folder"]

_MANIFEST = "manifest.json"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What `manifest.json` holds: what came in, its size in bytes, and the files that it became, in order of path."""

    form: Form
    size: int
    files: tuple[PackageFile, ...]


def find(store: Path, *, digest: Digest, form: Form) -> Record | None:
    """The record of a package that is there, every file as it was; None where there is none, or a damaged one.

    A file that was touched after the package was complete is read again: a model may write where it should not, and with
    enough rights it succeeds. Nothing is written. The same bytes in another form are another package: they mean other files.
    """
    folder = store / digest
    try:
        manifest = folder / _MANIFEST
        record = msgspec.json.decode(manifest.read_bytes(), type=Record)
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
    """Puts a package into the store, in place of a damaged one if there is one.

    Args:
        entries: its files, in order of path.
        store: made where it is missing.
        digest: what it is found by.
        form: what came in.
        size: bytes that came in.
        budget: counts what is written.
        verify: raises if these files are not the ones that the digest was made of.

    Returns:
        Its record; that of another process where one was faster.

    Raises:
        Unavailable: the store cannot be written to, or its disk is full.
        TrivetError: what the entries' chunks, the budget and `verify` raise.
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


def canonical_json(value: object) -> bytes:
    """One value, one text: keys in order, no spaces, UTF-8."""
    builtin = msgspec.to_builtins(value)
    return json.dumps(builtin, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _publish(folder: Path, *, store: Path, digest: Digest, record: Record) -> Record:
    """Renames a finished folder to its digest, unless another process was faster."""
    target = store / digest
    damaged: Path | None = None
    try:
        # One at a time: two that found the same damaged package must not take each other's new one away.
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
