"""Small bodies that stand for very much: each is refused or answered, and holds at most a hundred times of its size."""

import gzip
import io
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
JSON = "application/json"
SCHEMA = "x: bool; wide: float32[1000]?"
MOST_TIMES = 100
# What a request of any size may hold: an answer of this size is made for a body of a few bytes.
FREE = 64 * 2**20
MILLION = 1_000_000


@dataclass(frozen=True)
class Hostile:
    """A body, and the answer to it."""

    make: Callable[[], bytes]
    status: int
    content_type: str = FILE
    accept: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


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

CORPUS = {
    "one batch named 3000 times": Hostile(lambda: alias(3000, 8 * 2**20), 413),
    "one small batch named 100000 times": Hostile(lambda: alias(100_000, 8 * 4096), 413),
    "compressed bits in zstd": Hostile(lambda: ipc(bools(MILLION), compression="zstd"), 413),
    "compressed bits in lz4": Hostile(lambda: ipc(bools(MILLION), compression="lz4"), 413),
    "compressed bits in a stream": Hostile(lambda: ipc(bools(MILLION), compression="zstd", stream=True), 413, STREAM),
    "compressed bits answered in Arrow": Hostile(lambda: ipc(bools(MILLION), compression="zstd"), 413, accept=FILE),
    "compressed column of 64 MiB": Hostile(
        lambda: ipc(pa.table({"x": [True], "z": [ZEROS.decode()]}), compression="zstd"), 413
    ),
    "plain bits whose wide column is absent": Hostile(lambda: ipc(bools(40_000)), 413, accept=FILE),
    "wide column without a type": Hostile(lambda: ipc(bools(40_000, wide=pa.nulls(40_000))), 413, accept=FILE),
    "two million nulls": Hostile(lambda: ipc(pa.table({"z": pa.nulls(2 * MILLION)})), 413),
    "nulls in an extension": Hostile(lambda: ipc(pa.table({"z": extension(pa.nulls(2 * MILLION))})), 413),
    "nulls in a list": Hostile(
        lambda: ipc(
            bools(1, z=pa.ListArray.from_arrays(pa.array([0, 2 * MILLION], pa.int32()), pa.nulls(2 * MILLION)))
        ),
        413,
    ),
    "nulls in a fixed-size list": Hostile(
        lambda: ipc(bools(1, z=pa.FixedSizeListArray.from_arrays(pa.nulls(2**31 - 2), 2**31 - 2))), 413
    ),
    "empty structs": Hostile(
        lambda: ipc(pa.table({"z": pa.Array.from_buffers(pa.struct([]), 2 * MILLION, [None])})), 413
    ),
    "lists of width 0": Hostile(lambda: ipc(pa.table({"z": zero_lists(2 * MILLION)})), 413),
    "run-end encoding": Hostile(lambda: ipc(pa.table({"z": RUN_ENDS})), 400),
    "run-end encoding in an extension": Hostile(lambda: ipc(bools(4, z=extension(SMALL_RUNS))), 400),
    "run-end encoding in a list in an extension": Hostile(
        lambda: ipc(bools(1, z=extension(pa.ListArray.from_arrays(pa.array([0, 4], pa.int32()), SMALL_RUNS)))), 400
    ),
    "dictionary": Hostile(lambda: ipc(bools(4, z=pa.array(["a" * 1000] * 4).dictionary_encode())), 400),
    "dictionary in an extension": Hostile(
        lambda: ipc(bools(4, z=extension(pa.array(["a" * 1000] * 4).dictionary_encode()))), 400
    ),
    "views": Hostile(lambda: ipc(bools(4, z=pa.array(["a" * 1000] * 4, pa.string_view()))), 400),
    "long column name": Hostile(lambda: ipc(bools(20_000, **{"n" * 10_000: np.zeros(20_000, bool)})), 413),
    "long member name": Hostile(
        lambda: ipc(
            bools(20_000, z=pa.StructArray.from_arrays([pa.array(np.zeros(20_000, bool))], ["n" * 10_000])),
        ),
        413,
    ),
    "too many columns": Hostile(lambda: ipc(pa.table({f"c{i}": [True] for i in range(10_001)})), 413),
    "batches of one row": Hostile(lambda: many_batches(1000), 200, STREAM),
    "compressed Arrow compressed again": Hostile(
        lambda: gzip.compress(ipc(bools(8 * MILLION), compression="zstd")), 413, headers=encoded("gzip")
    ),
    "JSON rows whose wide column is absent": Hostile(lambda: records(20_000), 413, JSON, FILE),
    "JSON without an end": Hostile(lambda: b"[" * 100_000, 400, JSON),
    "JSON objects in objects": Hostile(lambda: b'[{"x":' + b'{"x":' * 50_000, 400, JSON),
    "number of 100000 digits": Hostile(lambda: b'[{"x":' + b"1" * 100_000 + b"}]", 400, JSON),
    "number with a huge exponent": Hostile(lambda: b'[{"x":1e999999999}]', 400, JSON),
    "one row of 5000 unknown columns": Hostile(
        lambda: json.dumps([{"x": True, **{f"c{i}": 0 for i in range(5000)}}]).encode(), 200, JSON
    ),
    "white space": Hostile(lambda: b" " * 2**20, 400, JSON),
    "zeros in gzip": Hostile(lambda: gzip.compress(ZEROS), 413, JSON, headers=encoded("gzip")),
    "zeros in deflate": Hostile(lambda: zlib.compress(ZEROS), 413, JSON, headers=encoded("deflate")),
    "zeros in zstd": Hostile(lambda: zstandard.compress(ZEROS), 413, JSON, headers=encoded("zstd")),
    "a thousand and one members": Hostile(lambda: gzip_members(1001), 400, JSON, headers=encoded("gzip")),
    "window of a gibibyte": Hostile(wide_window, 400, JSON, headers=encoded("zstd")),
    "cut-off gzip": Hostile(lambda: gzip.compress(records(1000))[:-9], 400, JSON, headers=encoded("gzip")),
    "rows in gzip": Hostile(lambda: gzip.compress(full_records(500)), 200, JSON, headers=encoded("gzip")),
    "encoding that is not taken": Hostile(lambda: records(1), 415, JSON, headers=encoded("br")),
}


class Peak:
    """The most bytes that Python, numpy and Arrow held at once within a `with` block."""

    held = 0

    def __enter__(self) -> Self:
        self._usual = pa.default_memory_pool()
        self._pool = pa.proxy_memory_pool(self._usual)
        pa.set_memory_pool(self._pool)
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held = tracemalloc.get_traced_memory()[1] + (self._pool.max_memory() or 0)
        tracemalloc.stop()
        pa.set_memory_pool(self._usual)


def ask_within_bounds(server, body: bytes, hostile: Hostile) -> int:
    with Peak() as peak:
        reply = server.ask(body, content_type=hostile.content_type, accept=hostile.accept, **hostile.headers)
    assert peak.held <= max(MOST_TIMES * len(body), FREE), reply.status
    return reply.status


@pytest.fixture(scope="module")
def server(serve):
    return serve(SCHEMA, sound='[{"x": true}]', max_body=32 * 2**20)


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_body_is_answered_within_its_bound(server, name):
    hostile = CORPUS[name]
    assert ask_within_bounds(server, hostile.make(), hostile) == hostile.status
    assert server.still_answers()


@st.composite
def arrow_bodies(draw: st.DrawFn) -> Hostile:
    rows = draw(st.sampled_from([1, 7, 1000, 20_000, 300_000]))
    kinds = st.sampled_from([pa.bool_(), pa.int8(), pa.float64(), pa.null(), pa.struct([])])
    columns = {"x": np.zeros(rows, bool)}
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(kinds)
        values = pa.Array.from_buffers(kind, rows, [None]) if kind == pa.struct([]) else pa.array(np.zeros(rows, bool))
        if kind != pa.struct([]):
            values = pa.nulls(rows, kind) if pa.types.is_null(kind) else values.cast(pa.int8()).cast(kind)
        columns[draw(st.text("ab", min_size=1, max_size=3)) * draw(st.sampled_from([1, 300]))] = values
    stream = draw(st.booleans())
    body = ipc(pa.table(columns), compression=draw(st.sampled_from([None, "zstd", "lz4"])), stream=stream)
    squeezed = draw(st.booleans())
    return Hostile(
        lambda: gzip.compress(body) if squeezed else body,
        0,
        STREAM if stream else FILE,
        draw(st.sampled_from([JSON, FILE])),
        encoded("gzip") if squeezed else {},
    )


@st.composite
def json_bodies(draw: st.DrawFn) -> Hostile:
    row = {
        "x": draw(st.booleans()),
        draw(st.text(max_size=5)): draw(st.sampled_from([None, 0, [], {}, "a" * 99, [[]]])),
    }
    if draw(st.booleans()):
        row["wide"] = [0] * 1000
    body = json.dumps([row] * draw(st.sampled_from([1, 50, 4000]))).encode()
    squeezed = draw(st.sampled_from(["", "gzip", "deflate", "zstd"]))
    squeeze = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[squeezed]
    return Hostile(lambda: squeeze(body), 0, JSON, draw(st.sampled_from([JSON, FILE])), encoded(squeezed))


@seed(20_261_129)
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(hostile=st.one_of(arrow_bodies(), json_bodies()))
def test_no_request_holds_more_than_a_hundred_times_its_body(server, hostile):
    assert ask_within_bounds(server, hostile.make(), hostile) in (200, 400, 413)
