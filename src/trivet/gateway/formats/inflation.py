"""Decompresses bodies within limits."""

import zlib
from collections.abc import Callable, Iterable
from typing import Protocol

import zstandard

from trivet.errors import Invalid, TooLarge, Unsupported

__all__ = ["MOST_TIMES", "inflate", "most_inflated", "too_large"]

MOST_TIMES = 100
FREE = 2**20
# Input is decompressed in pieces of this size, so that a bomb is detected early.
FEED = 1 << 10
MAX_MEMBERS = 1000


def most_inflated(size: int, *, max_bytes: int) -> int:
    """The limit on the bytes that `size` compressed bytes may become: a hundred times, at least a mebibyte, at most `max_bytes`.

    Otherwise a few kilobytes would occupy hundreds of megabytes.
    """
    return min(max_bytes, max(FREE, MOST_TIMES * size))


def too_large(max_bytes: int) -> TooLarge:
    """The error for a body beyond the limit."""
    return TooLarge(
        f"the body is larger than {max_bytes / 2**20:g} MiB",
        fix="send fewer rows at once, send Arrow, or raise --max-body",
    )


def inflate(body: bytes, encoding: bytes, *, max_bytes: int) -> bytes:
    """Decode a `Content-Encoding` within the limit.

    Raises:
        Unsupported: an encoding other than gzip, deflate and zstd.
        Invalid: the body is not encoded so, or is incomplete.
        TooLarge: it becomes larger than `max_bytes`, or than its size allows.
    """
    match encoding.strip().lower():
        case b"" | b"identity":
            return body
        case b"gzip" | b"x-gzip":
            pieces = _inflated(body, lambda: zlib.decompressobj(wbits=31))
        case b"deflate":
            pieces = _inflated(body, zlib.decompressobj)
        case b"zstd":
            pieces = _inflated(body, zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj)
        case other:
            raise Unsupported(
                f"Content-Encoding {other.decode('latin-1')!r} is not supported",
                fix="send gzip, deflate, zstd or no encoding",
            )
    limit = most_inflated(len(body), max_bytes=max_bytes)
    return _limited(pieces, encoding, limit=limit, max_bytes=max_bytes)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _inflated(body: bytes, decompressor: Callable[[], _Decompressor]) -> Iterable[bytes]:
    """The decompressed members of a body: gzip (RFC 1952, 2.2) and zstd (RFC 8878, 3.1) allow several."""
    start = 0
    for _ in range(MAX_MEMBERS):
        member = decompressor()
        while not member.eof:
            if start == len(body):
                raise zlib.error("the data is cut off")
            end = min(start + FEED, len(body))
            yield member.decompress(body[start:end])
            start = end
        start -= len(member.unused_data)
        if start == len(body):
            return
    raise zlib.error(f"it has more than {MAX_MEMBERS} members")


def _limited(pieces: Iterable[bytes], encoding: bytes, *, limit: int, max_bytes: int) -> bytes:
    taken: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            if size > max_bytes:
                raise too_large(max_bytes)
            if size > limit:
                raise TooLarge(
                    f"the body becomes more than {MOST_TIMES} times as large when decompressed",
                    fix="send it uncompressed, without Content-Encoding",
                )
            taken.append(piece)
    except (zlib.error, zstandard.ZstdError) as error:
        name = encoding.decode("latin-1")
        raise Invalid(f"the body is not valid {name}", why=str(error), fix=f"compress it with {name}") from error
    return b"".join(taken)
