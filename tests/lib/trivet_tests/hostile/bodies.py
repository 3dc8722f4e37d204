"""Bodies of requests: small ones that stand for very much."""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from trivet_tests.hostile.entry import Hostile, Kind

__all__ = ["BODIES", "FILE", "JSON", "STREAM", "encoded", "ipc"]

FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
JSON = "application/json"
MILLION = 1_000_000


def ipc(table: pa.Table | pa.RecordBatch, *, compression: str | None = None, stream: bool = False) -> bytes:
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write(table)
    return bytes(sink.getvalue())


def bools(rows: int, **more: Any) -> pa.Table:
    return pa.table({"x": np.zeros(rows, bool), **more})


def extension(storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.opaque(storage.type, "kind", "vendor"), storage)


def alias(times: int, rows: int) -> bytes:
    """A file whose footer names its one batch many times."""
    body = ipc(bools(rows))
    (length,) = struct.unpack_from("<i", body, len(body) - 10)
    start = len(body) - 10 - length
    footer = bytearray(body[start : start + length])
    (at,) = struct.unpack_from("<I", footer, 0)
    vtable = at - struct.unpack_from("<i", footer, at)[0]
    blocks = at + struct.unpack_from("<H", footer, vtable + 4 + 2 * 3)[0]
    vector = blocks + struct.unpack_from("<I", footer, blocks)[0]
    block = bytes(footer[vector + 4 : vector + 28])
    footer += bytes(-(len(footer) + 4) % 8)
    struct.pack_into("<I", footer, blocks, len(footer) - blocks)
    footer += struct.pack("<I", times) + block * times
    return body[:start] + bytes(footer) + struct.pack("<i", len(footer)) + b"ARROW1"


def many_batches(count: int) -> bytes:
    sink = pa.BufferOutputStream()
    batch = bools(1).to_batches()[0]
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(count):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def records(rows: int) -> bytes:
    return b"[" + b",".join([b'{"x":true}'] * rows) + b"]"


def new_keys(value: Callable[[int], object]) -> bytes:
    """Rows with an unknown column whose type Arrow infers."""
    return json.dumps([{"x": True, "text": "a" * 100, "more": value(row)} for row in range(3000)]).encode()


def full_records(rows: int) -> bytes:
    """Rows that leave nothing out: text that compresses a thousandfold."""
    return b"[" + b",".join([b'{"x":true,"wide":[' + b",".join([b"0"] * 1000) + b"]}"] * rows) + b"]"


def encoded(name: str) -> dict[str, str]:
    return {"content_encoding": name}


def zero_lists(rows: int) -> pa.Array:
    return (
        pa.FixedSizeListArray.from_arrays(pa.array([], pa.float32()), type=pa.list_(pa.float32(), 0))
        if not rows
        else (pa.Array.from_buffers(pa.list_(pa.float32(), 0), rows, [None], children=[pa.array([], pa.float32())]))
    )


def gzip_members(count: int) -> bytes:
    return gzip.compress(b"") * count + gzip.compress(records(1))


def wide_window() -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=30)
    out = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(out, closefd=False) as writer:
        writer.write(records(1))
    return out.getvalue()


RUN_ENDS = pa.RunEndEncodedArray.from_arrays(pa.array([2**31 - 1], pa.int32()), pa.array([1], pa.int8()))
SMALL_RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([4], pa.int32()), pa.array([1], pa.int8()))
ZEROS = bytes(64 * 2**20)


def body(make, status, content_type: str = FILE, accept: str = JSON, headers: dict[str, str] | None = None):
    """How a body is made, the status of its answer, and the headers of its request."""
    return make, status, {"content_type": content_type, "accept": accept, **(headers or {})}


def kind_of(about: dict[str, str]) -> Kind:
    if "content_encoding" in about:
        return "compressed"
    return "json" if about["content_type"] == JSON else "arrow"


TABLE = {
    "one batch named 3000 times": body(lambda: alias(3000, 8 * 2**20), 413),
    "one small batch named 100000 times": body(lambda: alias(100_000, 8 * 4096), 413),
    "compressed bits in zstd": body(lambda: ipc(bools(MILLION), compression="zstd"), 413),
    "compressed bits in lz4": body(lambda: ipc(bools(MILLION), compression="lz4"), 413),
    "compressed bits in a stream": body(lambda: ipc(bools(MILLION), compression="zstd", stream=True), 413, STREAM),
    "compressed bits answered in Arrow": body(lambda: ipc(bools(MILLION), compression="zstd"), 413, accept=FILE),
    "compressed column of 64 MiB": body(
        lambda: ipc(pa.table({"x": [True], "z": [ZEROS.decode()]}), compression="zstd"), 413
    ),
    "plain bits whose wide column is absent": body(lambda: ipc(bools(40_000)), 413, accept=FILE),
    "wide column without a type": body(lambda: ipc(bools(40_000, wide=pa.nulls(40_000))), 413, accept=FILE),
    "two million nulls": body(lambda: ipc(pa.table({"z": pa.nulls(2 * MILLION)})), 413),
    "nulls in an extension": body(lambda: ipc(pa.table({"z": extension(pa.nulls(2 * MILLION))})), 413),
    "nulls in a list": body(
        lambda: ipc(
            bools(1, z=pa.ListArray.from_arrays(pa.array([0, 2 * MILLION], pa.int32()), pa.nulls(2 * MILLION)))
        ),
        413,
    ),
    "nulls in a fixed-size list": body(
        lambda: ipc(bools(1, z=pa.FixedSizeListArray.from_arrays(pa.nulls(2**31 - 2), 2**31 - 2))), 413
    ),
    "empty structs": body(lambda: ipc(pa.table({"z": pa.Array.from_buffers(pa.struct([]), 2 * MILLION, [None])})), 413),
    "lists of width 0": body(lambda: ipc(pa.table({"z": zero_lists(2 * MILLION)})), 413),
    "run-end encoding": body(lambda: ipc(pa.table({"z": RUN_ENDS})), 400),
    "run-end encoding in an extension": body(lambda: ipc(bools(4, z=extension(SMALL_RUNS))), 400),
    "run-end encoding in a list in an extension": body(
        lambda: ipc(bools(1, z=extension(pa.ListArray.from_arrays(pa.array([0, 4], pa.int32()), SMALL_RUNS)))), 400
    ),
    "dictionary": body(lambda: ipc(bools(4, z=pa.array(["a" * 1000] * 4).dictionary_encode())), 400),
    "dictionary in an extension": body(
        lambda: ipc(bools(4, z=extension(pa.array(["a" * 1000] * 4).dictionary_encode()))), 400
    ),
    "views": body(lambda: ipc(bools(4, z=pa.array(["a" * 1000] * 4, pa.string_view()))), 400),
    "long column name": body(lambda: ipc(bools(20_000, **{"n" * 10_000: np.zeros(20_000, bool)})), 413),
    "long member name": body(
        lambda: ipc(
            bools(20_000, z=pa.StructArray.from_arrays([pa.array(np.zeros(20_000, bool))], ["n" * 10_000])),
        ),
        413,
    ),
    "too many columns": body(lambda: ipc(pa.table({f"c{i}": [True] for i in range(10_001)})), 413),
    "batches of one row": body(lambda: many_batches(1000), 200, STREAM),
    "compressed Arrow compressed again": body(
        lambda: gzip.compress(ipc(bools(8 * MILLION), compression="zstd")), 413, headers=encoded("gzip")
    ),
    "JSON rows whose wide column is absent": body(lambda: records(20_000), 413, JSON, FILE),
    "JSON without an end": body(lambda: b"[" * 100_000, 400, JSON),
    "JSON objects in objects": body(lambda: b'[{"x":' + b'{"x":' * 50_000, 400, JSON),
    "number of 100000 digits": body(lambda: b'[{"x":' + b"1" * 100_000 + b"}]", 400, JSON),
    "number with a huge exponent": body(lambda: b'[{"x":1e999999999}]', 400, JSON),
    "one row of 5000 unknown columns": body(
        lambda: json.dumps([{"x": True, **{f"c{i}": 0 for i in range(5000)}}]).encode(), 200, JSON
    ),
    "objects with ever new keys": body(lambda: new_keys(lambda i: {f"k{i}": 0}), 200, JSON, FILE),
    "objects in lists with ever new keys": body(lambda: new_keys(lambda i: [{f"k{i}": {f"m{i}": 0}}]), 200, JSON, FILE),
    "white space": body(lambda: b" " * 2**20, 400, JSON),
    "zeros in gzip": body(lambda: gzip.compress(ZEROS), 413, JSON, headers=encoded("gzip")),
    "zeros in deflate": body(lambda: zlib.compress(ZEROS), 413, JSON, headers=encoded("deflate")),
    "zeros in zstd": body(lambda: zstandard.compress(ZEROS), 413, JSON, headers=encoded("zstd")),
    "a thousand and one members": body(lambda: gzip_members(1001), 400, JSON, headers=encoded("gzip")),
    "window of a gibibyte": body(wide_window, 400, JSON, headers=encoded("zstd")),
    "cut-off gzip": body(lambda: gzip.compress(records(1000))[:-9], 400, JSON, headers=encoded("gzip")),
    "rows in gzip": body(lambda: gzip.compress(full_records(500)), 200, JSON, headers=encoded("gzip")),
    "encoding that is not taken": body(lambda: records(1), 415, JSON, headers=encoded("br")),
}

BODIES = [
    Hostile(kind=kind_of(about), name=name, make=make, outcome=status, about=about)
    for name, (make, status, about) in TABLE.items()
]
