"""Digests: packages, files and environments are named by the sha256 of their bytes."""

import hashlib
from pathlib import Path
from typing import NewType

__all__ = ["Digest", "digest_of_bytes", "digest_of_file"]

Digest = NewType("Digest", str)
"""64 lower-case hexadecimal digits of a sha256."""


def digest_of_bytes(data: bytes) -> Digest:
    """The sha256 of some bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def digest_of_file(path: Path) -> Digest:
    """The sha256 of a file's bytes, read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())
