"""The decoded size of an Arrow body, computed from its metadata before anything is decoded."""

import struct
from collections.abc import Iterator

from trivet.gateway.allowance import Allowance

__all__ = ["spend_arrow"]

FOOTER_TAIL = 10
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
# What Arrow and Python keep for a batch and for each of its buffers, whatever the buffers hold.
BATCH_BYTES = 512
BUFFER_BYTES = 128


def spend_arrow(body: bytes, *, is_file: bool, allowance: Allowance) -> None:
    """Count the declared sizes of all batches, as often as they are named.

    A record batch message names its codec in the flatbuffer (`RecordBatch.compression`), and each compressed buffer begins
    with its inflated length, 8 bytes, little-endian; -1 marks one left as it is. In a file the footer says where the
    messages are, in a stream they follow each other. Two names of one batch, and two columns over one buffer, count twice,
    because the columns of a request are copied later. Source: Arrow columnar format, Message.fbs and File.fbs.

    Raises:
        TooLarge: together they are more than the request may become.
    """
    known: dict[int, tuple[int, int]] = {}
    total = inflated = count = 0
    for start in _blocks(body) if is_file else _sequence(body):
        if start not in known:
            known[start] = _decoded(body, start)
        size, grown = known[start]
        total += size
        inflated += grown
        count += 1
        if total > allowance.most:
            break
    fix = "send the columns without compression, or fewer rows"
    what = "the columns are too large when decompressed" if inflated else "the columns are too large"
    allowance.check(total, what, fix=fix)
    allowance.spend(inflated if count == len(known) else total, what, fix=fix)


def _decoded(body: bytes, start: int) -> tuple[int, int]:
    """The bytes that a batch takes, and those of them that are allocated because a buffer is compressed."""
    metadata = _metadata(body, start)
    buffers = metadata + struct.unpack_from("<i", body, metadata - 4)[0]
    batch, _ = _message(body, metadata)
    if batch is None:
        return 0, 0
    is_compressed = batch.has(3)
    total, grown, count = 0, 0, 0
    for offset, length in batch.buffers(2):
        count += 1
        if is_compressed and 0 <= buffers + offset <= len(body) - 8:
            (declared,) = struct.unpack_from("<q", body, buffers + offset)
            grown += max(declared, 0)
            total += max(declared, 0) if declared >= 0 else length
        else:
            total += length
    return BATCH_BYTES + count * BUFFER_BYTES + total, grown


def _metadata(body: bytes, start: int) -> int:
    return start + (8 if body[start : start + 4] == b"\xff\xff\xff\xff" else 4)


def _sequence(body: bytes) -> Iterator[int]:
    """Where the messages of a stream begin."""
    start = 0
    while start + 8 <= len(body):
        metadata = _metadata(body, start)
        (length,) = struct.unpack_from("<i", body, metadata - 4)
        if length <= 0:
            return
        yield start
        start = metadata + length + _message(body, metadata)[1]


def _blocks(body: bytes) -> Iterator[int]:
    """Where the dictionaries and record batches of a file begin."""
    (length,) = struct.unpack_from("<i", body, len(body) - FOOTER_TAIL)
    start = len(body) - FOOTER_TAIL - length
    if length <= 0 or start < 0:
        return
    footer = _Flat(body, start + struct.unpack_from("<I", body, start)[0])
    for index in (2, 3):
        yield from footer.blocks(index)


def _message(body: bytes, start: int) -> "tuple[_Flat | None, int]":
    """A message's record batch (of a dictionary too; None if it holds none), and how long its body is."""
    message = _Flat(body, start + struct.unpack_from("<I", body, start)[0])
    header, kind = message.table(2), message.uint8(1)
    if header is not None and kind == DICTIONARY_BATCH:
        header = header.table(1)
    return header if kind in (DICTIONARY_BATCH, RECORD_BATCH) else None, message.int64(3)


class _Flat:
    """The part of a flatbuffer table that a record batch message needs."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body = body
        self._at = at
        self._vtable = at - struct.unpack_from("<i", body, at)[0]
        (self._size,) = struct.unpack_from("<H", body, self._vtable)

    def _field(self, index: int) -> int | None:
        slot = 4 + 2 * index
        if slot + 2 > self._size:
            return None
        (offset,) = struct.unpack_from("<H", self._body, self._vtable + slot)
        return self._at + offset if offset else None

    def has(self, index: int) -> bool:
        return self._field(index) is not None

    def uint8(self, index: int) -> int:
        at = self._field(index)
        return 0 if at is None else self._body[at]

    def int64(self, index: int) -> int:
        at = self._field(index)
        return 0 if at is None else max(0, int(struct.unpack_from("<q", self._body, at)[0]))

    def table(self, index: int) -> "_Flat | None":
        at = self._field(index)
        return None if at is None else _Flat(self._body, at + struct.unpack_from("<I", self._body, at)[0])

    def buffers(self, index: int) -> Iterator[tuple[int, int]]:
        """Offset and length of each buffer that holds something."""
        for entry in self._vector(index, 16):
            offset, length = struct.unpack_from("<qq", self._body, entry)
            if length > 0:
                yield offset, length

    def blocks(self, index: int) -> Iterator[int]:
        """The offsets in a vector of `Block{offset, metaDataLength, bodyLength}`."""
        for entry in self._vector(index, 24):
            (offset,) = struct.unpack_from("<q", self._body, entry)
            if 0 <= offset <= len(self._body) - 8:
                yield offset

    def _vector(self, index: int, size: int) -> Iterator[int]:
        """Where the entries of a vector of structs begin."""
        at = self._field(index)
        if at is None:
            return iter(())
        vector = at + struct.unpack_from("<I", self._body, at)[0]
        (count,) = struct.unpack_from("<I", self._body, vector)
        return iter(range(vector + 4, vector + 4 + size * min(count, len(self._body) // size), size))
