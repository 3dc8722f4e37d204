"""Turns DataFrames and Arrow tables into requests, and answers into the same form. Imports pandas only when needed."""

import base64
import contextlib
import json
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from trivet.domain.short_floats import with_short_floats
from trivet.errors import Internal, Invalid, NotFound, Unsupported
from trivet.sdk.calls import Call, Reply

__all__ = [
    "ARROW",
    "RECORDS",
    "answer_of",
    "as_answered",
    "infinite",
    "load_rows",
    "names_of",
    "order_columns",
    "pandas",
    "rename",
    "request_of",
    "to_frame",
]

ARROW = "application/vnd.apache.arrow.file"
RECORDS = "application/json; format=pandas-records"
USUAL = ("time", "in", "out", "anomaly")
PARTS = {"time": 0, "in": 1, "out": 2, "anomaly": 3, "metadata": 4}
Rows = Any
"""A pandas DataFrame, an Arrow table, or a list of records."""


def is_frame(data: Any) -> bool:
    """Whether it is a pandas DataFrame, without importing pandas."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas" for kind in type(data).__mro__
    )


def request_of(
    data: Rows,
    *,
    url: str,
    timeout_s: float,
    dataset: Sequence[str] | str | None,
    dataset_exclude: Sequence[str] | str | None,
    headers: dict[str, str] | None = None,
) -> Call:
    """The request for some rows.

    Raises:
        Invalid: their type is not supported.
    """
    if is_frame(data):
        content, kind = _json_of(data), RECORDS
    elif isinstance(data, pa.Table | pa.RecordBatch):
        table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data.combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        content, kind = sink.getvalue().to_pybytes(), ARROW
    elif isinstance(data, list) or (isinstance(data, dict) and data):
        content, kind = _records([data] if isinstance(data, dict) else data), RECORDS
    else:
        raise Invalid(
            f"{type(data).__name__} cannot be sent as rows",
            fix="give a DataFrame of pandas or polars, a pyarrow Table, or a list of records",
        )
    query = {
        "dataset[]": ",".join(names_of(dataset) or USUAL),
        "dataset.exclude[]": ",".join(names_of(dataset_exclude)) or None,
        "dataset.flatten": "true",
    }
    return Call(
        method="POST",
        path=url,
        query=query,
        content=content,
        headers={"Content-Type": kind, "Accept": kind, **(headers or {})},
        timeout_s=timeout_s,
    )


def _json_of(frame: Any) -> bytes:
    """As `DataFrame.to_json` writes them, but with all digits of numbers, and without turning infinities into nulls."""
    if not frame.columns.is_unique:
        raise Invalid("the DataFrame has two columns of one name", fix="give each column its own name")
    names = [str(name) for name in frame.columns]
    columns = [_values_of(frame.iloc[:, index], name) for index, name in enumerate(names)]
    return _records([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


def _values_of(column: Any, name: str) -> list[Any]:
    """A column's values for JSON; missing ones are None."""
    kind = column.dtype.kind if hasattr(column.dtype, "kind") else "O"
    if kind == "f":
        values = column.to_numpy(dtype="float64", na_value=float("nan"))
        if (abs(values) == float("inf")).any():
            raise infinite(name)
        found: list[Any] = values.tolist()
    elif kind == "m":
        found = column.dt.total_seconds().astype(object).where(column.notna(), None).tolist()
    elif kind == "M":
        # As pandas writes them, but with all digits.
        finer = ((column.dt.microsecond % 1000 != 0) | (column.dt.nanosecond != 0))[column.notna()].any()
        one = column.reset_index(drop=True).to_frame("")
        text = one.to_json(orient="values", date_format="iso", date_unit="ns" if finer else "ms")
        found = [value for (value,) in json.loads(text)]
    else:
        found = column.astype(object).where(column.notna(), None).tolist()
    return found


def infinite(name: str) -> Invalid:
    """The refusal of a column with an infinite value."""
    return Invalid(
        f"column {name!r} has an infinite value",
        why="JSON cannot hold it",
        fix="send a pyarrow Table, or replace it",
        path=name,
    )


def _records(rows: list[Any]) -> bytes:
    """Rows as JSON; NaN becomes null."""
    try:
        return _dumped(rows)
    except orjson.JSONEncodeError as error:
        if "64-bit" in str(error):
            # Rare, so that only then all values are looked at.
            with contextlib.suppress(orjson.JSONEncodeError):
                return _dumped(_with_large_integers(rows))
        raise Invalid(
            "the rows cannot be sent as JSON", why=str(error), fix="give plain numbers, texts and lists, or a Table"
        ) from error


def _dumped(rows: Any) -> bytes:
    return orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS, default=_plain)


def _with_large_integers(value: Any) -> Any:
    """The same value, with the digits of integers that orjson does not take."""
    if type(value) is int:
        return value if -(2**63) <= value < 2**64 else orjson.Fragment(str(value))
    if isinstance(value, dict):
        return {key: _with_large_integers(each) for key, each in value.items()}
    return [_with_large_integers(each) for each in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """A JSON form for values that JSON does not know."""
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "tolist"):
        # NumPy's scalars, such as float16, and arrays that are not contiguous.
        return value.tolist()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def names_of(names: Sequence[str] | str | None) -> list[str]:
    """One name, or several, as a list."""
    return [names] if isinstance(names, str) else list(names or ())


def answer_of(data: Rows, reply: Reply, *, separator: str | None = ".", is_sorted: bool = False) -> Rows:
    """An answer in the form of the request: a DataFrame with the same index for a DataFrame, a Table for a Table, records
    for records.

    Args:
        data: the rows that were sent.
        reply: the gateway's.
        separator: between a part and a column.
        is_sorted: sort the columns of each part by code point; else `in.*` come in the order in which they were sent.
    """
    if isinstance(data, pa.Table | pa.RecordBatch):
        try:
            table = pa.ipc.open_file(pa.py_buffer(reply.content)).read_all()
        except pa.ArrowException as error:
            raise Internal("the gateway's answer is not an Arrow file", why=str(error)) from error
        return rename(_table(table, is_sorted=is_sorted), separator)
    try:
        records = json.loads(reply.content)
    except ValueError as error:
        raise Internal("the gateway's answer is not JSON", why=str(error)) from error
    if not is_frame(data):
        return records
    import pandas as pd

    frame = pd.DataFrame.from_records(records)
    if len(frame) == len(data):
        frame.index = data.index
    if "time" in frame:
        frame["time"] = pd.to_datetime(frame["time"], unit="ms").astype("datetime64[ms]")
    frame = frame[order_columns(frame.columns, is_sorted=is_sorted)]
    if separator and separator != ".":
        frame.columns = [name.replace(".", separator, 1) for name in frame.columns]
    return frame


def _table(table: pa.Table, *, is_sorted: bool) -> pa.Table:
    """In the reference's form: no metadata; `time` and `in.*` are nullable, `out.*` is not."""
    columns, fields = [], []
    for name in order_columns(table.column_names, is_sorted=is_sorted):
        column = table[name].cast(pa.timestamp("ms")) if name == "time" else table[name]
        nullable = name.partition(".")[0] in {"time", "in"} or column.null_count > 0
        columns.append(column)
        fields.append(pa.field(name, column.type, nullable=nullable))
    return pa.table(columns, schema=pa.schema(fields))


def rename(table: pa.Table, separator: str | None) -> pa.Table:
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


def load_rows(path: str | Path) -> Rows:
    """A file's rows: a DataFrame from a `.json` file (a list of records, or an object of columns), a Table from an `.arrow` one.

    Raises:
        NotFound: the file does not exist.
        Invalid: it does not hold rows.
        Unsupported: it has another suffix.
    """
    path = Path(path)
    try:
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                try:
                    return pa.ipc.open_file(source).read_all()
                except pa.ArrowInvalid:
                    source.seek(0)
                    return pa.ipc.open_stream(source).read_all()
        if path.suffix == ".json":
            # A file of columns names its rows "0", "1" and so on.
            return pandas().DataFrame(json.loads(path.read_text())).reset_index(drop=True)
    except FileNotFoundError:
        raise NotFound(f"file not found: {path}", fix="check the path") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read", why=error.strerror, fix="check its permissions") from error
    except (ValueError, pa.ArrowException) as error:
        raise Invalid(
            f"{path} holds no rows", why=str(error), fix="give a list of records, or an Arrow file"
        ) from error
    raise Unsupported(f"{path.name} is neither .json nor .arrow", fix="read it in your program, and call infer")


def to_frame(table: pa.Table) -> Any:
    """A table as a DataFrame: lists are lists, times have milliseconds.

    Raises:
        Unsupported: pandas is not installed.
    """
    pd = pandas()
    table = with_short_floats(table)
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "time"}
    frame = pd.DataFrame(columns, index=range(table.num_rows))
    if "time" in table.column_names:
        times = table["time"].cast(pa.int64()).to_numpy()
        frame.insert(0, "time", pd.to_datetime(times, unit="ms").astype("datetime64[ms]"))
    return frame


def as_answered(table: pa.Table) -> pa.Table:
    """Fixed-size lists as lists, and nullable fields, as in answers."""
    columns, fields = [], []
    for name in table.column_names:
        kind = _variable(table[name].type, "item" if name.startswith("in.") else "inner")
        nullable = name.partition(".")[0] in {"time", "in"} or table[name].null_count > 0
        columns.append(table[name].cast(kind))
        fields.append(pa.field(name, kind, nullable=nullable))
    return pa.table(columns, schema=pa.schema(fields))


def _variable(kind: pa.DataType, item: str) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field(item, _variable(kind.value_type, item), nullable=item == "item"))
    return kind


def pandas() -> Any:
    """The module.

    Raises:
        Unsupported: it is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise Unsupported("pandas is not installed", fix="pip install pandas, or send Arrow tables") from None
    return pd
