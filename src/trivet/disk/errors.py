"""What a disk says, as errors that say what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trivet.errors import Unavailable

__all__ = ["disk"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Turns what the disk says into an error that names the folder.

    Args:
        folder: what is read from or written to.

    Raises:
        Unavailable: there is no room, or the folder cannot be used.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in _NO_ROOM:
            raise Unavailable(
                f"There is no room for the package in {folder}",
                why=why,
                fix="free some space there, or raise the quota or file size limit that holds for it",
                reason="disk_full",
            ) from error
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            raise Unavailable(
                f"No file can be opened in {folder} at present",
                why=why,
                fix="try again when fewer files are open, or raise the limit on open files (`ulimit -n`, LimitNOFILE=)",
                reason="too_many_open_files",
            ) from error
        raise Unavailable(
            f"Packages cannot be read from or written to {folder}",
            why=why,
            fix="see that the folder is there and that the user Trivet runs as may write to it",
            reason="store_not_writable",
        ) from error
