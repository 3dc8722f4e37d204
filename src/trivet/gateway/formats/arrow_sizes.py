"""The decompressed size of an Arrow body, computed before anything is decompressed."""

import struct
from collections.abc import Iterator

import pyarrow as pa

from trivet.errors import TooLarge

__all__ = ["refuse_bombs", "refuse_weightless"]

MAX_WEIGHTLESS = 1_000_000
FOOTER_TAIL = 10


def refuse_weightless(batch: pa.RecordBatch) -> None:
    """Refuse very many values that take no bytes: nulls without a type, empty structs, rows without columns.

    Raises:
        TooLarge: there are more than a million.
    """
    if batch.num_columns == 0 and batch.num_rows > MAX_WEIGHTLESS:
        raise TooLarge(f"{batch.num_rows} rows without columns", fix=f"send at most {MAX_WEIGHTLESS}")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        count = _weightless(column)
        if count > MAX_WEIGHTLESS:
            raise TooLarge(
                f"column {name!r} holds {count} values without a type",
                why=f"they take no bytes, and the limit is {MAX_WEIGHTLESS}",
                fix="give the column a type: pa.array(values, type=…)",
                path=name,
            )


def _weightless(array: pa.Array) -> int:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _weightless(array.storage)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _weightless(array.values)
    if pa.types.is_struct(kind) and kind.num_fields:
        return sum(_weightless(array.field(index)) for index in range(kind.num_fields))
    return len(array) if pa.types.is_null(kind) or pa.types.is_struct(kind) else 0


def refuse_bombs(body: bytes, *, is_file: bool, max_bytes: int) -> None:
    """Add up the declared sizes of compressed buffers.

    A record batch message names its codec in the flatbuffer (`RecordBatch.compression`), and each compressed buffer begins
    with its inflated length, 8 bytes, little-endian; -1 marks one left as it is. In a file the footer says where the
    messages are, in a stream they follow each other. Source: Arrow columnar format, Message.fbs and File.fbs.

    Raises:
        TooLarge: it is more than `max_bytes`.
    """
    total = 0
    for start in _blocks(body) if is_file else _sequence(body):
        metadata = start + (8 if body[start : start + 4] == b"\xff\xff\xff\xff" else 4)
        buffers = metadata + struct.unpack_from("<i", body, metadata - 4)[0]
        for offset in _message_sizes(body, metadata)[0]:
            if 0 <= buffers + offset <= len(body) - 8:
                (inflated,) = struct.unpack_from("<q", body, buffers + offset)
                total += max(inflated, 0)
        if total > max_bytes:
            raise TooLarge(
                "the columns are too large when decompressed",
                why=f"they declare {total} bytes; the limit is {max_bytes}",
                fix="send the columns without compression, or fewer rows",
            )


def _sequence(body: bytes) -> Iterator[int]:
    """Where the messages of a stream begin."""
    start = 0
    while start + 8 <= len(body):
        metadata = start + (8 if body[start : start + 4] == b"\xff\xff\xff\xff" else 4)
        (length,) = struct.unpack_from("<i", body, metadata - 4)
        if length <= 0:
            return
        yield start
        start = metadata + length + _message_sizes(body, metadata)[1]


def _blocks(body: bytes) -> Iterator[int]:
    """Where the record batches of a file begin."""
    (length,) = struct.unpack_from("<i", body, len(body) - FOOTER_TAIL)
    start = len(body) - FOOTER_TAIL - length
    if length <= 0 or start < 0:
        return
    footer = _Flat(body, start + struct.unpack_from("<I", body, start)[0])
    yield from footer.blocks(3)


def _message_sizes(body: bytes, start: int) -> tuple[list[int], int]:
    """Where a message's compressed buffers begin in its body (none if it is not compressed), and how long its body is."""
    message = _Flat(body, start + struct.unpack_from("<I", body, start)[0])
    body_length = message.int64(3)
    record_batch = message.table(2)
    if message.uint8(1) != 3 or record_batch is None or not record_batch.has(3):
        return [], body_length
    return record_batch.buffer_offsets(2), body_length


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

    def buffer_offsets(self, index: int) -> list[int]:
        at = self._field(index)
        if at is None:
            return []
        vector = at + struct.unpack_from("<I", self._body, at)[0]
        (count,) = struct.unpack_from("<I", self._body, vector)
        offsets = []
        for entry in range(min(count, len(self._body) // 16)):
            offset, length = struct.unpack_from("<qq", self._body, vector + 4 + 16 * entry)
            if length > 0:
                offsets.append(offset)
        return offsets

    def blocks(self, index: int) -> list[int]:
        """The offsets in a vector of `Block{offset, metaDataLength, bodyLength}`, 24 bytes each."""
        at = self._field(index)
        if at is None:
            return []
        vector = at + struct.unpack_from("<I", self._body, at)[0]
        (count,) = struct.unpack_from("<I", self._body, vector)
        offsets = [
            struct.unpack_from("<q", self._body, vector + 4 + 24 * entry)[0]
            for entry in range(min(count, len(self._body) // 24))
        ]
        return [offset for offset in offsets if 0 <= offset <= len(self._body) - 8]
