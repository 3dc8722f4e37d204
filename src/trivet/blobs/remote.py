"""Blobs in an object store, through obstore: Amazon S3 and compatible stores, Google Cloud Storage, Azure Blob Storage.

An object's name is `<prefix>/<sha256>`. It appears whole, after its last byte, or not at all. The bytes are hashed before the
upload and again during it, so that a name never gets the wrong bytes.
"""

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from trivet.blobs.protocol import Source, check_expected, check_name, checked, chunks_of, missing
from trivet.disk.errors import disk
from trivet.domain.digest import Digest
from trivet.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from obstore.store import RetryConfig

__all__ = ["RemoteBlobs"]

# One request each. obstore limits each to 30 s, on a slow line too, and S3 takes 10,000 of them: 80 GB.
PART_BYTES = 8 << 20
PARTS_AT_ONCE = 4
RETRY: "RetryConfig" = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}

_URL_SECRETS = re.compile(r"\?\S*|//\S*@")


class RemoteBlobs:
    """Blobs under a URL. See `Blobs`.

    Args:
        url: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. All other settings come from the
            environment, as obstore reads it.
        spool: a folder for bytes from a source that cannot be read twice.

    Raises:
        Invalid: the environment lacks what the store requires.
    """

    def __init__(self, url: str, *, spool: Path) -> None:
        self._url = url
        self._spool = spool
        try:
            self._store = from_url(url, retry_config=RETRY)
        except (BaseError, ValueError) as error:
            raise Invalid(
                f"The blob store {url} cannot be used",
                why=_reason(error),
                fix="set the variables that the store's own tools read: account, region, endpoint, credentials",
            ) from error

    def put(self, source: Source, *, digest: Digest | None = None) -> tuple[Digest, int]:
        """See `Blobs.put`."""
        if digest is not None:
            check_name(digest)
        with self._twice(source) as file:
            start = file.tell()
            hashed = hashlib.sha256()
            size = 0
            for chunk in chunks_of(file):
                hashed.update(chunk)
                size += len(chunk)
            found = Digest(hashed.hexdigest())
            check_expected(found, digest)
            file.seek(start)
            with self._reaching():
                if size <= PART_BYTES:
                    data = b"".join(checked(chunks_of(file), found))
                    obstore.put(self._store, found, data, use_multipart=False)
                else:
                    obstore.put(
                        self._store,
                        found,
                        checked(chunks_of(file), found),
                        chunk_size=PART_BYTES,
                        max_concurrency=PARTS_AT_ONCE,
                    )
        return found, size

    def has(self, digest: Digest) -> bool:
        """See `Blobs.has`."""
        check_name(digest)
        try:
            with self._reaching():
                obstore.head(self._store, digest)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def open(self, digest: Digest) -> Iterator[Iterator[bytes]]:
        """See `Blobs.open`."""
        check_name(digest)
        try:
            with self._reaching():
                size = obstore.head(self._store, digest)["size"]
        except FileNotFoundError:
            raise missing(digest) from None
        yield checked(self._parts(digest, size=size), digest)

    def fetch(self, digest: Digest, target: Path) -> None:
        """See `Blobs.fetch`."""
        draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}")
        with self.open(digest) as chunks, disk(target.parent):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with draft.open("xb") as file:
                    file.writelines(chunks)
                    file.flush()
                    os.fsync(file.fileno())
                draft.chmod(0o400)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)

    def delete(self, digest: Digest) -> None:
        """See `Blobs.delete`."""
        check_name(digest)
        try:
            with self._reaching():
                obstore.delete(self._store, digest)
        except FileNotFoundError:
            return

    def _parts(self, digest: Digest, *, size: int) -> Iterator[bytes]:
        for start in range(0, size, PART_BYTES):
            try:
                with self._reaching():
                    part = obstore.get_range(self._store, digest, start=start, end=min(start + PART_BYTES, size))
            except FileNotFoundError:
                raise missing(digest) from None
            yield part.to_bytes()

    @contextmanager
    def _twice(self, source: Source) -> Iterator[BinaryIO]:
        """The source as a file that can be read a second time."""
        if hasattr(source, "seekable") and cast("IO[bytes]", source).seekable():
            yield cast("BinaryIO", source)
            return
        with disk(self._spool):
            self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A file without a name: nothing is left of it after a crash.
            spooled = cast("BinaryIO", tempfile.TemporaryFile(dir=self._spool))  # noqa: SIM115 - closed below
        with spooled:
            for chunk in chunks_of(source):
                with disk(self._spool):
                    spooled.write(chunk)
            with disk(self._spool):
                spooled.seek(0)
            yield spooled

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns errors of the object store into ours, which name the store."""
        try:
            yield
        except (UnauthenticatedError, PermissionDeniedError) as error:
            raise Unavailable(
                f"The blob store {self._url} refuses access",
                why=_reason(error),
                fix="use credentials that may read, write and delete there",
                reason="blob_store_refuses",
            ) from error
        except BaseError as error:
            raise Unavailable(
                f"The blob store {self._url} cannot be reached",
                why=_reason(error),
                fix="check that it is up and that the URL and the endpoint are right; then try again",
                reason="blob_store_unreachable",
            ) from error


def _reason(error: Exception) -> str:
    """The first line of the store's message, without the queries of URLs, which may hold secrets."""
    text = str(error).partition("\n")[0]
    return _URL_SECRETS.sub("", text)[:500]
