"""`OutputMismatch`: a value does not match the schema, with a description of both."""

from typing import Any, NamedTuple, Optional

import numpy as np
import pyarrow as pa

from trivet_worker.tensors.types import describe
from trivet_worker.tensors.views import object_array

__all__ = ["OutputMismatch", "Place", "kind_of"]


class OutputMismatch(Exception):
    """A value does not match the schema's field.

    Attributes:
        path: the field, with the member of a struct where it is inside one: ``answer.text``.
        expected: a description of the field.
        got: a description of the value.
    """

    def __init__(self, path: str, *, expected: str, got: str) -> None:
        super().__init__(f"field {path!r}: expected {expected}, got {got}")
        self.path = path
        self.expected = expected
        self.got = got


class Place(NamedTuple):
    """A column that is being encoded; it is described only in errors."""

    path: str
    data_type: pa.DataType
    rows: Optional[int]
    values: Any

    def mismatch(self, got: Optional[str] = None, *, note: str = "") -> OutputMismatch:
        """The error with the expected type and `got`, by default a description of the values."""
        expected = _expected(self.data_type, self.rows)
        return OutputMismatch(self.path, expected=expected, got=(got or _seen(self.values)) + note)


def _expected(data_type: pa.DataType, rows: Optional[int]) -> str:
    if rows is None:
        return describe(data_type)
    return "{} row{} of {}".format(rows, "" if rows == 1 else "s", describe(data_type))


def _seen(values: Any) -> str:
    array = object_array(values) if isinstance(values, (list, tuple)) else np.asarray(values)
    shape = "({})".format(", ".join(map(str, array.shape)) + ("," if array.ndim == 1 else ""))
    if array.dtype != object:
        return f"{array.dtype} of shape {shape}"
    kinds = sorted({kind_of(item) for item in array.flat if item is not None})
    return "objects ({}) of shape {}".format(", ".join(kinds[:3]) or "all None", shape)


def kind_of(value: Any) -> str:
    """A short description of one value."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return type(value).__name__
