"""Decompresses bodies within limits."""

import zlib
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Protocol

import zstandard

from trivet.errors import Invalid, TooLarge, Unsupported
from trivet.gateway.allowance import MOST_TIMES, Allowance, too_large

__all__ = ["inflate"]

# Input is decompressed in pieces of this size, so that a bomb is detected early.
FEED = 1 << 10
# In zstd, 4 bytes may stand for 128 KiB: a piece becomes a mebibyte at most, or eight times the body.
ZSTD_FEED, ZSTD_FEEDS = 32, 4096
MAX_MEMBERS = 1000
# Each of so many inflated bytes are counted at once.
STEP = 1 << 16
WHAT, FIX = "the body is too large when decompressed", "send it uncompressed"


def inflate(body: bytes, encoding: bytes, allowance: Allowance) -> bytes:
    """Decode a `Content-Encoding` within the limit.

    Raises:
        Unsupported: an encoding other than gzip, deflate and zstd.
        Invalid: the body is not encoded so, or is incomplete.
        TooLarge: it becomes larger than a body may be, or than its size allows.
    """
    match encoding.strip().lower():
        case b"" | b"identity":
            return body
        case b"gzip" | b"x-gzip":
            pieces = _inflated(body, lambda: zlib.decompressobj(wbits=31), feed=FEED)
        case b"deflate":
            pieces = _inflated(body, zlib.decompressobj, feed=FEED)
        case b"zstd":
            decompressor = zstandard.ZstdDecompressor(max_window_size=2**27)
            pieces = _inflated(body, decompressor.decompressobj, feed=max(ZSTD_FEED, len(body) // ZSTD_FEEDS))
        case other:
            raise Unsupported(
                f"Content-Encoding {other.decode('latin-1')!r} is not supported",
                fix="send gzip, deflate, zstd or no encoding",
            )
    return _limited(pieces, encoding, allowance)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _inflated(body: bytes, decompressor: Callable[[], _Decompressor], *, feed: int) -> Iterable[bytes]:
    """The decompressed members of a body: gzip (RFC 1952, 2.2) and zstd (RFC 8878, 3.1) allow several."""
    start = 0
    for _ in range(MAX_MEMBERS):
        member = decompressor()
        while not member.eof:
            if start == len(body):
                raise zlib.error("the data is cut off")
            end = min(start + feed, len(body))
            yield member.decompress(body[start:end])
            start = end
        start -= len(member.unused_data)
        if start == len(body):
            return
    raise zlib.error(f"it has more than {MAX_MEMBERS} members")


def _limited(pieces: Iterable[bytes], encoding: bytes, allowance: Allowance) -> bytes:
    limit, max_bytes = allowance.most, allowance.max_bytes
    # It grows in place, and gives its bytes without a copy.
    whole = BytesIO()
    spent = 0
    try:
        for piece in pieces:
            size = whole.tell() + len(piece)
            if size > max_bytes:
                raise too_large(max_bytes)
            if size > limit:
                raise TooLarge(
                    f"the body becomes more than {MOST_TIMES} times as large when decompressed",
                    fix="send it uncompressed, without Content-Encoding",
                )
            if size - spent > STEP:
                allowance.spend(size - spent, WHAT, fix=FIX)
                spent = size
            whole.write(piece)
    except (zlib.error, zstandard.ZstdError) as error:
        name = encoding.decode("latin-1")
        raise Invalid(f"the body is not valid {name}", why=str(error), fix=f"compress it with {name}") from error
    allowance.spend(whole.tell() - spent, WHAT, fix=FIX)
    return whole.getvalue()
