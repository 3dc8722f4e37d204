"""`Batch`: the one type in flight between a protocol at the edge and a model."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from trivet.errors import Internal
from trivet_worker.tensors import to_arrow, to_numpy

__all__ = ["Batch", "Column", "concat", "join_columns"]

Column: TypeAlias = np.ndarray | pa.Array
"""One field of a batch, one entry a row: a numpy array `[rows, …]` or an Arrow array, as it came."""


class Batch:
    """Named columns under a model's Arrow schema, one row a record.

    A column stays what it came as (numpy from JSON and native sessions, Arrow from Arrow clients and workers) and becomes
    the other only on request; fixed-size lists of numbers do so without a copy.

    Attributes:
        schema: the model's input or output schema.
        columns: one `Column` a field of the schema, in its order.
        rows: how many records.
    """

    __slots__ = ("columns", "rows", "schema")

    def __init__(self, schema: pa.Schema, columns: Sequence[Column], rows: int) -> None:
        self.schema = schema
        self.columns = columns
        self.rows = rows

    def numpy(self, index: int) -> np.ndarray:
        """Column `index` as numpy: `[rows, …]` of the field's dtype, or an object array for strings and ragged lists."""
        column = self.columns[index]
        if isinstance(column, np.ndarray):
            return column
        return to_numpy(column, self.schema.field(index), writable=False)

    def arrow(self, index: int) -> pa.Array:
        """Column `index` as an Arrow array of exactly the field's type."""
        column = self.columns[index]
        if isinstance(column, np.ndarray):
            return to_arrow(column, self.schema.field(index))
        return column

    def record_batch(self) -> pa.RecordBatch:
        """The batch as Arrow has it."""
        arrays = [self.arrow(index) for index in range(len(self.columns))]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def slice(self, start: int, rows: int) -> "Batch":
        """Rows `start` to `start + rows`, without a copy."""
        columns = [
            column[start : start + rows] if isinstance(column, np.ndarray) else column.slice(start, rows)
            for column in self.columns
        ]
        return Batch(self.schema, columns, rows)

    @property
    def nbytes(self) -> int:
        """About how many bytes the columns hold."""
        nbytes = 0
        for column in self.columns:
            nbytes += column.nbytes
        return nbytes

    @staticmethod
    def of_record_batch(record_batch: pa.RecordBatch) -> "Batch":
        """A batch over an Arrow record batch, without a copy."""
        return Batch(record_batch.schema, record_batch.columns, record_batch.num_rows)


def concat(batches: Sequence[Batch]) -> Batch:
    """Join batches of one schema, row after row.

    Columns that are numpy on all sides and of one shape stay numpy; any other becomes Arrow.
    """
    if len(batches) == 1:
        return batches[0]
    schema = batches[0].schema
    if any(batch.schema is not schema and batch.schema != schema for batch in batches):
        raise Internal("batches of different schemas cannot be joined")
    columns = [
        join_columns([batch.columns[index] for batch in batches], schema.field(index)) for index in range(len(schema))
    ]
    return Batch(schema, columns, sum(batch.rows for batch in batches))


def join_columns(parts: Sequence[Column], field: pa.Field) -> Column:
    """One column of many, row after row: numpy where all are numpy and of one shape, Arrow otherwise."""
    if set(map(type, parts)) == {np.ndarray} and all(part.dtype != object for part in parts):
        shape = parts[0].shape[1:]
        if all(part.shape[1:] == shape for part in parts):
            return np.concatenate(parts)
    return pa.concat_arrays([to_arrow(part, field) if isinstance(part, np.ndarray) else part for part in parts])
