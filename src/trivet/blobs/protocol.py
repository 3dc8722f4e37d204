"""The interface of a blob store, and the checks that every store makes."""

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
    """Bytes by their sha256. Safe to use from several threads; no blob is held in memory as a whole."""

    def put(self, source: Source, *, digest: Digest | None = None) -> tuple[Digest, int]:
        """Store the bytes of a file or an iterable. When this returns, they survive a loss of power.

        Bytes that are already stored make no second object. Errors of the source are passed on, and nothing is stored.

        Args:
            source: read once, from its current position.
            digest: the expected sha256.

        Returns:
            The sha256 and the number of bytes.

        Raises:
            Invalid: the bytes have another sha256 (reason `wrong_digest`).
            Unavailable: the store is unreachable, not writable or full.
        """

    def has(self, digest: Digest) -> bool:
        """Whether it is stored.

        Raises:
            Unavailable: the store cannot be reached.
        """

    def open(self, digest: Digest) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes, in pieces, for the length of a `with` block.

        Raises:
            NotFound: it is not there.
            Unavailable: the store cannot be reached.
            Internal: after the last piece, if the bytes are damaged (reason `corrupt_blob`).
        """

    def fetch(self, digest: Digest, target: Path) -> None:
        """Write the bytes to a file. It may share its blocks with the store, so it must not be changed.

        The file appears whole and checked, or not at all.

        Raises:
            NotFound: it is not there.
            Unavailable: the store is unreachable, or the file cannot be written.
            Internal: the bytes are damaged (reason `corrupt_blob`).
        """

    def delete(self, digest: Digest) -> None:
        """Delete it; a missing blob is not an error.

        Raises:
            Unavailable: the store is unreachable or not writable.
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
    """Check that a name is a sha256, because it becomes part of a path.

    Raises:
        Invalid: it is not.
    """
    if not _DIGEST.fullmatch(digest):
        raise Invalid(f"{digest[:80]!r} is not a sha256", fix="give its 64 hexadecimal digits, in lower case")


def check_expected(found: Digest, expected: Digest | None) -> None:
    """Check the sha256 of received bytes.

    Raises:
        Invalid: it is not the expected one.
    """
    if expected is not None and found != expected:
        raise Invalid(
            "The received bytes are not the announced ones",
            why=f"their sha256 is {found}, and not {expected}",
            fix="send the file again; if that fails too, the file changed after its sha256 was computed",
            reason="wrong_digest",
        )


def checked(chunks: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    """The same pieces, checked after the last one.

    Raises:
        Internal: the bytes are damaged.
    """
    hashed = hashlib.sha256()
    for chunk in chunks:
        hashed.update(chunk)
        yield chunk
    if hashed.hexdigest() != digest:
        raise corrupt(digest)


def corrupt(digest: Digest) -> Internal:
    """The error for damaged bytes."""
    return Internal(
        f"The stored package {digest[:12]} is damaged",
        why="its bytes do not match the sha256 that names it",
        fix="upload the same file again, which repairs it; then check the disk",
        reason="corrupt_blob",
    )


def missing(digest: Digest) -> NotFound:
    """The error for a blob that is not stored."""
    return NotFound(
        f"Stored package {digest[:12]} not found",
        why="it was deleted, or it is in another store",
        fix="check the blob URL, or upload the file again",
        reason="no_blob",
    )
