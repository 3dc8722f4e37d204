"""Arrow to numpy and back: what model code sees of a column, and how its answer becomes a column again.

The view is rectangular where the type says so: a fixed-size list of numbers is an ndarray ``[rows, ...]`` over Arrow's own
memory. Whatever has no fixed shape (strings, lists of any length, structs) is an object array with one entry a row. The
shape never depends on the values, so joining the rows of several requests changes nothing for a model.
"""

from trivet_worker.tensors.columns import to_arrow
from trivet_worker.tensors.mismatch import OutputMismatch
from trivet_worker.tensors.types import describe, element_type, fixed_shape, numpy_dtype
from trivet_worker.tensors.views import to_numpy

__all__ = ["OutputMismatch", "describe", "element_type", "fixed_shape", "numpy_dtype", "to_arrow", "to_numpy"]
