"""The store's files: a lock for each set of inputs, and a record inside each environment."""

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from trivet.domain.decoders import decoder
from trivet.domain.digest import Digest

__all__ = [
    "EnvironmentRecord",
    "LockRecord",
    "ReplacementRecord",
    "read_record",
    "write_atomically",
    "write_record",
]


class LockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The resolved requirements of one set of inputs, and the environment that they name."""

    environment: Digest
    lock: str
    interpreter: str
    python_version: str
    notes: tuple[str, ...]


class EnvironmentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished environment; the file is written last, before the folder is renamed."""

    digest: Digest
    lock: str
    packages: tuple[str, ...]
    python_version: str
    size_bytes: int
    made: datetime


class ReplacementRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The environment that replaces one that is gone."""

    environment: Digest


_Record = TypeVar("_Record", bound=msgspec.Struct)


def read_record(path: Path, kind: type[_Record]) -> _Record | None:
    """Reads a record; None if it is missing, or this version cannot read it."""
    try:
        return decoder(kind).decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def write_record(path: Path, record: msgspec.Struct, *, drafts: Path) -> None:
    """Writes a record so that a reader sees all of it or nothing, whatever happens meanwhile. See `write_atomically`."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record)), drafts=drafts)


def write_atomically(path: Path, data: bytes, *, drafts: Path) -> None:
    """Puts bytes at `path` at once, on the disk before the name.

    Args:
        path: what they become; its folder is made where it is missing.
        data: the bytes.
        drafts: a folder on the same file system for the unfinished file: a temporary folder, which is swept after a crash.

    Raises:
        OSError: the disk is full, or the folder is not writable.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = drafts / f"{path.name}.{secrets.token_hex(4)}"
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
