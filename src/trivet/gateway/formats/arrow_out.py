"""Arrow out: an answer as one record batch, a struct column for each part, or flat columns.

Lists are written as the reference's engine writes them: of variable length with items called `inner`, the row's shape kept as
`tensor_type` beside the field.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from trivet.gateway.answer import Answer
from trivet.gateway.formats.dataset import Selection
from trivet.gateway.formats.inputs import EchoedInputs
from trivet.gateway.formats.stamp import Stamp

__all__ = ["ArrowWriter"]

# An answer to so few rows is small whatever it says of them.
SMALL_ROWS = 1024
# Of the offsets and the times of a row in `metadata`.
METADATA_BYTES = 40
SLACK = 16 * 2**10
SLACK_A_COLUMN = 4 * 2**10
ELAPSED = pa.list_(pa.field("steps", pa.uint64(), nullable=False))
PACKAGE_INPUTS = {"trivet.inputs": "not null"}
"""Tells clients to show inputs as not null."""
DROPPED = pa.list_(pa.field("item", pa.string()))


class ArrowWriter:
    """Writes answers of one model for one selection.

    Args:
        selection: the requested parts and columns.
        stamp: the answers' origin.
        stream: write an IPC stream rather than a file.
    """

    def __init__(self, selection: Selection, stamp: Stamp, *, stream: bool) -> None:
        self._selection = selection
        self._stamp = stamp
        self._metadata = PACKAGE_INPUTS if stamp.runs_package else None
        texts = (stamp.last_model, stamp.pipeline_version, stamp.partition)
        self._bytes_a_row = METADATA_BYTES + sum(map(len, texts)) if selection.touches("metadata") else 0
        self._echoes = selection.touches("in")
        self._new = pa.ipc.new_stream if stream else pa.ipc.new_file

    def write(self, answer: Answer[EchoedInputs]) -> memoryview:
        """The Arrow body of an answer."""
        rows = answer.outputs.rows
        if rows > SMALL_ROWS:
            echoed = sum(array.nbytes for array in answer.inputs.arrays().values()) if self._echoes else 0
            answer.inputs.allowance.check_answer(rows, bytes_a_row=self._bytes_a_row, echoed=echoed)
        return self.body(self.columns(answer))

    def columns(self, answer: Answer[EchoedInputs], *, without: str | None = None) -> list[tuple[pa.Field, pa.Array]]:
        """The columns of an answer, but for one part of it."""
        return _columns_of(answer, self._selection, self._stamp, without=without)

    def echoed(self, inputs: EchoedInputs) -> list[tuple[pa.Field, pa.Array]]:
        """The columns of a request as they are returned."""
        members = {name: array for name, array in inputs.arrays().items() if self._selection.includes("in", name)}
        return _part("in", members, flatten=self._selection.flatten)

    def body(self, columns: Sequence[tuple[pa.Field, pa.Array]]) -> memoryview:
        """An Arrow body with these columns."""
        batch = pa.RecordBatch.from_arrays(
            [array for _, array in columns],
            schema=pa.schema([field for field, _ in columns], metadata=self._metadata),
        )
        # A buffer is copied each time it grows, so start with about the right size.
        buffer = pa.allocate_buffer(batch.nbytes + SLACK + SLACK_A_COLUMN * batch.num_columns)
        try:
            sink = pa.FixedSizeBufferWriter(buffer)
            with self._new(sink, batch.schema) as writer:
                writer.write_batch(batch)
            return memoryview(buffer)[: sink.tell()]
        except (pa.ArrowException, OSError):
            growing = pa.BufferOutputStream()
            with self._new(growing, batch.schema) as writer:
                writer.write_batch(batch)
            return memoryview(growing.getvalue())


def _columns_of(
    answer: Answer[EchoedInputs], selection: Selection, stamp: Stamp, *, without: str | None
) -> list[tuple[pa.Field, pa.Array]]:
    found: list[tuple[pa.Field, pa.Array]] = []
    if "time" in selection.parts:
        found.append(
            (pa.field("time", pa.int64(), nullable=False), pa.array(np.full(answer.outputs.rows, answer.time_ms)))
        )
    for part in ("in", "out", "anomaly", "metadata"):
        if part == without or not selection.touches(part):
            continue
        columns = _columns(answer, part, stamp)
        found += _part(
            part,
            {name: array for name, array in columns.items() if selection.includes(part, name)},
            flatten=selection.flatten,
        )
    return found


def _part(part: str, members: Mapping[str, pa.Array], *, flatten: bool) -> list[tuple[pa.Field, pa.Array]]:
    """The columns of a part: one of structs, or one for each member; none if it has no members."""
    shown = [_shown(name, array, part=part) for name, array in members.items()]
    if flatten:
        return [(field.with_name(f"{part}.{field.name}"), array) for field, array in shown]
    if not shown:
        return []
    struct = pa.StructArray.from_arrays([array for _, array in shown], fields=[field for field, _ in shown])
    return [(pa.field(part, struct.type, nullable=False), struct)]


def _columns(answer: Answer[EchoedInputs], part: str, stamp: Stamp) -> dict[str, pa.Array]:
    rows = answer.outputs.rows
    match part:
        case "in":
            return answer.inputs.arrays()
        case "out":
            return {name: answer.outputs.arrow(index) for index, name in enumerate(answer.outputs.schema.names)}
        case "anomaly":
            found = answer.anomalies
            if found is None:
                return {"count": pa.array(np.zeros(rows, dtype=np.uint32))}
            return {"count": pa.array(found.count)} | {
                name: pa.array(found.columns[name]) for name in sorted(found.columns)
            }
    elapsed = np.empty((rows, 2), dtype=np.uint64)
    elapsed[:] = answer.elapsed_ns
    fixed = _origin(stamp, rows)
    return {
        "last_model": fixed.last_model,
        "pipeline_version": fixed.pipeline_version,
        "elapsed": pa.ListArray.from_arrays(_offsets(rows, 2), pa.array(elapsed.ravel()), type=ELAPSED),
        "dropped": fixed.dropped,
        "partition": fixed.partition,
    }


class _Origin(NamedTuple):
    """The metadata columns, which are the same in every answer with this number of rows."""

    last_model: pa.Array
    pipeline_version: pa.Array
    dropped: pa.Array
    partition: pa.Array


@lru_cache(maxsize=32)
def _origin(stamp: Stamp, rows: int) -> _Origin:
    return _Origin(
        last_model=pa.repeat(stamp.last_model, rows),
        pipeline_version=pa.repeat(stamp.pipeline_version, rows),
        dropped=pa.ListArray.from_arrays(_offsets(rows, 0), pa.array([], pa.string()), type=DROPPED),
        partition=pa.repeat(stamp.partition, rows),
    )


@lru_cache(maxsize=64)
def _offsets(rows: int, width: int) -> pa.Array:
    return pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))


class _Form(NamedTuple):
    """How columns of one type are written: the field, and for each level of fixed-size lists its width and list type."""

    field: pa.Field
    levels: tuple[tuple[int, pa.DataType], ...]


@lru_cache(maxsize=1024)
def _form(name: str, kind: pa.DataType, part: str) -> _Form:
    shape: list[int] = []
    levels: list[tuple[int, pa.DataType]] = []
    item = "item" if part == "in" else "inner"
    inner = kind
    while pa.types.is_fixed_size_list(inner):
        shape.append(inner.list_size)
        inner = inner.value_type
    shown = inner
    for width in reversed(shape):
        shown = pa.list_(pa.field(item, shown, nullable=part == "in"))
        levels.insert(0, (width, shown))
    metadata = None
    if part != "metadata" and not (pa.types.is_list(inner) or pa.types.is_large_list(inner)):
        metadata = {"tensor_type": json.dumps({"shape": shape}, separators=(",", ":"))}
    # A column of nulls that was sent without a type is returned unchanged.
    field = pa.field(name, shown, nullable=pa.types.is_null(shown), metadata=metadata)
    return _Form(field, tuple(levels))


def _shown(name: str, array: pa.Array, *, part: str) -> tuple[pa.Field, pa.Array]:
    """A column as it is written, with its field: fixed-size lists as variable ones over the same memory."""
    form = _form(name, array.type, part)
    values = array
    parents: list[tuple[int, int, pa.DataType]] = []
    for width, kind in form.levels:
        if values.null_count:
            break
        parents.append((len(values), width, kind))
        values = _items(values, width)
    if values.null_count or len(values) > np.iinfo(np.int32).max:
        # Rare: a column with nulls keeps the type in which it was sent.
        return pa.field(name, array.type, nullable=array.null_count > 0), array
    for count, width, kind in reversed(parents):
        values = pa.ListArray.from_arrays(_offsets(count, width), values, type=kind)
    return form.field, values


def _items(lists: pa.Array, width: int) -> pa.Array:
    """The items of fixed-size lists without nulls. `flatten` handles slices; `values` costs a tenth."""
    whole = lists.values
    return whole if len(whole) == len(lists) * width else lists.flatten()
