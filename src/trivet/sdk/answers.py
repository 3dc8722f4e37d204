"""Turns answers into the form of what was sent: DataFrames, Arrow tables or records. Imports pandas only when needed."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trivet.errors import Internal
from trivet.sdk.calls import Reply
from trivet.sdk.frames import is_frame, is_table, pandas

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "answer_of",
    "answered_table",
    "as_answered",
    "frame_of",
    "order_columns",
    "read_records",
    "read_table",
    "rename",
    "to_frame",
]

INPUTS_NOT_NULL = b"trivet.inputs"
"""Metadata of an answer whose inputs are shown as not null."""
PARTS = {"time": 0, "in": 1, "out": 2, "anomaly": 3, "metadata": 4, "error": 5}


def answer_of(data: Any, reply: Reply, *, separator: str | None = ".", is_sorted: bool = False) -> Any:
    """An answer in the form of the request: a DataFrame with the same index for a DataFrame, a Table for a Table, records
    for records.

    Args:
        data: the rows that were sent.
        reply: the gateway's.
        separator: between a part and a column.
        is_sorted: sort the columns of each part by code point; else `in.*` come in the order in which they were sent.
    """
    if is_table(data):
        return rename(answered_table(read_table(reply), is_sorted=is_sorted), separator)
    records = read_records(reply)
    return frame_of(records, data.index, separator=separator, is_sorted=is_sorted) if is_frame(data) else records


def read_table(reply: Reply) -> "pa.Table":
    """The table of an answer.

    Raises:
        Internal: it is not one.
    """
    import pyarrow as pa

    try:
        return pa.ipc.open_file(pa.py_buffer(reply.content)).read_all()
    except pa.ArrowException as error:
        raise Internal("the gateway's answer is not an Arrow file", why=str(error)) from error


def read_records(reply: Reply) -> list[dict[str, Any]]:
    """The records of an answer.

    Raises:
        Internal: it is not JSON.
    """
    try:
        records: list[dict[str, Any]] = json.loads(reply.content)
    except ValueError as error:
        raise Internal("the gateway's answer is not JSON", why=str(error)) from error
    return records


def frame_of(
    records: list[dict[str, Any]],
    index: Any,
    *,
    separator: str | None,
    is_sorted: bool,
    columns: Sequence[str] = (),
) -> Any:
    """Records as a DataFrame.

    Args:
        records: of the answer.
        index: of the rows that were sent; it is kept if there are as many records.
        separator: between a part and a column.
        is_sorted: see `answer_of`.
        columns: that there are if there are no records.
    """
    import pandas as pd

    frame = pd.DataFrame.from_records(records) if records else pd.DataFrame(columns=list(columns))
    if len(frame) == len(index):
        frame.index = index
    if "time" in frame:
        frame["time"] = pd.to_datetime(frame["time"], unit="ms").astype("datetime64[ms]")
    if any("error.message" in record for record in records[:1]):
        for name in frame.columns:
            if name.startswith("out."):
                frame[name] = _with_nulls([record[name] for record in records], frame[name])
    frame = frame[order_columns(frame.columns, is_sorted=is_sorted)]
    if separator and separator != ".":
        frame.columns = [name.replace(".", separator, 1) for name in frame.columns]
    return frame


def _with_nulls(values: list[Any], column: Any) -> Any:
    """The column; integers beside nulls keep all of their digits, which pandas would round."""
    import pandas as pd

    if column.dtype.kind != "f" or any(type(value) is not int for value in values if value is not None):
        return column
    try:
        return pd.Series(values, index=column.index, dtype="Int64")
    except (TypeError, ValueError, OverflowError):
        return pd.Series(values, index=column.index, dtype=object)


def answered_table(table: "pa.Table", *, is_sorted: bool) -> "pa.Table":
    """In the reference's form: no metadata; `time` is nullable, `out.*` is not, and `in.*` is where the first model is an ONNX file.

    A column with nulls is always nullable.
    """
    import pyarrow as pa

    nullable_parts = {"time", "error"} if INPUTS_NOT_NULL in (table.schema.metadata or {}) else {"time", "in", "error"}
    columns, fields = [], []
    for name in order_columns(table.column_names, is_sorted=is_sorted):
        column = table[name].cast(pa.timestamp("ms")) if name == "time" else table[name]
        nullable = name.partition(".")[0] in nullable_parts or column.null_count > 0
        columns.append(column)
        fields.append(pa.field(name, column.type, nullable=nullable))
    return pa.table(columns, schema=pa.schema(fields))


def rename(table: "pa.Table", separator: str | None) -> "pa.Table":
    """The columns with another separator between part and name."""
    if not separator or separator == ".":
        return table
    return table.rename_columns([name.replace(".", separator, 1) for name in table.column_names])


def order_columns(names: Any, *, is_sorted: bool) -> list[str]:
    """`time`, `in.*`, `out.*`, `anomaly.count`, the other anomalies, metadata, and all others: each part in its order, or
    sorted by code point.
    """

    def place(name: str) -> tuple[int, bool, str]:
        part = name.partition(".")[0]
        return PARTS.get(part, len(PARTS)), name != "anomaly.count", name if is_sorted else ""

    return sorted(names, key=place)


def to_frame(table: "pa.Table") -> Any:
    """A table as a DataFrame: lists are lists, times have milliseconds.

    Raises:
        Unsupported: pandas is not installed.
    """
    import pyarrow as pa

    from trivet.domain.short_floats import with_short_floats

    pd = pandas()
    table = with_short_floats(table)
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "time"}
    frame = pd.DataFrame(columns, index=range(table.num_rows))
    if "time" in table.column_names:
        times = table["time"].cast(pa.int64()).to_numpy()
        frame.insert(0, "time", pd.to_datetime(times, unit="ms").astype("datetime64[ms]"))
    return frame


def as_answered(table: "pa.Table") -> "pa.Table":
    """Fixed-size lists as lists, and nullable fields, as in answers."""
    import pyarrow as pa

    columns, fields = [], []
    for name in table.column_names:
        kind = _variable(table[name].type, "item" if name.startswith("in.") else "inner")
        nullable = name.partition(".")[0] in {"time", "in"} or table[name].null_count > 0
        columns.append(table[name].cast(kind))
        fields.append(pa.field(name, kind, nullable=nullable))
    return pa.table(columns, schema=pa.schema(fields))


def _variable(kind: "pa.DataType", item: str) -> "pa.DataType":
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field(item, _variable(kind.value_type, item), nullable=item == "item"))
    return kind
