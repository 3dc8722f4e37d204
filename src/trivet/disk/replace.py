"""Files that are replaced as a whole."""

import contextlib
import os
from pathlib import Path

__all__ = ["replace_file"]


def replace_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Replace the content of `path`, readable by this user only. Readers see the old content or all of the new.

    One writer at a time: the new content is in a `.new` file beside it until the rename.

    Args:
        path: its folder exists.
        content: the bytes.
        durable: survive a crash of the machine; without it the file may be empty then.

    Raises:
        OSError: the old content stays.
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
