"""The schema that data suggest: exact types, a `?` only where nulls occur, fixed shapes where all rows have one."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trivet.domain.schema_format import format_schema
from trivet.domain.schema_rules import check_schema
from trivet.domain.schema_text import parse_schema
from trivet.errors import Invalid

__all__ = ["as_table", "schema_of_table", "table_of_columns", "table_of_records"]

KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "an object",
    bytes: "bytes",
}


def as_table(data: Any) -> pa.Table:
    """Data in memory as a table: a DataFrame of pandas or polars, a pyarrow Table or batch, a mapping of names to arrays, or a
    list of records.

    Raises:
        Invalid: it is none of these, or a column holds values of several types.
    """
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    library = type(data).__module__.partition(".")[0]
    if library == "polars" and hasattr(data, "to_arrow"):
        return as_table(data.to_frame().to_arrow() if hasattr(data, "to_frame") else data.to_arrow())
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        if not data.columns.is_unique:
            raise Invalid("the DataFrame has two columns of one name", fix="give each column its own name")
        return table_of_columns({str(name): data[name] for name in data.columns})
    if isinstance(data, Mapping):
        return table_of_columns(data)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return table_of_records(data)
    raise Invalid(
        f"{type(data).__name__} has no columns",
        fix="give a DataFrame of pandas or polars, a pyarrow Table, a dict of arrays, or a list of records",
    )


def table_of_records(rows: Sequence[Any]) -> pa.Table:
    """A table of records, as JSON holds them. A record that lacks a field has a null there.

    Raises:
        Invalid: a row is not a record, or a column holds values of several types.
    """
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise Invalid(
                f"row {index} is {KINDS.get(type(row), type(row).__name__)}, not a record",
                fix='give a list of records: [{"age": 31, "income": 52000.0}]',
                path=f"[{index}]",
            )
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return table_of_columns({name: [row.get(name) for row in rows] for name in names})


def table_of_columns(columns: Mapping[Any, Any]) -> pa.Table:
    """A table of columns by name: numpy arrays of any dimensions (the first counts the rows), Series, or lists.

    Raises:
        Invalid: a column holds values of several types, or columns have different lengths.
    """
    arrays = {str(name): _array(str(name), values) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise Invalid("the columns have different numbers of rows", why=shown, fix="give one value for each row")
    return pa.table(arrays)


def schema_of_table(table: pa.Table) -> pa.Schema:
    """The schema that a table suggests. Lists of numbers that have one length in all rows get that as their fixed size.

    Raises:
        Invalid: there are no rows, a column has no values, or its type is not supported.
    """
    if not table.num_columns:
        raise Invalid("the data have no columns", fix="give at least one column")
    if not table.num_rows:
        raise Invalid("the data have no rows", fix="give at least one row: rows show types and nulls")
    fields = [
        pa.field(name, _narrowed(name, column), nullable=_has_nulls(column))
        for name, column in zip(table.column_names, (each.combine_chunks() for each in table.columns), strict=True)
    ]
    schema = pa.schema(fields)
    check_schema(schema, which="suggested")
    return parse_schema(format_schema(schema))


def _has_nulls(column: pa.Array) -> bool:
    return bool(column.null_count > 0)


def _narrowed(name: str, column: pa.Array) -> pa.DataType:
    """A column's type in the form of schemas, with fixed sizes where all its lists of numbers have the same length."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _narrowed(name, column.storage)
    if pa.types.is_dictionary(kind):
        return _narrowed(name, column.dictionary)
    if pa.types.is_null(kind):
        raise Invalid(
            f"column {name!r} has no values",
            why="its type cannot be seen",
            fix=f"give a row with a value of {name!r}, or write the schema yourself",
            path=name,
        )
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_time(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_struct(kind):
        valid = column.drop_null()
        members = [(member.name, valid.field(index)) for index, member in enumerate(kind)]
        return pa.struct(
            pa.field(each, _narrowed(f"{name}.{each}", values), nullable=_has_nulls(values)) for each, values in members
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if column.null_count:
            raise Invalid(
                f"column {name!r} has a null in place of a list",
                why="a list itself is never null",
                fix="give an empty list, or a list of nulls",
                path=name,
            )
        item = _narrowed(name, column.flatten())
        return pa.list_(pa.field("item", item), _one_length(column) if _is_of_numbers(item) else -1)
    return kind


def _is_of_numbers(kind: pa.DataType) -> bool:
    """Whether items are numbers, or lists of numbers with a fixed size: a tensor's."""
    if pa.types.is_fixed_size_list(kind):
        return _is_of_numbers(kind.value_type)
    return any(is_one(kind) for is_one in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean))


def _one_length(column: pa.Array) -> int:
    """The length of all lists; -1 if they differ, or are empty."""
    lengths = pc.unique(pc.list_value_length(column.drop_null())).to_pylist()
    return lengths[0] if len(lengths) == 1 and lengths[0] > 0 else -1


def _array(name: str, values: Any) -> pa.Array:
    if hasattr(values, "iloc"):
        return _of_series(name, values)
    if hasattr(values, "to_arrow"):
        values = values.to_arrow()
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, np.ndarray) and values.dtype != object:
        return _of_ndarray(name, values)
    return _of_values(name, list(values))


def _of_series(name: str, series: Any) -> pa.Array:
    """A pandas Series; NaN is a missing value there."""
    if series.dtype == object:
        return _of_values(name, [None if _is_missing(value) else value for value in series])
    try:
        found = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Invalid(
            f"column {name!r} has values of several types", why=str(error), fix="give values of one type", path=name
        ) from error
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _is_missing(value: Any) -> bool:
    return (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in {"NAType", "NaTType"}


def _of_ndarray(name: str, values: np.ndarray) -> pa.Array:
    if values.ndim == 0:
        raise Invalid(f"column {name!r} is a single value", fix="give an array with one value for each row", path=name)
    try:
        found = pa.array(np.ascontiguousarray(values).reshape(-1))
    except (pa.ArrowException, TypeError) as error:
        raise Invalid(f"column {name!r} has the dtype {values.dtype}", why=str(error), path=name) from error
    for size in reversed(values.shape[1:]):
        found = pa.FixedSizeListArray.from_arrays(found, size)
    return found


def _of_values(name: str, values: list[Any]) -> pa.Array:
    """Python values of one type; cells that are arrays keep their dtypes."""
    cells = [value for value in values if isinstance(value, np.ndarray)]
    if cells:
        return _of_arrays(name, values, cells)
    try:
        return pa.array(values)
    except OverflowError:
        return _of_large_integers(name, values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _mixed(name, values, str(error)) from error


def _of_arrays(name: str, values: list[Any], cells: list[np.ndarray]) -> pa.Array:
    dtypes = {cell.dtype for cell in cells}
    depths = {cell.ndim for cell in cells}
    if len(dtypes) > 1 or len(depths) > 1 or dtypes == {np.dtype(object)}:
        shown = ", ".join(sorted({f"{cell.dtype} with {cell.ndim} dimensions" for cell in cells}))
        raise Invalid(
            f"column {name!r} has arrays of several types", why=shown, fix="give arrays of one dtype", path=name
        )
    kind = pa.from_numpy_dtype(dtypes.pop())
    for _ in range(depths.pop()):
        kind = pa.list_(kind)
    try:
        return pa.array([value.tolist() if isinstance(value, np.ndarray) else value for value in values], kind)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _mixed(name, values, str(error)) from error


def _of_large_integers(name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.uint64())
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise Invalid(
            f"column {name!r} has integers of more than 64 bits", fix="send them as text: 'string'", path=name
        ) from error


def _mixed(name: str, values: list[Any], why: str) -> Invalid:
    """The refusal of a column, with the first two values that do not go together."""
    first: tuple[int, Any] | None = None
    for index, value in enumerate(values):
        if value is None:
            continue
        if first is None:
            first = index, value
        elif _kind_of(value) != _kind_of(first[1]):
            what = [f"row {at} has {_kind_of(each)} ({str(each)[:40]})" for at, each in (first, (index, value))]
            return Invalid(
                f"column {name!r} has values of several types",
                why=" and ".join(what),
                fix="give values of one type, with null where there is none",
                path=f"[{index}].{name}",
            )
    return Invalid(f"column {name!r} has values of several types", why=why, fix="give values of one type", path=name)


def _kind_of(value: Any) -> str:
    return KINDS.get(type(value), type(value).__name__)
