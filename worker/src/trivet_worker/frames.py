"""Frames and lists of model code: what a model returns as columns by name, and a DataFrame or Arrow table for a step that asks.

pandas is looked at only if model code has imported it.
"""

import inspect
import typing
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import numpy as np
import pyarrow as pa

__all__ = ["columns_of", "frame_maker"]

# As an author writes them where the names are only imported for a type checker.
_ARROW_NAMES = ("pa.Table", "pyarrow.Table")


def columns_of(output: Any, names: Sequence[str]) -> "Optional[Mapping[Any, Any]]":
    """An answer as columns by name; None if it has no such form.

    A DataFrame or an Arrow table has the names of its columns, and so has a list of dictionaries with exactly the names of the
    schema. A Series, an array or a list is the column of a schema with one field.
    """
    if isinstance(output, dict):
        return output
    if isinstance(output, (pa.Table, pa.RecordBatch)):
        return dict(zip(output.schema.names, output.columns))
    if _is_pandas(type(output), "DataFrame"):
        return {name: output[name] for name in output.columns}
    if isinstance(output, list) and output and all(isinstance(row, dict) and set(row) == set(names) for row in output):
        return {name: [row[name] for row in output] for name in names}
    is_column = isinstance(output, (list, np.ndarray, pa.Array, pa.ChunkedArray)) or _is_pandas(type(output), "Series")
    return {names[0]: output} if is_column and len(names) == 1 else None


def frame_maker(function: Callable[..., Any]) -> "Optional[Callable[[Dict[str, Any]], Any]]":
    """What makes a function's argument of arrays by name, if its annotation asks for a DataFrame or an Arrow table; else None."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()))
    except (ValueError, TypeError, StopIteration):
        return None
    try:
        annotation = typing.get_type_hints(function).get(first.name)
    except Exception:  # a name that only a type checker knows
        annotation = first.annotation
    if annotation is pa.Table or annotation in _ARROW_NAMES:
        return _table
    if not isinstance(annotation, type) or not _is_pandas(annotation, "DataFrame"):
        return None
    frame: Any = annotation

    def make(columns: Dict[str, Any]) -> Any:
        # A cell holds one row, so a tensor is a cell of arrays.
        return frame({name: column if column.ndim == 1 else list(column) for name, column in columns.items()})

    return make


def _table(columns: Dict[str, Any]) -> pa.Table:
    return pa.table({name: _arrow_column(column) for name, column in columns.items()})


def _arrow_column(column: Any) -> Any:
    """An array as Arrow: of a tensor, each row is a list."""
    values = pa.array(column.reshape(-1))
    rows = column.size
    for size in reversed(column.shape[1:]):
        rows = rows // size if size else len(column)
        values = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * size, pa.int32()), values)
    return values


def _is_pandas(kind: type, name: str) -> bool:
    return any(each.__name__ == name and each.__module__.partition(".")[0] == "pandas" for each in kind.__mro__)
