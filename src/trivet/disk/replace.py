"""Files that are replaced as a whole."""

import contextlib
import os
from pathlib import Path

__all__ = ["replace_file"]


def replace_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Put other content at `path`, for this user alone: who reads it sees what was there, or all of the new.

    One writer at a time: the new content is beside it, as `.new`, until it takes the name.

    Args:
        path: its folder is there.
        content: the bytes.
        durable: that a machine which stops keeps the one or the other; without it the file may be empty then.

    Raises:
        OSError: what was there stays.
    """
    new = path.with_suffix(".new")
    try:
        with open(new, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
