"""Columns as the tensors of a model, and its tensors as columns, for the frameworks whose models take tensors by name or place."""

import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import pyarrow as pa

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters import Columns
from trivet_worker.failures import PackageError
from trivet_worker.onnx_rows import NotATensor, RowCalls, WrongRows
from trivet_worker.onnx_tensors import Tensor
from trivet_worker.tensors import OutputMismatch, describe, numpy_dtype

__all__ = ["Port", "TensorAdapter", "check_answers", "in_order", "ports_of_fields"]

Answers = Union[Sequence[Any], Mapping[str, Any]]
Call = Callable[[Dict[str, Any]], Answers]

_NUMBERED = re.compile(r"(?:input|output)_([1-9]\d*)")


class Port(NamedTuple):
    """One input or output of a model.

    Attributes:
        name: the model's own name for it.
        dtype: the numpy type of its elements; None if the model does not say it: that of the column.
        shape: of one row; a free dimension is None. None if the model does not say it: that of the column.
        rows: how many rows a call has; None for any number.
    """

    name: str
    dtype: "Optional[np.dtype[Any]]" = None
    shape: Optional[Tuple[Optional[int], ...]] = None
    rows: Optional[int] = None

    def field(self, name: str) -> str:
        """The field of a schema that fits, where the model says its type and shape."""
        element = "float32" if self.dtype is None else _element(self.dtype)
        sizes = [str(size or "") for size in self.shape or ()]
        if all(sizes):
            return f"{name}: {element}[{','.join(sizes)}]" if sizes else f"{name}: {element}"
        return f"{name}: {element}" + "".join(f"[{size}]" for size in reversed(sizes))


def in_order(
    fields: "Sequence[pa.Field]", ports: "Sequence[Port]", *, which: str, title: str
) -> "List[Tuple[pa.Field, Port]]":
    """The port of each field, in the order of the ports.

    A single field has any name. Several have the names of the ports, or are `input_1`, `input_2`, … in the order of the ports.

    Args:
        fields: of a schema.
        ports: the model's.
        which: `input` or `output`.
        title: what the model is called in errors.

    Raises:
        PackageError: there is another number of them, or a name fits none; the message has a schema that fits.
    """
    if len(fields) != len(ports):
        raise PackageError(
            f"{title} has {_counted(len(ports), which)} ({_listed(ports)}), and the {which} schema has "
            f"{_counted(len(fields), 'column')}. {_fits(ports, which)}"
        )
    if len(fields) == 1:
        return [(fields[0], ports[0])]
    by_name = {field.name: field for field in fields}
    names = [port.name for port in ports]
    if by_name.keys() != set(names):
        names = [f"{which}_{index}" for index in range(1, len(ports) + 1)]
    if by_name.keys() != set(names):
        raise PackageError(
            f"the {which} schema has the columns {', '.join(by_name)}, and they must have the names of the model's {which}s "
            f"({_listed(ports)}), or be {names[0]} to {names[-1]} in their order. {_fits(ports, which)}"
        )
    return [(by_name[name], port) for name, port in zip(names, ports)]


def check_answers(pairs: "Sequence[Tuple[pa.Field, Port]]") -> None:
    """Check that fields of the output schema fit what the model says of its answers.

    Raises:
        PackageError: one does not; the message has one that fits.
    """
    for field, port in pairs:
        sizes, element = _sizes(field.type)
        given = numpy_dtype(element)
        same_kind = port.dtype is None or given == port.dtype
        if port.dtype is not None and given is not None:
            same_kind = same_kind or np.can_cast(port.dtype, given, "same_kind")
        elif port.dtype is not None:
            same_kind = port.dtype == np.dtype(object)
        wanted = sizes if port.shape is None else port.shape
        if not same_kind or not (_alike(sizes, wanted) or {sizes, wanted} == {(), (1,)}):
            raise PackageError(
                f"the model answers {port.field(port.name)}, and the field of the output schema is "
                f"'{field.name}: {describe(field.type)}'. A field that fits: '{port.field(field.name)}'"
            )


def ports_of_fields(fields: "Sequence[pa.Field]", *, which: str) -> List[Port]:
    """Ports of a model that does not say how many it has: one for each field, numbered fields in the order of their numbers."""
    numbers = [_NUMBERED.fullmatch(field.name) for field in fields]
    names = [field.name for field in fields]
    if all(numbers):
        names.sort(key=lambda name: int(name.rpartition("_")[2]))
    elif len(fields) > 1:
        raise PackageError(
            f"the {which} schema has the columns {', '.join(names)}, and the columns of a model with several {which}s are "
            f"{which}_1, {which}_2, … in the order of the model"
        )
    return [Port(name) for name in names]


class TensorAdapter:
    """Answers rows with a function of tensors.

    Args:
        inputs: each field with its port, in the order of the ports.
        outputs: each field with the name of its answer.
        call: takes tensors by the name of the port; answers by name, or in the order of `outputs`.
    """

    def __init__(
        self, inputs: "Sequence[Tuple[pa.Field, Port]]", outputs: "Sequence[Tuple[pa.Field, str]]", *, call: Call
    ) -> None:
        self._columns = [_column(field, port) for field, port in inputs]
        self._outputs = [(field.name, name) for field, name in outputs]
        self._call = call
        rows = {port.rows for _, port in inputs if port.rows is not None}
        names = [name for name, _ in self._outputs]
        self._rows = RowCalls(
            self._columns,
            names,
            rows_a_call=min(rows) if rows else None,
            whole_row=[False] * len(names),
        )

    def predict(self, columns: Columns) -> Dict[str, Any]:
        """See `Adapter.predict`."""
        values = [_fitted(columns[tensor.column], tensor) for tensor in self._columns]
        try:
            answers = self._rows.answer(self._answer, values, len(values[0]))
        except WrongRows as error:
            raise OutputMismatch(
                error.name, expected="a row for each row of input", got=f"shape {error.shape}"
            ) from None
        except NotATensor as error:
            raise InferenceDataValidationError(f"{error}: {error.why}") from None
        return {name: answer for (name, _), answer in zip(self._outputs, answers)}

    def _answer(self, feeds: Dict[str, Any]) -> List[Any]:
        answers = self._call(feeds)
        if isinstance(answers, Mapping):
            for field, name in self._outputs:
                if name not in answers and len(self._outputs) > 1:
                    raise OutputMismatch(field, expected=f"an answer {name!r}", got=f"{', '.join(map(str, answers))}")
            if all(name in answers for _, name in self._outputs):
                return [answers[name] for _, name in self._outputs]
            answers = list(answers.values())
        if len(answers) != len(self._outputs):
            raise OutputMismatch(
                self._outputs[0][0],
                expected=_counted(len(self._outputs), "tensor"),
                got=f"{_counted(len(answers), 'tensor')} as the model's answer",
            )
        return list(answers)


def _column(field: pa.Field, port: Port) -> Tensor:
    """How rows of a field become a tensor.

    Raises:
        PackageError: the type of the field does not fit.
    """
    sizes, element = _sizes(field.type)
    dtype = port.dtype
    if dtype is None:
        dtype = numpy_dtype(element) or np.dtype(object)
    elif not _casts(element, dtype):
        raise PackageError(
            f"the model takes {_element(dtype)}, and column {field.name!r} is {describe(field.type)}. "
            f"A field that fits: '{port.field(field.name)}'"
        )
    shape = sizes if port.shape is None else _joined_shape(field, sizes, port)
    kind: Any = np.object_ if dtype == np.dtype(object) else dtype
    return Tensor(port.name, field.name, element, kind, shape, port.rows)


def _joined_shape(field: pa.Field, sizes: "Tuple[Optional[int], ...]", port: Port) -> "Tuple[Optional[int], ...]":
    """The shape of a row, from the schema and from the model. A flat list of all its values fits any shape."""
    wanted = port.shape or ()
    if _alike(sizes, wanted):
        return tuple(given or size for given, size in zip(sizes, wanted))
    if None not in wanted and None not in sizes and _product(sizes) == _product(wanted):
        return wanted
    if wanted.count(None) == 1 and None not in sizes:
        known = _product([size for size in wanted if size is not None])
        if known and _product(sizes) % known == 0:
            return tuple(_product(sizes) // known if size is None else size for size in wanted)
    raise PackageError(
        f"the model takes a tensor of shape {_shown(wanted)} for each row, and column {field.name!r} is "
        f"{describe(field.type)}. A field that fits: '{port.field(field.name)}'"
    )


def _alike(sizes: "Sequence[Optional[int]]", wanted: "Sequence[Optional[int]]") -> bool:
    """Whether two shapes are the same where both say a size."""
    return len(sizes) == len(wanted) and all(None in pair or pair[0] == pair[1] for pair in zip(sizes, wanted))


def _fitted(values: Any, tensor: Tensor) -> Any:
    """A column as an array of the tensor's type and shape; a list of rows where they differ in shape."""
    is_text = tensor.dtype is np.object_
    if values.dtype == object and not is_text:
        return values
    if not is_text and values.dtype != tensor.dtype:
        cast = values.astype(tensor.dtype)
        if values.dtype.kind in "iu" and not np.array_equal(cast, values):
            raise InferenceDataValidationError(f"a value of {tensor.column!r} does not fit into {tensor.dtype}")
        values = cast
    if (
        None not in tensor.shape
        and values.shape[1:] != tensor.shape
        and values.size == len(values) * _product(tensor.shape)
    ):
        values = values.reshape(len(values), *(size or 0 for size in tensor.shape))
    return values


def _sizes(kind: pa.DataType) -> "Tuple[Tuple[Optional[int], ...], pa.DataType]":
    """The sizes of nested lists, None where rows differ, and what they hold."""
    sizes: List[Optional[int]] = []
    while pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        sizes.append(kind.list_size if pa.types.is_fixed_size_list(kind) else None)
        kind = kind.value_type
    return tuple(sizes), kind


def _casts(element: pa.DataType, dtype: "np.dtype[Any]") -> bool:
    """Whether values of a type may become a model's: numbers within their kind, and whole numbers as floats."""
    given = numpy_dtype(element)
    if given is None or dtype == np.dtype(object):
        return given is None and dtype == np.dtype(object)
    return given == dtype or (
        given.kind in "iuf" and (dtype.kind == "f" or (dtype.kind in "iu" and given.kind in "iu"))
    )


def _element(dtype: "np.dtype[Any]") -> str:
    return {"object": "string", "bool": "bool"}.get(str(dtype), str(dtype))


def _product(sizes: "Sequence[Optional[int]]") -> int:
    return int(np.prod([size or 0 for size in sizes], dtype=np.int64))


def _shown(shape: "Sequence[Optional[int]]") -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _fits(ports: Sequence[Port], which: str) -> str:
    names = [which] if len(ports) == 1 else [f"{which}_{index}" for index in range(1, len(ports) + 1)]
    if any(port.shape is None for port in ports):
        return f"Name the columns {', '.join(names)}; the model does not say their types"
    return f"A schema that fits: '{'; '.join(port.field(name) for name, port in zip(names, ports))}'"


def _listed(ports: Sequence[Port]) -> str:
    return ", ".join(port.name for port in ports[:10]) + (", …" if len(ports) > 10 else "")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
