"""Arrow to numpy and back: the arrays that model code gets, and the columns of its answer.

A fixed-size list of numbers is a rectangular ndarray ``[rows, ...]`` over Arrow's own memory. A type without a fixed shape
(strings, lists of any length, structs) is an object array with one entry a row. The shape never depends on the values, so
joining the rows of several requests changes nothing for a model.
"""

from trivet_worker.tensors.columns import to_arrow
from trivet_worker.tensors.mismatch import OutputMismatch
from trivet_worker.tensors.types import describe, element_type, fixed_shape, numpy_dtype
from trivet_worker.tensors.views import to_numpy

__all__ = ["OutputMismatch", "describe", "element_type", "fixed_shape", "numpy_dtype", "to_arrow", "to_numpy"]
