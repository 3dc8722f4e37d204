"""Errors of the disk, with the way to fix them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivet.errors import Unavailable

__all__ = ["disk", "disk_error"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk(folder: Path, *, reason: str = "store_not_writable") -> Iterator[None]:
    """Turn an error of the disk into one that names the folder: see `disk_error`.

    Raises:
        Unavailable: the disk is full, or the folder cannot be used.
    """
    try:
        yield
    except OSError as error:
        raise disk_error(error, folder=folder, reason=reason) from error


def disk_error(error: OSError, *, folder: Path, reason: str) -> Unavailable:
    """The error for a folder that cannot be read from or written to.

    Args:
        error: from the operating system.
        folder: what was read from or written to.
        reason: of an error other than a full disk or too many open files.
    """
    why = error.strerror or str(error)
    if error.errno in _NO_ROOM:
        return Unavailable(
            f"No space left in {folder}",
            why=why,
            fix="free some space there, or raise its quota or file size limit",
            reason="disk_full",
        )
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return Unavailable(
            f"No file can be opened in {folder} now",
            why=why,
            fix="try again under less load, or raise the limit on open files (`ulimit -n`, LimitNOFILE=)",
            reason="too_many_open_files",
        )
    return Unavailable(
        f"{folder} cannot be read from or written to",
        why=why,
        fix="check that the folder exists and is writable for the user that runs Trivet",
        reason=reason,
    )
