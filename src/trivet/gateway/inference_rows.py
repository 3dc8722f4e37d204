"""Rows of requests that wait to be written to the inference log.

Values are copied to the end of a buffer for each column. No object of a request is kept, so that its memory is reused at once
and the garbage collector has nothing to scan.
"""

import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from trivet.engine.batch import Batch, Column, join_columns
from trivet.engine.checks.checks import Anomalies
from trivet.engine.pipeline import ServedPipeline
from trivet.gateway.answer import Answer, Inputs
from trivet.inference_log import COLUMNS, DROPPED, Origin
from trivet_worker.tensors import fixed_shape, to_numpy

__all__ = ["Gathered", "record_batch"]

FIRST_ROWS = 64
FIRST_BYTES = 2**20


class _Store:
    """One column of collected rows: numbers of one shape are copied into a growing buffer, other values are kept as objects.

    A copy of a hundred bytes costs less than keeping the array that holds them, because its memory is reused at once.

    Attributes:
        row_bytes: of each row; 0 if rows may differ in size.
    """

    __slots__ = ("_buffer", "_field", "_parts", "row_bytes")

    def __init__(self, field: pa.Field, first: Column) -> None:
        self._field = field
        self._parts: list[Column] = []
        self._buffer: np.ndarray | None = None
        self.row_bytes = 0
        if fixed_shape(field.type) is not None and not _holds_objects(first):
            self.row_bytes = max(1, first.nbytes // len(first))
            if not field.nullable and isinstance(first, np.ndarray):
                rows = max(1, min(FIRST_ROWS, FIRST_BYTES // self.row_bytes))
                self._buffer = np.empty((rows, *first.shape[1:]), first.dtype)

    def add(self, values: Column, start: int, end: int) -> None:
        """Add one request's values as rows `start` to `end`."""
        buffer = self._buffer
        if buffer is None:
            self._parts.append(values)
            return
        if end > len(buffer):
            larger = np.empty((len(buffer) + max(len(buffer), end), *buffer.shape[1:]), buffer.dtype)
            larger[:start] = buffer[:start]
            buffer = self._buffer = larger
        buffer[start:end] = values if type(values) is np.ndarray else to_numpy(values, self._field, writable=False)

    def joined(self, rows: int) -> Column:
        """All values as one column."""
        return join_columns(self._parts, self._field) if self._buffer is None else self._buffer[:rows]


class Gathered:
    """Requests to one pipeline version, column by column.

    Attributes:
        rows: the number of rows.
        nbytes: their approximate size.
        dropped: columns of the requests that are not among the inputs.
    """

    __slots__ = (
        "_row_bytes",
        "_varied_inputs",
        "_varied_outputs",
        "anomalies",
        "counts",
        "dropped",
        "input_schema",
        "inputs",
        "model_ns",
        "nbytes",
        "output_schema",
        "outputs",
        "pipeline",
        "read_ns",
        "rows",
        "times",
    )

    def __init__(
        self,
        pipeline: ServedPipeline,
        input_schema: pa.Schema,
        inputs: Sequence[Column],
        answer: Answer[Inputs],
        *,
        dropped: Sequence[str] = (),
    ) -> None:
        outputs = answer.outputs
        self.pipeline = pipeline
        self.dropped = dropped
        self.input_schema = input_schema
        self.output_schema = outputs.schema
        self.inputs = [_Store(field, values) for field, values in zip(input_schema, inputs, strict=True)]
        self.outputs = [_Store(field, values) for field, values in zip(outputs.schema, outputs.columns, strict=True)]
        # Plain numbers: no object of a request stays behind.
        self.times = array("q")
        self.read_ns = array("Q")
        self.model_ns = array("Q")
        self.counts = array("q")
        self.anomalies: list[Anomalies] = []
        self.rows = 0
        self.nbytes = 0
        self._row_bytes = sum(store.row_bytes for store in (*self.inputs, *self.outputs)) + 1
        self._varied_inputs = [index for index, store in enumerate(self.inputs) if not store.row_bytes]
        self._varied_outputs = [index for index, store in enumerate(self.outputs) if not store.row_bytes]

    def size_of(self, inputs: Sequence[Column], outputs: Batch) -> int:
        """The size of a request, in bytes."""
        size = self._row_bytes * outputs.rows
        for index in self._varied_inputs:
            size += _held_bytes(inputs[index])
        for index in self._varied_outputs:
            size += _held_bytes(outputs.columns[index])
        return size

    def add(self, inputs: Sequence[Column], answer: Answer[Inputs], nbytes: int) -> None:
        """Add a request of `nbytes`."""
        outputs = answer.outputs
        start = self.rows
        self.rows = end = start + outputs.rows
        self.nbytes += nbytes
        for store, values in zip(self.inputs, inputs, strict=True):
            store.add(values, start, end)
        for store, values in zip(self.outputs, outputs.columns, strict=True):
            store.add(values, start, end)
        read, model = answer.elapsed_ns
        self.times.append(answer.time_ms)
        self.read_ns.append(read)
        self.model_ns.append(model)
        self.counts.append(outputs.rows)
        if answer.anomalies is not None:
            self.anomalies.append(answer.anomalies)


def _holds_objects(values: Column) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == object


def _held_bytes(values: Column) -> int:
    """The approximate memory of a column."""
    if not _holds_objects(values):
        return values.nbytes
    if values.size == 1:
        return _object_bytes(values.item())
    objects = values.ravel().tolist()
    # Texts are many, and hold no other objects.
    return sum(map(sys.getsizeof if type(objects[0]) in {str, bytes} else _object_bytes, objects))


def _object_bytes(value: Any) -> int:
    size = sys.getsizeof(value)
    if type(value) is str:
        return size
    if isinstance(value, np.ndarray):
        return size + (_held_bytes(value) if value.size else 0)
    if isinstance(value, dict):
        return size + sum(map(_object_bytes, value.values()))
    if isinstance(value, list | tuple) and value:
        # Numbers in a list are objects, all of one size.
        plain = isinstance(value[0], int | float)
        return size + (len(value) * sys.getsizeof(value[0]) if plain else sum(map(_object_bytes, value)))
    return size


def record_batch(gathered: Gathered, *, first: int, origin: Origin) -> pa.RecordBatch:
    """The collected rows as a record batch.

    Args:
        gathered: at least one request.
        first: the first request's number; the others follow.
        origin: of all rows.
    """
    counts = np.array(gathered.counts)
    starts = np.cumsum(counts) - counts
    requests = np.arange(first, first + len(counts), dtype=np.uint64)
    fixed = [
        pa.array(np.repeat(np.array(gathered.times, dtype="datetime64[ms]"), counts)),
        pa.array(np.repeat(requests, counts)),
        pa.array((np.arange(gathered.rows) - np.repeat(starts, counts)).astype(np.uint32)),
        pa.array(np.repeat(np.array(gathered.read_ns, dtype=np.uint64), counts)),
        pa.array(np.repeat(np.array(gathered.model_ns, dtype=np.uint64), counts)),
    ]
    columns = dict(_joined("in", gathered.input_schema, gathered.inputs, gathered.rows))
    columns |= dict(_joined("out", gathered.output_schema, gathered.outputs, gathered.rows))
    columns |= _anomalies(gathered)
    if gathered.dropped:
        columns[DROPPED.name] = pa.array([gathered.dropped] * gathered.rows, DROPPED.type)
    fields = [*COLUMNS, *(pa.field(name, values.type) for name, values in columns.items())]
    return pa.RecordBatch.from_arrays([*fixed, *columns.values()], schema=origin.put_into(pa.schema(fields)))


def _joined(part: str, schema: pa.Schema, stores: Sequence[_Store], rows: int) -> Iterator[tuple[str, pa.Array]]:
    batch = Batch(schema, [store.joined(rows) for store in stores], rows)
    for index, name in enumerate(schema.names):
        yield f"{part}.{name}", batch.arrow(index)


def _anomalies(gathered: Gathered) -> dict[str, pa.Array]:
    found = gathered.anomalies
    if not found:
        return {"anomaly.count": pa.array(np.zeros(gathered.rows, dtype=np.uint32))}
    columns = {"anomaly.count": np.concatenate([each.count for each in found])}
    for name in sorted(found[0].columns):
        columns[f"anomaly.{name}"] = np.concatenate([each.columns[name] for each in found])
    return {name: pa.array(values) for name, values in columns.items()}
