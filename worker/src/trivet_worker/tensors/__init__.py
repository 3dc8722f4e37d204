"""Arrow to numpy and back: the arrays that model code gets, and the columns of its answer.

A list of numbers is a rectangular ndarray ``[rows, ...]``: of fixed size over Arrow's own memory, of any length where all rows
have one shape. Otherwise (ragged lists, strings, structs) it is an object array. The form of the lists and the nulls of a column
depends on the values, so only columns of one form (`form_of`) may be joined without a change for the model.
"""

from trivet_worker.tensors.columns import to_arrow
from trivet_worker.tensors.mismatch import OutputMismatch
from trivet_worker.tensors.types import describe, element_type, fixed_shape, numpy_dtype
from trivet_worker.tensors.views import form_of, to_numpy

__all__ = [
    "OutputMismatch",
    "describe",
    "element_type",
    "fixed_shape",
    "form_of",
    "numpy_dtype",
    "to_arrow",
    "to_numpy",
]
