"""Reads a folder as a package, under the rules for archives.

Files are opened relative to their folder's descriptor and without following links, so that the checked files are the ones
that are read.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from trivet.errors import BadPackage, TooLarge
from trivet.packaging.limits import Limits
from trivet.packaging.paths import Entry, arrange, parse_name, shown

__all__ = ["read_folder"]

_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A named pipe would make open() wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_folder(descriptor: int, *, limits: Limits) -> list[Entry]:
    """The files below a folder, checked, in order of path. Their `chunks` work as long as `descriptor` is open.

    Raises:
        BadPackage: it holds links, devices, or names that are not supported; or it is not readable, or changes
            while it is read. The chunks raise it too.
        TooLarge: beyond a limit.
    """
    entries: list[Entry] = []
    for entry in _walk(descriptor, root=descriptor, above="", limits=limits):
        entries.append(entry)
        if len(entries) > 4 * limits.max_files:
            raise TooLarge(
                f"The folder has more than {len(entries) - 1:,} entries",
                why=f"a package may hold {limits.max_files:,} files",
                fix="leave out what the model does not need to run",
            )
    return arrange(entries, limits=limits)


def _walk(folder: int, *, root: int, above: str, limits: Limits) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as found:
            here = sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in found)
    except OSError as error:
        raise _unreadable(above or ".", error) from error
    for own_name, mode in here:
        name = f"{above}{own_name}"
        parts = parse_name(name, limits=limits)
        if stat.S_ISREG(mode):
            yield Entry(name=shown(name), parts=parts, chunks=partial(_chunks, root, parts, name=shown(name)))
        elif stat.S_ISDIR(mode):
            yield Entry(name=shown(name), parts=parts, chunks=None)
            try:
                below = os.open(own_name, _FOLDER, dir_fd=folder)
            except OSError as error:
                raise _unreadable(name, error) from error
            try:
                yield from _walk(below, root=root, above=f"{name}/", limits=limits)
            finally:
                os.close(below)
        else:
            raise BadPackage(
                f"The folder holds {'a symbolic link' if stat.S_ISLNK(mode) else 'a device, pipe or socket'}",
                why="only files and folders are supported",
                fix="put the file itself in its place, or move files that the model does not need out of the folder",
                path=shown(name),
            )


def _chunks(root: int, parts: tuple[str, ...], *, name: str) -> Iterator[bytes]:
    """A file's bytes in pieces of at most 1 MiB."""
    try:
        descriptor = _open_below(root, parts)
    except OSError as error:
        raise _unreadable(name, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadPackage("The folder changed while it was read", fix="try again", path=name)
        while chunk := os.read(descriptor, _CHUNK):
            yield chunk
    except OSError as error:
        raise _unreadable(name, error) from error
    finally:
        os.close(descriptor)


def _open_below(root: int, parts: tuple[str, ...]) -> int:
    folder = os.dup(root)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        with suppress(OSError):
            os.close(folder)


def _unreadable(name: str, error: OSError) -> BadPackage:
    return BadPackage(
        "A part of the folder cannot be read",
        why=error.strerror or str(error),
        fix="check that it exists and is readable for the user that runs Trivet",
        path=shown(name),
    )
