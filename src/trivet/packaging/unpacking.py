"""Unpacks one entry of a ZIP archive in small pieces, and checks its announced size and checksum."""

import errno
import os
import zipfile
import zlib
from collections.abc import Iterator

from trivet.errors import BadPackage
from trivet.packaging.paths import shown

__all__ = ["PACK_AGAIN", "unpacked"]

PACK_AGAIN = "pack it again, for instance with `zip -r model.zip .` or Python's zipfile"

_CHUNK = 1 << 20


def unpacked(descriptor: int, start: int, *, info: zipfile.ZipInfo, name: str) -> Iterator[bytes]:
    """An entry's bytes, in pieces of at most 1 MiB.

    Args:
        descriptor: the archive's file.
        start: where the entry's packed bytes begin.
        info: the announced method (stored or deflate), sizes and checksum.
        name: the entry's name in errors.

    Raises:
        BadPackage: the bytes do not match `info`.
    """
    raw = _raw(descriptor, start, size=info.compress_size, name=name)
    count = crc = 0
    for chunk in raw if info.compress_type == zipfile.ZIP_STORED else _inflated(raw, name=name):
        count += len(chunk)
        if count > info.file_size:
            raise _damaged("is larger than announced", name=name)
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if count < info.file_size:
        raise _damaged("is smaller than announced", name=name)
    if crc != info.CRC:
        raise _damaged("does not match its announced checksum (CRC)", name=name)


def _raw(descriptor: int, start: int, *, size: int, name: str) -> Iterator[bytes]:
    while size:
        try:
            chunk = os.pread(descriptor, min(_CHUNK, size), start)
        except OSError as error:
            raise _damaged(f"cannot be read ({os.strerror(error.errno or errno.EIO)})", name=name) from error
        if not chunk:
            raise _damaged("is cut off", name=name)
        start += len(chunk)
        size -= len(chunk)
        yield chunk


def _inflated(raw: Iterator[bytes], *, name: str) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for data in raw:
            if decompressor.eof:
                raise _damaged("has bytes after its end", name=name)
            rest = data
            while rest and not decompressor.eof:
                if chunk := decompressor.decompress(rest, _CHUNK):
                    yield chunk
                rest = decompressor.unconsumed_tail
            if decompressor.unused_data:
                raise _damaged("has bytes after its end", name=name)
        while not decompressor.eof:
            # The decompressor holds bytes back if its input ends exactly when its output buffer is full.
            if not (chunk := decompressor.decompress(b"", _CHUNK)):
                raise _damaged("is cut off", name=name)
            yield chunk
    except zlib.error as error:
        raise _damaged(f"cannot be unpacked ({shown(str(error))})", name=name) from error


def _damaged(what: str, *, name: str) -> BadPackage:
    return BadPackage(
        f"A file in the archive {what}", why="the archive is damaged", fix=PACK_AGAIN, path=name, reason="damaged"
    )
