"""Blobs in a local folder.

    blobs/<sha256>        the bytes, read-only
    blobs/tmp-<random>    bytes that are arriving; their writer holds a lock on the file

A blob gets its name after all of it is on the disk, so it is there whole or not at all.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from trivet.blobs.protocol import CHUNK, Source, check_expected, check_name, checked, chunks_of, corrupt, missing
from trivet.disk.drafts import draft_file, sweep_drafts
from trivet.disk.errors import disk
from trivet.disk.files import sync, write_all
from trivet.domain.digest import Digest

__all__ = ["LocalBlobs"]

# A hard link needs one file system, permission, and a file below its limit of links.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


class LocalBlobs:
    """Blobs in a folder of this machine, which several processes may use at once. See `Blobs`.

    Args:
        folder: created on first use, readable by its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: Source, *, digest: Digest | None = None) -> tuple[Digest, int]:
        """See `Blobs.put`."""
        if digest is not None:
            check_name(digest)
        with disk(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep_drafts(self._folder)
        with ExitStack() as stack:
            with disk(self._folder):
                draft, descriptor = stack.enter_context(draft_file(self._folder))
            hashed = hashlib.sha256()
            size = 0
            for chunk in chunks_of(source):
                hashed.update(chunk)
                size += len(chunk)
                with disk(self._folder):
                    write_all(descriptor, chunk)
            found = Digest(hashed.hexdigest())
            check_expected(found, digest)
            with disk(self._folder):
                os.fchmod(descriptor, 0o400)
                os.fsync(descriptor)
                # Replaces a blob of the same name: if that one is damaged, this repairs it.
                draft.rename(self._folder / found)
                sync(self._folder)
        return found, size

    def has(self, digest: Digest) -> bool:
        """See `Blobs.has`."""
        check_name(digest)
        with disk(self._folder):
            return (self._folder / digest).is_file()

    @contextmanager
    def open(self, digest: Digest) -> Iterator[Iterator[bytes]]:
        """See `Blobs.open`."""
        check_name(digest)
        with disk(self._folder):
            try:
                descriptor = os.open(self._folder / digest, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise missing(digest) from error
        try:
            yield checked(self._read(descriptor), digest)
        finally:
            os.close(descriptor)

    def fetch(self, digest: Digest, target: Path) -> None:
        """See `Blobs.fetch`."""
        check_name(digest)
        source = self._folder / digest
        draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}")
        try:
            with disk(target.parent):
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    _link_or_copy(source, draft)
                except FileNotFoundError as error:
                    raise missing(digest) from error
            with disk(self._folder), draft.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise corrupt(digest)
            with disk(target.parent):
                draft.replace(target)
        finally:
            # Renaming a link onto a link to the same file does nothing and reports success.
            draft.unlink(missing_ok=True)

    def delete(self, digest: Digest) -> None:
        """See `Blobs.delete`."""
        check_name(digest)
        with disk(self._folder), suppress(FileNotFoundError):
            (self._folder / digest).unlink()
            sync(self._folder)

    def _read(self, descriptor: int) -> Iterator[bytes]:
        at = 0
        while True:
            with disk(self._folder):
                chunk = os.pread(descriptor, CHUNK, at)
            if not chunk:
                return
            at += len(chunk)
            yield chunk


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, target, follow_symlinks=False)
        target.chmod(0o400)
