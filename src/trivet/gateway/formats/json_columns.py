"""Turns decoded JSON values of one field into a column, if they have the schema's plain form."""

from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from trivet.engine.batch import Column
from trivet_worker.tensors import fixed_shape, numpy_dtype

__all__ = ["ColumnBuilder", "json_type", "list_of"]


def json_type(kind: pa.DataType) -> Any:
    """The msgspec type for a JSON value of an Arrow type, with its range, so that no cast can overflow."""
    if pa.types.is_boolean(kind):
        return bool
    if pa.types.is_integer(kind):
        info = np.iinfo(numpy_dtype(kind))
        if kind.bit_width == 64:
            # Beyond what msgspec can compare; numpy refuses what does not fit.
            return int
        return Annotated[int, msgspec.Meta(ge=int(info.min), le=int(info.max))]
    if pa.types.is_floating(kind):
        largest = float(np.finfo(numpy_dtype(kind)).max)
        return float if kind.bit_width == 64 else Annotated[float, msgspec.Meta(ge=-largest, le=largest)]
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return list_of(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return str
    # Structs, dates, decimals, bytes: read by the lenient decoder.
    return msgspec.Raw


def list_of(kind: pa.DataType) -> Any:
    """The type of a list of values of an Arrow type."""
    return GenericAlias(list, (json_type(kind),))


class ColumnBuilder:
    """Makes columns of one field from values that msgspec decoded as `json_type(field.type)`, none of them null."""

    __slots__ = ("_dtype", "_kind", "_readable", "_shape")

    def __init__(self, field: pa.Field) -> None:
        self._kind = field.type
        dtype = numpy_dtype(field.type)
        self._dtype = dtype if dtype is not None and dtype.kind in "biuf" else None
        self._shape = fixed_shape(field.type)
        self._readable = _is_readable(field.type)

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers or booleans of one shape."""
        return self._dtype is not None and self._shape is not None

    def build(self, values: list[Any]) -> Column | None:
        """The column, or None if the lenient decoder has to read it: a wrong width, a type without a plain JSON form."""
        if self._shape is None or self._dtype is None:
            return self._arrow_column(values)
        try:
            column = np.array(values, dtype=self._dtype)
        except (ValueError, OverflowError):
            return None
        return column if column.shape[1:] == self._shape else None

    def _arrow_column(self, values: list[Any]) -> pa.Array | None:
        if not self._readable:
            return None
        try:
            return pa.array(values, type=self._kind)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            return None


def _is_readable(kind: pa.DataType) -> bool:
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return json_type(kind) is not msgspec.Raw
