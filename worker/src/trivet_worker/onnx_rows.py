"""Rows in the calls of an ONNX session, by the same rules in the gateway's process and in a worker.

Where the model's first dimension is free, all rows of a request go in one call; where it is fixed at `n`, they go in pieces of
`n`, the last one filled up and cut again; where an input has no dimension for rows at all, each row makes a call of its own. Rows in sequence that give an optional input the same
value, or none, share calls.
"""

import itertools
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from trivet_worker.onnx_tensors import ABSENT, Tensor

__all__ = ["NotATensor", "RowCalls", "WrongRows", "piece", "session_reason"]

_MAX_REASON = 4_000

Array = Any
"""A numpy array; numpy's own annotations differ between the releases that a worker may have."""


class NotATensor(Exception):
    """A row is not a tensor. `why` says the reason, and `path` is the row's place in the request."""

    def __init__(self, message: str, path: str, *, why: str) -> None:
        super().__init__(message)
        self.path = path
        self.why = why


class WrongRows(Exception):
    """An output has another number of rows than the input."""

    def __init__(self, name: str, answer: Array, rows: int) -> None:
        self.name = name
        self.shape = list(answer.shape)
        has = answer.shape[0] if answer.ndim else "no"
        super().__init__(f"output '{name}' has {has} rows for {rows} rows of input")


class RowCalls:
    """Divides rows into calls of a session, and joins the answers.

    Args:
        inputs: the session's, in their order, and then the optional ones.
        outputs: the names of its outputs.
        rows_a_call: None for any number.
        whole_row: for each output whether a call's whole answer is one row.
    """

    def __init__(
        self, inputs: Sequence[Tensor], outputs: Sequence[str], *, rows_a_call: Optional[int], whole_row: Sequence[bool]
    ) -> None:
        self._optional = [(index, tensor) for index, tensor in enumerate(inputs) if tensor.optional]
        inputs = [tensor for tensor in inputs if not tensor.optional]
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
        if self._optional:
            return self._with_defaults(call, values, rows)
        return self._answer(call, values, rows)

    def _with_defaults(
        self, call: Callable[[Dict[str, Array]], List[Array]], values: Sequence[Array], rows: int
    ) -> List[Array]:
        required = values[: len(self._inputs)]
        given = [
            {tensor.name: (tensor, value) for tensor, value in self._given(values, index)} for index in range(rows)
        ]
        parts: List[List[Array]] = [[] for _ in self._outputs]
        start = 0
        for _, group in itertools.groupby(given, key=_comparable):
            alike = list(group)
            count = len(alike)

            def with_extra(feeds: Dict[str, Array], extra: Dict[str, Tuple[Tensor, Array]] = alike[0]) -> List[Array]:
                size = len(feeds[self._input_names[0]]) if self._inputs[0].rows != ABSENT else 1
                fed = {name: _fed(tensor, value, rows=size) for name, (tensor, value) in extra.items()}
                return call({**feeds, **fed})

            answers = self._answer(with_extra, [value[start : start + count] for value in required], count)
            for part, answer in zip(parts, answers):
                part.append(answer)
            start += count
        return [_joined(part) for part in parts]

    def _given(self, values: Sequence[Array], index: int) -> Iterator[Tuple[Tensor, Array]]:
        """The optional inputs that a row gives: neither null, nor all nulls, nor an empty list."""
        for place, tensor in self._optional:
            row = values[place][index]
            nulls = [item is None for item in _flat(row)] if isinstance(row, np.ndarray) else [row is None]
            if all(nulls):
                continue
            if any(nulls):
                raise _not_a_tensor(tensor, index, why="some of its values are null")
            yield tensor, _rectangle(row, tensor, index=index)

    def _answer(
        self, call: Callable[[Dict[str, Array]], List[Array]], values: Sequence[Array], rows: int
    ) -> List[Array]:
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


def _comparable(given: Dict[str, Tuple[Tensor, Array]]) -> List[Tuple[str, Tuple[int, ...], Any]]:
    """What is equal for rows that give the same values, bit for bit."""
    return [
        (name, value.shape, value.tolist() if value.dtype == object else value.tobytes())
        for name, (_, value) in given.items()
    ]


def _fed(tensor: Tensor, value: Array, *, rows: int) -> Array:
    """What a call of so many rows gets of a row's value."""
    if tensor.rows == ABSENT:
        return value
    return np.repeat(value[np.newaxis], 1 if tensor.rows == 1 else rows, axis=0)


def _flat(row: Array) -> Iterator[Any]:
    for item in row.flat:
        if isinstance(item, np.ndarray):
            yield from _flat(item)
        else:
            yield item


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
        raise _not_a_tensor(tensor, index, why="its lists differ in length")
    return array


def _not_a_tensor(tensor: Tensor, index: int, *, why: str) -> NotATensor:
    return NotATensor(f"row {index} of '{tensor.column}' is not a tensor", f"[{index}].{tensor.column}", why=why)


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
