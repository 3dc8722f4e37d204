"""Takes rows in the forms that notebooks have, and returns the answer in the same one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trivet.errors import Invalid
from trivet.sdk import frames

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Given", "given_rows", "is_array", "split_rows"]


@dataclass(frozen=True, slots=True)
class Given:
    """Rows to send.

    Attributes:
        rows: a pandas DataFrame, an Arrow table or a list of records.
        answer: turns the answer to them into the form of what was given.
    """

    rows: Any
    answer: Callable[[Any], Any]


def given_rows(data: Any, *, single: str | None = None, by_row: bool = False) -> Given:
    """The rows of a DataFrame, a Series, an array, a Table or records.

    Args:
        data: what was given.
        single: the name of the model's only input, for an array.
        by_row: whether rows that fail have errors of their own.

    Raises:
        Invalid: it may be read in two ways.
    """
    kind = _kind(data)
    if kind == ("pandas", "Series"):
        return Given(_of_series(data), _same)
    if kind == ("polars", "Series"):
        if not data.name:
            raise Invalid("a Series without a name", fix="name it as the model's input: series.alias('tensor')")
        return Given(_records(data.to_frame(), by_row=by_row), _polars)
    if kind == ("polars", "DataFrame"):
        return Given(_records(data, by_row=by_row), _polars)
    if kind == ("polars", "LazyFrame"):
        raise Invalid("a LazyFrame holds no rows yet", fix="give frame.collect()")
    if is_array(data):
        return Given(_of_array(data, single), _same)
    return Given(data, _same)


def is_array(data: Any) -> bool:
    """Whether it is a numpy array, without importing numpy."""
    return any(kind.__module__ == "numpy" and kind.__name__ == "ndarray" for kind in type(data).__mro__)


def _kind(data: Any) -> tuple[str, str] | None:
    """Its library and class, without an import of the library. Subclasses count, as geopandas' frames do."""
    for kind in type(data).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in {"pandas", "polars"} and kind.__name__ in {"DataFrame", "LazyFrame", "Series"}:
            return library, kind.__name__
    return None


def _same(answer: Any) -> Any:
    return answer


def _of_series(series: Any) -> Any:
    """A column has a name, and rows have labels of another kind; a row's labels are names."""
    has_name = isinstance(series.name, str) and series.name != ""
    has_labels = len(series) > 0 and all(isinstance(label, str) for label in series.index)
    if has_name and not has_labels:
        return series.to_frame()
    if has_labels and not has_name:
        return series.to_frame().T.infer_objects()
    raise Invalid(
        f"the Series {series.name!r} may be a column or a row" if has_name else "the Series has no name",
        fix="give series.to_frame('tensor') for a column named tensor, or series.to_frame().T for a row",
    )


def _of_array(array: "np.ndarray", single: str | None) -> Any:
    if array.ndim == 0:
        raise Invalid("an array without dimensions holds no rows", fix="its first dimension counts the rows")
    if array.dtype.names is not None:
        return frames.pandas().DataFrame({name: list(array[name]) for name in array.dtype.names})
    if single is None:
        raise Invalid(
            "an array has no names of columns",
            why="the pipeline does not have one single input",
            fix="give a DataFrame, or records: [{'tensor': row} for row in array]",
        )
    return frames.pandas().DataFrame({single: array if array.ndim == 1 else list(array)})


def _records(frame: Any, *, by_row: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.to_dicts()
    for column in frame.get_columns():
        if column.dtype.is_float() and column.is_infinite().any():
            values = frames.finite(column.to_list(), column.name, by_row=by_row)
            for row, value in zip(rows, values, strict=True):
                row[column.name] = value
    return rows


def _polars(records: list[dict[str, Any]]) -> Any:
    import polars as pl

    frame = pl.DataFrame(records, infer_schema_length=None)
    return frame.with_columns(pl.col("time").cast(pl.Datetime("ms"))) if "time" in frame.columns else frame


def split_rows(data: Any) -> list[Any]:
    """Each row of a DataFrame, Table or Series as its own frame."""
    if frames.is_table(data):
        return [data.slice(index, 1) for index in range(data.num_rows)]
    kind = _kind(data)
    if kind == ("polars", "DataFrame"):
        return [data.slice(index, 1) for index in range(data.height)]
    if kind == ("pandas", "DataFrame"):
        return [data.iloc[index : index + 1] for index in range(len(data))]
    raise Invalid(
        f"{type(data).__name__} cannot be split into rows", fix="give a DataFrame, a pyarrow Table, or a list of them"
    )
