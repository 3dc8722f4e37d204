"""The container that joblib compresses a pickle into, undone under limits."""

import bz2
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from trivet.packaging.limits import Budget, Limits
from trivet.packaging.pickles.source import Unreadable

__all__ = ["beginning", "opened"]

PIECE = 1 << 20
IN_MEMORY = 16 << 20
BROKEN = (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError, pa.ArrowException)


# The order and the beginnings are joblib's: it decides by them how it reads a file.
_GZIP_WINDOW = 31
_KINDS: dict[bytes, str] = {
    b"\x78": "zlib",
    b"\x1f\x8b": "gzip",
    b"BZ": "bz2",
    b"\x5d\x00": "lzma",
    b"\xfd7zXZ": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"ZF": "a form that joblib wrote before 0.10",
}


@contextmanager
def opened(path: Path, *, limits: Limits) -> Iterator[tuple[IO[bytes], int, str | None]]:
    """A file, uncompressed: its bytes, how many there are, and its container.

    Raises:
        TooLarge: beyond the limits.
        Unreadable: the container is broken, or something follows it.
    """
    with path.open("rb") as packed:
        kind = _kind(packed)
        size = path.stat().st_size
        if kind is None:
            yield packed, size, None
            return
        budget = Budget(limits, packed_bytes=size)
        budget.begin(path.name)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as plain:
            try:
                for piece in _pieces(packed, kind):
                    budget.spend(len(piece))
                    plain.write(piece)
            except BROKEN as error:
                raise Unreadable(f"its {kind} container is broken: {error}") from None
            length = plain.tell()
            plain.seek(0)
            yield plain, length, kind


def beginning(path: Path) -> bytes:
    """The first bytes of a file, uncompressed; empty if its container is broken."""
    with path.open("rb") as packed:
        kind = _kind(packed)
        if kind is None:
            return packed.read(PIECE)
        try:
            return next((piece for piece in _pieces(packed, kind) if piece), b"")
        except (*BROKEN, Unreadable):
            return b""


def _kind(packed: IO[bytes]) -> str | None:
    start = packed.read(max(map(len, _KINDS)))
    packed.seek(0)
    return next((name for prefix, name in _KINDS.items() if start.startswith(prefix)), None)


def _pieces(packed: IO[bytes], kind: str) -> Iterator[bytes]:
    if kind == "lz4":
        return _lz4(packed)
    if kind in {"zlib", "gzip"}:
        return _zlib(packed, zlib.MAX_WBITS if kind == "zlib" else _GZIP_WINDOW)
    if kind == "bz2":
        bz = bz2.BZ2Decompressor()
        return _stream(packed, bz, bz.decompress)
    if kind in {"lzma", "xz"}:
        xz = lzma.LZMADecompressor(lzma.FORMAT_ALONE if kind == "lzma" else lzma.FORMAT_XZ, memlimit=1 << 30)
        return _stream(packed, xz, xz.decompress)
    raise Unreadable(f"it is in {kind}")


def _stream(
    packed: IO[bytes], stream: bz2.BZ2Decompressor | lzma.LZMADecompressor, undo: Callable[..., bytes]
) -> Iterator[bytes]:
    while not stream.eof:
        data = packed.read(PIECE) if stream.needs_input else b""
        if stream.needs_input and not data:
            raise Unreadable("it is cut off")
        yield undo(data, PIECE)
    _check_end(packed, stream.unused_data)


def _zlib(packed: IO[bytes], window: int) -> Iterator[bytes]:
    stream = zlib.decompressobj(window)
    while not stream.eof:
        data = stream.unconsumed_tail or packed.read(PIECE)
        if not data:
            raise Unreadable("it is cut off")
        yield stream.decompress(data, PIECE)
    _check_end(packed, stream.unused_data)


def _check_end(packed: IO[bytes], unused: bytes) -> None:
    """Loaders differ in what they make of a second container."""
    if unused or packed.read(1):
        raise Unreadable("something follows its container")


_HAS_LENGTH, _HAS_DICTIONARY, _HAS_CHECKSUM, _HAS_BLOCK_CHECKSUM = 0x08, 0x01, 0x04, 0x10
_VERSION = 0x40


def _lz4(packed: IO[bytes]) -> Iterator[bytes]:
    _check_lz4_frame(packed)
    packed.seek(0)
    with pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "lz4") as stream:
        while data := stream.read(PIECE):
            yield data


def _check_lz4_frame(packed: IO[bytes]) -> None:
    """Follow the blocks of one frame to the end of the file: the decompressor goes on behind a frame's end."""

    def read(count: int) -> bytes:
        data = packed.read(count)
        if len(data) != count:
            raise Unreadable("it is cut off")
        return data

    read(4)
    flags = read(2)[0]
    if flags & 0xC0 != _VERSION or flags & _HAS_DICTIONARY:
        raise Unreadable("its lz4 container is of another version, or needs a dictionary")
    read((8 if flags & _HAS_LENGTH else 0) + 1)
    while length := int.from_bytes(read(4), "little"):
        read((length & 0x7FFFFFFF) + (4 if flags & _HAS_BLOCK_CHECKSUM else 0))
    read(4 if flags & _HAS_CHECKSUM else 0)
    if packed.read(1):
        raise Unreadable("something follows its container")
