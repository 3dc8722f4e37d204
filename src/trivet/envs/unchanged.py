"""Whether the files of an environment are those that were installed: where no sandbox keeps models from changing them."""

import base64
import csv
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from trivet.domain.decoders import decoder
from trivet.envs.records import write_atomically

__all__ = ["changed_file", "record_files"]

# File name: size, time of change of its content and of anything, SHA-256 as in a wheel's RECORD; "" of files that no wheel has.
_Files = dict[str, tuple[int, int, int, str]]
_OURS = {".last-used"}


def record_files(folder: Path, *, path: Path, drafts: Path) -> None:
    """Writes down the files of a new environment. The hashes of packages' own files are those of their wheels.

    Args:
        folder: the environment's.
        path: what is written; not in that folder.
        drafts: see `write_atomically`.

    Raises:
        OSError: the disk is full.
    """
    hashes = _recorded_hashes(folder)
    files: _Files = {
        name: (about.st_size, about.st_mtime_ns, about.st_ctime_ns, hashes.get(name, ""))
        for name, about in _found(folder)
    }
    write_atomically(path, msgspec.json.encode(files), drafts=drafts)


def changed_file(folder: Path, *, path: Path) -> str | None:
    """The first file that is not as it was recorded; None if all are, or if nothing was recorded.

    Only files whose size or times differ are read.
    """
    try:
        files = decoder(_Files).decode(path.read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    for name, about in _found(folder):
        expected = files.pop(name, None)
        if expected is None:
            # Python compiles what was not compiled before.
            if not name.endswith(".pyc"):
                return name
        elif _differs(expected, about) and (expected[0] != about.st_size or expected[3] != _hash(folder / name)):
            return name
    return next(iter(files), None)


def _differs(expected: tuple[int, int, int, str], about: os.stat_result) -> bool:
    size, modified, changed, digest = expected
    # A copy of a file has another time of change; without a hash, that says nothing.
    return (size, modified) != (about.st_size, about.st_mtime_ns) or (digest != "" and changed != about.st_ctime_ns)


def _found(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each file and link, by its name in the folder."""
    root = str(folder)
    for parent, folders, names in os.walk(root):
        links = [name for name in folders if os.path.islink(f"{parent}/{name}")]  # noqa: PTH114 - ten thousands of Paths take seconds
        for name in (*names, *links):
            if parent != root or name not in _OURS:
                path = f"{parent}/{name}"
                yield path[len(root) + 1 :], os.lstat(path)


def _recorded_hashes(folder: Path) -> Mapping[str, str]:
    found = {}
    for record in folder.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        packages = record.parents[1]
        with record.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                if len(row) > 1 and row[1].startswith("sha256="):
                    path = os.path.normpath(packages / row[0])
                    found[os.path.relpath(path, folder)] = row[1].removeprefix("sha256=")
    return found


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
