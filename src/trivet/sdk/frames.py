"""Turns DataFrames, Arrow tables and records into requests. Imports pandas only when needed."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from trivet.domain.json_forms import json_form
from trivet.errors import Invalid, NotFound, Unsupported
from trivet.sdk.calls import Call

__all__ = ["ARROW", "RECORDS", "finite", "is_frame", "is_table", "load_rows", "names_of", "pandas", "request_of"]

ARROW = "application/vnd.apache.arrow.file"
RECORDS = "application/json; format=pandas-records"
USUAL = ("time", "in", "out", "anomaly")
Rows = Any
"""A pandas DataFrame, an Arrow table, or a list of records."""


def is_frame(data: Any) -> bool:
    """Whether it is a pandas DataFrame, without importing pandas."""
    return any(
        kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas" for kind in type(data).__mro__
    )


def is_table(data: Any) -> bool:
    """Whether it is Arrow, without importing pyarrow."""
    return any(
        kind.__module__ == "pyarrow.lib" and kind.__name__ in {"Table", "RecordBatch"} for kind in type(data).__mro__
    )


def request_of(
    data: Rows,
    *,
    url: str,
    timeout_s: float,
    dataset: Sequence[str] | str | None,
    dataset_exclude: Sequence[str] | str | None,
    by_row: bool = False,
) -> Call:
    """The request for some rows.

    Args:
        data: the rows.
        url: of the pipeline.
        timeout_s: that the answer may take.
        dataset: parts or columns.
        dataset_exclude: parts or columns to leave out.
        by_row: whether rows that fail have errors of their own.

    Raises:
        Invalid: their type is not supported.
    """
    if is_frame(data):
        content, kind = _json_of(data, by_row=by_row), RECORDS
    elif is_table(data):
        import pyarrow as pa

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
        "on_error": "null" if by_row else None,
    }
    return Call(
        method="POST",
        path=url,
        query=query,
        content=content,
        headers={"Content-Type": kind, "Accept": kind},
        timeout_s=timeout_s,
    )


def _json_of(frame: Any, *, by_row: bool) -> bytes:
    """As `DataFrame.to_json` writes them, but with all digits of numbers, and without turning infinities into nulls."""
    if not frame.columns.is_unique:
        raise Invalid("the DataFrame has two columns of one name", fix="give each column its own name")
    names = [str(name) for name in frame.columns]
    columns = [_values_of(frame.iloc[:, index], name, by_row=by_row) for index, name in enumerate(names)]
    return _records([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


def _values_of(column: Any, name: str, *, by_row: bool) -> list[Any]:
    """A column's values for JSON; missing ones are None."""
    kind = column.dtype.kind if hasattr(column.dtype, "kind") else "O"
    if kind == "f":
        values = column.to_numpy(dtype="float64", na_value=float("nan"))
        found: list[Any] = finite(values.tolist(), name, by_row=by_row)
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


def finite(values: list[Any], name: str, *, by_row: bool) -> list[Any]:
    """A column's numbers, if JSON can hold them. Where rows may fail one by one, an infinite one is a text, which is refused.

    Raises:
        Invalid: one is infinite; the path has its row.
    """
    rows = [row for row, value in enumerate(values) if value in (float("inf"), float("-inf"))]
    if not rows:
        return values
    if by_row:
        return [str(value) if value in (float("inf"), float("-inf")) else value for value in values]
    raise Invalid(
        f"column {name!r} has an infinite value",
        why="JSON cannot hold it",
        fix="send a pyarrow Table, or replace it",
        path=f"[{rows[0]}].{name}",
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
    if hasattr(value, "tolist"):
        # NumPy's scalars, such as float16, and arrays that are not contiguous.
        return value.tolist()
    return json_form(value)


def names_of(names: Sequence[str] | str | None) -> list[str]:
    """One name, or several, as a list."""
    return [names] if isinstance(names, str) else list(names or ())


def load_rows(path: str | Path) -> Rows:
    """A file's rows: a DataFrame from a `.json` file (a list of records, or an object of columns), a Table from an `.arrow` one.

    Raises:
        NotFound: the file does not exist.
        Invalid: it does not hold rows.
        Unsupported: it has another suffix.
    """
    import pyarrow as pa

    from trivet.domain.example_rows import read_arrow_file

    path = Path(path)
    try:
        if path.suffix == ".arrow":
            return read_arrow_file(path)
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
