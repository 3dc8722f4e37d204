"""Rows in the calls of an ONNX session, by the same rules in the gateway's process and in a worker.

Where the model's first dimension is free, all rows of a request go in one call; where it is fixed at `n`, they go in pieces of
`n`, the last one filled up and cut again; where an input has no dimension for rows at all, each row makes a call of its own.
"""

import itertools
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import pyarrow as pa

__all__ = [
    "ABSENT",
    "ELEMENT_TYPES",
    "NotATensor",
    "RowCalls",
    "Tensor",
    "WrongRows",
    "dimensions",
    "input_tensor",
    "piece",
    "session_reason",
]

_MAX_REASON = 4_000

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


class NotATensor(Exception):
    """A row's lists differ in length. `path` is the row's place in the request."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class WrongRows(Exception):
    """An output has another number of rows than the input."""

    def __init__(self, name: str, answer: Array, rows: int) -> None:
        self.name = name
        self.shape = list(answer.shape)
        has = answer.shape[0] if answer.ndim else "no"
        super().__init__(f"output '{name}' has {has} rows for {rows} rows of input")


class Tensor(NamedTuple):
    """One input or output of the model.

    Attributes:
        name: the model's own name for it.
        column: the name that rows use.
        element: the Arrow type of one element.
        dtype: the numpy type of one element.
        shape: of one row; None is a free dimension.
        rows: the first dimension: None is free, a number is fixed, `ABSENT` means one row fills the whole tensor.
    """

    name: str
    column: str
    element: pa.DataType
    dtype: Any
    shape: Tuple[Optional[int], ...]
    rows: Union[None, int, str]

    @property
    def field(self) -> pa.Field:
        """The column's field: never null, since tensors hold no nulls."""
        kind = self.element
        for size in reversed(self.shape):
            kind = pa.list_(kind) if size is None else pa.list_(kind, size)
        return pa.field(self.column, kind, nullable=False)

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


class RowCalls:
    """Divides rows into calls of a session, and joins the answers.

    Args:
        inputs: the session's, in their order.
        outputs: the names of its outputs.
        rows_a_call: None for any number.
        whole_row: for each output whether a call's whole answer is one row.
    """

    def __init__(
        self, inputs: Sequence[Tensor], outputs: Sequence[str], *, rows_a_call: Optional[int], whole_row: Sequence[bool]
    ) -> None:
        self._inputs = list(inputs)
        self._input_names = [tensor.name for tensor in inputs]
        self._outputs = list(outputs)
        self._rows_a_call = rows_a_call
        self._whole_row = list(whole_row)
        # Rows of several sizes go one by one, even if those of a request have one size: a call needs memory for all its rows.
        self._varied = any(None in tensor.shape for tensor in inputs)
        self.rectangular = all(None not in tensor.shape and tensor.dtype is not np.object_ for tensor in inputs)

    def answer(
        self, call: Callable[[Dict[str, Array]], List[Array]], values: Sequence[Array], rows: int
    ) -> List[Array]:
        """The columns of an answer, one row for each row.

        Args:
            call: runs the session once.
            values: the input columns, in the order of the inputs.
            rows: how many rows they have.

        Raises:
            WrongRows: an output has another number of rows than the input.
            NotATensor: a row's lists differ in length.
        """
        if self._rows_a_call is None and not self._varied:
            answers = call(dict(zip(self._input_names, values)))
            for name, answer in zip(self._outputs, answers):
                if answer.ndim == 0 or len(answer) != rows:
                    raise WrongRows(name, answer, rows)
            return answers
        return self._in_pieces(call, values, rows)

    def _in_pieces(
        self, call: Callable[[Dict[str, Array]], List[Array]], values: Sequence[Array], rows: int
    ) -> List[Array]:
        size = self._rows_a_call or 1
        step = 1 if self._varied else size
        pieces: List[List[Array]] = [[] for _ in self._outputs]
        for start in range(0, rows, step):
            count = min(step, rows - start)
            feeds = {
                tensor.name: piece(tensor, value, start=start, count=count, size=size)
                for tensor, value in zip(self._inputs, values)
            }
            for index, (name, answer) in enumerate(zip(self._outputs, call(feeds))):
                if self._whole_row[index]:
                    pieces[index].append(np.asarray(answer)[np.newaxis])
                elif answer.ndim == 0 or answer.shape[0] != size:
                    raise WrongRows(name, answer, size)
                else:
                    pieces[index].append(answer[:count])
        return [_joined(parts) for parts in pieces]


def piece(tensor: Tensor, value: Array, *, start: int, count: int, size: int) -> Array:
    """Rows `start` to `start + count` in the model's form, the last row repeated up to `size`."""
    if _is_ragged(value, tensor):
        rows = value[start : start + count]
        value = np.stack([_rectangle(row, tensor, index=start + index) for index, row in enumerate(rows)])
        start = 0
    if tensor.rows == ABSENT:
        return np.asarray(value[start], dtype=tensor.dtype)
    part = value[start : start + count]
    if count < size:
        part = np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)])
    return part


def session_reason(error: Exception) -> str:
    """ONNX Runtime's message without the C++ source line before it; it may quote names of the file, of any length."""
    text = str(error)
    _, found, rest = text.rpartition("Status Message: ")
    return (rest if found else text).strip()[:_MAX_REASON]


def _is_ragged(value: Array, tensor: Tensor) -> bool:
    """Whether a column is a list for each row and not a tensor: rows may differ in shape."""
    return value.dtype == object and (tensor.dtype is not np.object_ or value.ndim != len(tensor.shape) + 1)


def _rectangle(row: Any, tensor: Tensor, *, index: int) -> Array:
    """One row of lists as the array of a tensor."""
    rank = len(tensor.shape)
    array: Any
    try:
        array = np.array(_lists(row), dtype=tensor.dtype)
    except ValueError:
        array = None
    if array is not None and array.size == 0 and array.ndim < rank:
        array = array.reshape(*array.shape, *(size or 0 for size in tensor.shape[array.ndim :]))
    if (
        array is None
        or array.ndim != rank
        or (array.dtype == object and any(isinstance(item, list) for item in array.flat))
    ):
        raise NotATensor(f"row {index} of '{tensor.column}' is not a tensor", f"[{index}].{tensor.column}")
    return array


def _lists(value: Any) -> Any:
    """Nested arrays as nested lists."""
    if not isinstance(value, np.ndarray):
        return value
    return [_lists(item) for item in value] if value.dtype == object else value.tolist()


def _joined(parts: List[Array]) -> Array:
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    rows = list(itertools.chain.from_iterable(parts))
    ragged = np.empty(len(rows), dtype=object)
    ragged[:] = rows
    return ragged
