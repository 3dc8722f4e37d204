"""`OutputMismatch`: a value is not what the schema says, in words."""

from typing import Any, NamedTuple, Optional

import numpy as np
import pyarrow as pa

from trivet_worker.tensors.types import describe
from trivet_worker.tensors.views import object_array

__all__ = ["OutputMismatch", "Place", "kind_of"]


class OutputMismatch(Exception):
    """A value is not what the schema's field says.

    Attributes:
        path: the field, with the member of a struct where it is inside one: ``answer.text``.
        expected: what the schema says, in words.
        got: what was there, in words.
    """

    def __init__(self, path: str, *, expected: str, got: str) -> None:
        super().__init__(f"field {path!r}: expected {expected}, got {got}")
        self.path = path
        self.expected = expected
        self.got = got


class Place(NamedTuple):
    """A column that is being encoded; put into words only if something is wrong with it."""

    path: str
    data_type: pa.DataType
    rows: Optional[int]
    values: Any

    def mismatch(self, got: Optional[str] = None, *, note: str = "") -> OutputMismatch:
        """The error that says what was expected and what was there instead: `got`, or a description of the values."""
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
    """One value, in a word or a few."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return type(value).__name__
