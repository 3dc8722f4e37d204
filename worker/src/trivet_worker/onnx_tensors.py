"""Inputs and outputs of an ONNX session, as rows hold them."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import pyarrow as pa

__all__ = ["ABSENT", "ELEMENT_TYPES", "Tensor", "dimensions", "input_tensor", "optional_nodes", "optional_tensor"]

Array = Any
"""A numpy array; numpy's own annotations differ between the releases that a worker may have."""

ELEMENT_TYPES: Dict[str, Tuple[pa.DataType, Any]] = {
    "tensor(float)": (pa.float32(), np.float32),
    "tensor(double)": (pa.float64(), np.float64),
    "tensor(float16)": (pa.float16(), np.float16),
    "tensor(int8)": (pa.int8(), np.int8),
    "tensor(int16)": (pa.int16(), np.int16),
    "tensor(int32)": (pa.int32(), np.int32),
    "tensor(int64)": (pa.int64(), np.int64),
    "tensor(uint8)": (pa.uint8(), np.uint8),
    "tensor(uint16)": (pa.uint16(), np.uint16),
    "tensor(uint32)": (pa.uint32(), np.uint32),
    "tensor(uint64)": (pa.uint64(), np.uint64),
    "tensor(bool)": (pa.bool_(), np.bool_),
    "tensor(string)": (pa.string(), np.object_),
}
"""Every tensor type that ONNX Runtime feeds and fetches through numpy on a CPU."""

ABSENT = "absent"


class Tensor(NamedTuple):
    """One input or output of the model.

    Attributes:
        name: the model's own name for it.
        column: the name that rows use.
        element: the Arrow type of one element.
        dtype: the numpy type of one element.
        shape: of one row; None is a free dimension.
        rows: the first dimension: None is free, a number is fixed, `ABSENT` means one row fills the whole tensor.
        optional: whether the model has a default, which it uses for rows without a value.
    """

    name: str
    column: str
    element: pa.DataType
    dtype: Any
    shape: Tuple[Optional[int], ...]
    rows: Union[None, int, str]
    optional: bool = False

    @property
    def field(self) -> pa.Field:
        """The column's field: null only where the input is optional, since tensors hold no nulls."""
        kind = self.element
        for size in reversed(self.shape):
            kind = pa.list_(kind) if size is None else pa.list_(kind, size)
        return pa.field(self.column, kind, nullable=self.optional)

    def zeros(self, rows: int, free: int) -> Array:
        """A canned value for `rows` rows with `free` entries in each free dimension."""
        shape = tuple(free if size is None else size for size in self.shape)
        return np.full((rows, *shape), "" if self.dtype is np.object_ else 0, dtype=self.dtype)


def dimensions(node: Any) -> Tuple[Optional[int], ...]:
    """The shape of an input or output of a session; None is a free dimension."""
    return tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape or ())


def input_tensor(node: Any, *, column: str, single: bool) -> Tensor:
    """An input of a session.

    Args:
        node: of a type in `ELEMENT_TYPES`.
        column: the name that rows use.
        single: whether each row makes a call of its own.
    """
    element, dtype = ELEMENT_TYPES[node.type]
    shape = dimensions(node)
    if not shape or (single and shape[0] not in (None, 1)):
        return Tensor(node.name, column, element, dtype, shape, ABSENT)
    return Tensor(node.name, column, element, dtype, shape[1:], shape[0])


def optional_nodes(nodes: Sequence[Any], names: Sequence[str]) -> List[Any]:
    """Those of a session's inputs with a default that requests may give, in the order of their names."""
    by_name = {node.name: node for node in nodes}
    return [by_name[name] for name in names]


def optional_tensor(node: Any, *, column: str, rows_like: Sequence[Any]) -> Tensor:
    """An input of a session that has a default.

    Args:
        node: of a type in `ELEMENT_TYPES`.
        column: the name that rows use.
        rows_like: the other inputs. The first dimension is for rows if it has the name of the first dimension of one of them;
            a first dimension of 1 is left out of the rows.
    """
    element, dtype = ELEMENT_TYPES[node.type]
    shape = dimensions(node)
    first = node.shape[0] if shape else None
    is_rows = isinstance(first, str) and first in {each.shape[0] for each in rows_like if each.shape}
    if is_rows or shape[:1] == (1,):
        return Tensor(node.name, column, element, dtype, shape[1:], shape[0], optional=True)
    return Tensor(node.name, column, element, dtype, shape, ABSENT, optional=True)
