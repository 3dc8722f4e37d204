"""What a blob store does, wherever it keeps its bytes, and the checks that every one of them makes."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from trivet.domain.digest import Digest
from trivet.errors import Internal, Invalid, NotFound

__all__ = ["CHUNK", "Blobs", "Source", "check_expected", "check_name", "checked", "chunks_of", "corrupt", "missing"]

CHUNK = 1 << 20

Source: TypeAlias = BinaryIO | Iterable[bytes]

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs(Protocol):
    """Bytes that are found by their sha256. Safe to use from several threads; nothing is held in memory as a whole."""

    def put(self, source: Source, *, digest: Digest | None = None) -> tuple[Digest, int]:
        """Keep what a file or an iterable gives. When this returns, it survives a loss of power.

        Bytes that are there already make no second object. What the source itself raises is raised as it is; nothing of
        what was read stays then.

        Args:
            source: read once, from where it stands.
            digest: what the bytes are expected to be.

        Returns:
            The sha256, and how many bytes there were.

        Raises:
            Invalid: the bytes are not the expected ones (reason `wrong_digest`).
            Unavailable: the store cannot be reached or written to, or is full.
        """

    def has(self, digest: Digest) -> bool:
        """Whether it is there.

        Raises:
            Unavailable: the store cannot be reached.
        """

    def open(self, digest: Digest) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes, in pieces, for the length of a `with` block.

        Raises:
            NotFound: it is not there.
            Unavailable: the store cannot be reached.
            Internal: after the last piece, if the bytes are not those that were put (reason `corrupt_blob`).
        """

    def fetch(self, digest: Digest, target: Path) -> None:
        """Make the bytes a file, which may share its blocks with the store: it is not to be written to.

        The file is there whole and checked, or not at all.

        Raises:
            NotFound: it is not there.
            Unavailable: the store cannot be reached, or the file cannot be written.
            Internal: the bytes are not those that were put (reason `corrupt_blob`).
        """

    def delete(self, digest: Digest) -> None:
        """Forget it. One that is not there is no error.

        Raises:
            Unavailable: the store cannot be reached or written to.
        """


def chunks_of(source: Source) -> Iterator[bytes]:
    """A file's bytes in pieces; an iterable's as they come."""
    read = getattr(source, "read", None)
    if read is None:
        yield from source
        return
    while chunk := read(CHUNK):
        yield chunk


def check_name(digest: Digest) -> None:
    """Refuse what is no sha256: it becomes part of a path.

    Raises:
        Invalid: it is none.
    """
    if not _DIGEST.fullmatch(digest):
        raise Invalid(f"{digest[:80]!r} is no sha256", fix="give its 64 hexadecimal digits, in lower case")


def check_expected(found: Digest, expected: Digest | None) -> None:
    """Refuse bytes that are not the expected ones.

    Raises:
        Invalid: they are not.
    """
    if expected is not None and found != expected:
        raise Invalid(
            "The bytes that arrived are not the ones that were announced",
            why=f"their sha256 is {found}, and not {expected}",
            fix="send the file again; if that fails too, it was changed since its sha256 was made",
            reason="wrong_digest",
        )


def checked(chunks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    """The same pieces; after the last one they were the right bytes, or there is an error.

    Raises:
        Internal: they were not.
    """
    hashed = hashlib.sha256()
    for chunk in chunks:
        hashed.update(chunk)
        yield chunk
    if hashed.hexdigest() != digest:
        raise corrupt(digest)


def corrupt(digest: Digest) -> Internal:
    """The bytes that are kept are not those that were put."""
    return Internal(
        f"The stored package {digest[:12]} is damaged",
        why="its bytes do not have the sha256 that it was stored under",
        fix="upload the same file again, which mends it; then see whether the disk fails",
        reason="corrupt_blob",
    )


def missing(digest: Digest) -> NotFound:
    """There are no such bytes."""
    return NotFound(
        f"There is no stored package {digest[:12]}",
        why="it was deleted, or the store at hand is not the one that it was put into",
        fix="check the blob URL, or upload the file again",
        reason="no_blob",
    )
