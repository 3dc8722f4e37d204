"""`to_arrow`: an answer of model code as an Arrow column of the declared type."""

from typing import Any, Optional

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from trivet_worker.tensors.mismatch import OutputMismatch, Place, kind_of
from trivet_worker.tensors.types import (
    BOOL,
    DTYPES,
    FIXED_LIST,
    LARGE_LIST,
    LISTS,
    STRUCT,
    describe,
    fixed_shape,
    numpy_dtype,
)
from trivet_worker.tensors.views import object_array, to_numpy

__all__ = ["to_arrow"]

_MAX_INT64 = 2**63 - 1
_MAX_LIST_ELEMENTS = 2**31 - 1


def to_arrow(values: Any, field: pa.Field, *, rows: Optional[int] = None, copy: bool = False) -> pa.Array:
    """A column of a field's type from an answer of model code.

    Accepted: ndarrays, lists, Arrow arrays, columns of pandas, anything with ``__array__``, object arrays of strings, of lists, of
    arrays, of dicts.
    Numbers are cast within their kind: float64 to float32, any integer to any other as long as the values fit, integers to
    floats, never floats to integers. ``(rows, 1)`` and ``(rows,)`` stand for each other.

    Args:
        values: the answer, first dimension rows.
        field: of the schema.
        rows: the expected number of rows; None for any number.
        copy: never share memory with `values`, because the model may change them later.

    Raises:
        OutputMismatch: another type, shape or number of rows, a null in a field without nulls, or a number that does not fit.
    """
    data_type = field.type
    if type(values) is np.ndarray:
        element, shape = data_type, [len(values) if values.ndim else -1]
        while element.id == FIXED_LIST:
            shape.append(element.list_size)
            element = element.value_type
        dtype = DTYPES.get(element.id)
        if (
            dtype is not None  # to numpy, float64 equals None
            and values.dtype == dtype
            and values.dtype.isnative
            and list(values.shape) == shape
            and (rows is None or rows == shape[0])
        ):
            memory = values.copy() if copy or not values.flags.c_contiguous else values
            return _over(memory, data_type)
    array = _encode_column(values, field, rows)
    _refuse_nulls(array, field, field.name)
    return array


def _over(memory: "np.ndarray[Any, Any]", data_type: pa.DataType) -> pa.Array:
    """An Arrow array over a contiguous ndarray of exactly the right dtype and shape."""
    if data_type.id != FIXED_LIST:
        return pa.Array.from_buffers(data_type, memory.size, [None, pa.py_buffer(memory)], 0)
    types = [data_type]
    while types[-1].id == FIXED_LIST:
        types.append(types[-1].value_type)
    array = pa.Array.from_buffers(types[-1], memory.size, [None, pa.py_buffer(memory)], 0)
    length = memory.size
    for depth in range(len(types) - 2, -1, -1):
        size = types[depth].list_size
        length = length // size if size else int(np.prod(memory.shape[: depth + 1]))
        array = pa.Array.from_buffers(types[depth], length, [None], 0, children=[array])
    return array


def _encode_column(values: Any, field: pa.Field, rows: Optional[int]) -> pa.Array:
    data_type = field.type
    place = Place(field.name, data_type, rows, values)
    values = _of_arrow(_of_pandas(values))
    if isinstance(values, np.ma.MaskedArray):
        values = np.where(np.ma.getmaskarray(values), np.array(None), np.ma.getdata(values).astype(object))
    if values is None or isinstance(values, (str, bytes, dict, int, float, bool, np.generic)):
        raise place.mismatch(kind_of(values))
    if isinstance(values, (list, tuple)):
        array = object_array(values)
    else:
        array = np.asarray(values)
        if array.ndim == 0:
            raise place.mismatch(kind_of(values))
    shape = fixed_shape(data_type)
    if rows is not None and len(array) != rows:
        raise place.mismatch()
    if shape == () and array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    elif shape == (1,) and array.ndim == 1 and (array.dtype != object or _holds_scalars(array)):
        array = array.reshape(-1, 1)
    return _encode(array, data_type, place)


def _of_pandas(values: Any) -> Any:
    """A Series or another array of pandas as an ndarray or an Arrow array; anything else as it is."""
    dtype = getattr(values, "dtype", None)
    if dtype is None or isinstance(values, np.ndarray) or type(values).__module__.partition(".")[0] != "pandas":
        return values
    if not isinstance(dtype, np.dtype):
        # Nullable numbers, text, categories, Arrow's own columns, times with a zone.
        try:
            return pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError):
            return np.asarray(values)
    array = np.array(values)
    if array.dtype == object:
        array[np.asarray(values.isna(), bool)] = None
    return array


def _of_arrow(values: Any) -> Any:
    """An Arrow array as an ndarray or a list; anything else as it is."""
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if not isinstance(values, pa.Array):
        return values
    if pat.is_dictionary(values.type):
        values = values.dictionary_decode()
    return (
        to_numpy(values, writable=False) if values.type.id in DTYPES or values.type.id == BOOL else values.to_pylist()
    )


def _encode(array: "np.ndarray[Any, Any]", data_type: pa.DataType, place: Place) -> pa.Array:
    """An array whose first dimension is the elements of the column. `place` describes the whole column."""
    if data_type.id == FIXED_LIST or data_type.id in LISTS:
        if array.ndim == 1:
            if array.dtype != object:
                raise place.mismatch()
            return _encode_nested(array, data_type, place)
        if data_type.id == FIXED_LIST and array.shape[1] != data_type.list_size:
            raise place.mismatch()
        joined = array.reshape((array.shape[0] * array.shape[1], *array.shape[2:]))
        items = _encode(joined, data_type.value_type, place)
        lengths = np.full(len(array), array.shape[1], np.int64)
        return _list_array(data_type, lengths, None, items)
    if array.ndim != 1:
        raise place.mismatch()
    if data_type.id == STRUCT:
        return _encode_structs(array, data_type, place)
    if array.dtype == object:
        return _encode_objects(array, data_type, place)
    return _encode_plain(array, data_type, place, None)


def _encode_nested(rows: "np.ndarray[Any, Any]", data_type: pa.DataType, place: Place) -> pa.Array:
    """Rows that are lists, tuples, arrays or None."""
    fixed = data_type.list_size if data_type.id == FIXED_LIST else None
    parts, lengths = [], np.zeros(len(rows), np.int64)
    present = np.ones(len(rows), bool)
    for index, row in enumerate(rows):
        if row is None:
            present[index] = False
            part = object_array([None] * (fixed or 0))
        elif isinstance(row, (list, tuple)):
            part = object_array(row)
        elif isinstance(row, (str, bytes, dict)) or np.ndim(row) == 0:
            raise place.mismatch(f"{kind_of(row)} in row {index}")
        else:
            part = np.asarray(row)
        if fixed is not None and len(part) != fixed:
            raise place.mismatch(f"{len(part)} elements in row {index}")
        parts.append(part)
        lengths[index] = len(part)
    shapes = {part.shape[1:] for part in parts if len(part)}
    plain = len(shapes) < 2 and not any(part.dtype == object for part in parts if len(part))
    full = [part for part in parts if len(part)]
    if not full:
        joined: np.ndarray[Any, Any] = object_array([])
    elif plain:
        joined = np.concatenate(full)
    else:
        joined = object_array([item for part in full for item in part])
    items = _encode(joined, data_type.value_type, place)
    return _list_array(data_type, lengths, None if present.all() else present, items)


def _list_array(
    data_type: pa.DataType,
    lengths: "np.ndarray[Any, Any]",
    present: "Optional[np.ndarray[Any, Any]]",
    items: pa.Array,
) -> pa.Array:
    validity = None if present is None else pa.array(present).buffers()[1]
    if data_type.id == FIXED_LIST:
        return pa.Array.from_buffers(data_type, len(lengths), [validity], children=[items])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if data_type.id != LARGE_LIST:
        if offsets[-1] > _MAX_LIST_ELEMENTS:
            raise OverflowError(f"{offsets[-1]} elements are too many for {describe(data_type)}: declare a large_list")
        offsets = offsets.astype(np.int32)
    return pa.Array.from_buffers(data_type, len(lengths), [validity, pa.py_buffer(offsets)], children=[items])


def _encode_structs(rows: "np.ndarray[Any, Any]", data_type: pa.DataType, place: Place) -> pa.Array:
    if rows.dtype.names:
        rows = object_array([dict(zip(rows.dtype.names, row)) for row in rows])
    members = [data_type[index] for index in range(data_type.num_fields)]
    names = {member.name for member in members}
    for index, row in enumerate(rows):
        if row is None:
            continue
        if not isinstance(row, dict):
            raise place.mismatch(f"{kind_of(row)} in row {index}")
        surplus = sorted(str(name) for name in row if name not in names)
        missing = sorted(member.name for member in members if member.name not in row and not member.nullable)
        if surplus or missing:
            difference = f"a surplus member {surplus[0]!r}" if surplus else f"no member {missing[0]!r}"
            raise place.mismatch(f"{difference} in row {index}")
    children = []
    for member in members:
        column = object_array([None if row is None else row.get(member.name) for row in rows])
        inner = Place(f"{place.path}.{member.name}", member.type, None, column)
        children.append(_encode(column, member.type, inner))
    present = np.array([row is not None for row in rows], bool)
    validity = None if present.all() else pa.array(present).buffers()[1]
    return pa.Array.from_buffers(data_type, len(rows), [validity], children=children)


def _encode_objects(items: "np.ndarray[Any, Any]", data_type: pa.DataType, place: Place) -> pa.Array:
    """Scalars of Python or numpy, with None for null."""
    if data_type.id in DTYPES or data_type.id == BOOL:
        there = np.array([item is not None for item in items], bool)
        present = [item for item in items if item is not None]
        if any(isinstance(item, (str, bytes)) for item in present):
            raise place.mismatch()
        dtype = None if present else numpy_dtype(data_type)
        if present and all(isinstance(item, (int, np.integer)) and not isinstance(item, bool) for item in present):
            # numpy makes floats of what fits an int64 beside what needs a uint64.
            present = [int(item) for item in present]
            dtype = np.dtype(np.uint64) if max(present) > _MAX_INT64 else np.dtype(np.int64)
        try:
            numbers = np.array(present, dtype)
        except (ValueError, OverflowError):
            raise place.mismatch() from None
        if numbers.ndim != 1:
            raise place.mismatch()
        return _encode_plain(numbers, data_type, place, None if there.all() else there)
    is_bytes = pat.is_binary(data_type) or pat.is_large_binary(data_type) or pat.is_fixed_size_binary(data_type)
    if is_bytes and any(isinstance(item, str) for item in items):
        raise place.mismatch()
    try:
        return pa.array(items.tolist(), data_type)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise place.mismatch(note=f" ({error})") from None


def _encode_plain(
    array: "np.ndarray[Any, Any]",
    data_type: pa.DataType,
    place: Place,
    present: "Optional[np.ndarray[Any, Any]]",
) -> pa.Array:
    """A one-dimensional ndarray without objects; `present` marks the places of its values, the others are null."""
    dtype = DTYPES.get(data_type.id)
    if dtype is None and data_type.id != BOOL:
        return _encode_other(array, data_type, place)
    if dtype is None:
        if array.dtype != bool:
            raise place.mismatch()
        numbers = array
    else:
        numbers = _cast(array, dtype, place)
    if present is None:
        if data_type.id != BOOL:
            return _over(np.ascontiguousarray(numbers), data_type)  # the cast has made a copy
        return pa.array(numbers, data_type)
    spread = np.zeros(len(present), numbers.dtype)
    spread[present] = numbers
    return pa.array(spread, data_type, mask=~present)


def _cast(array: "np.ndarray[Any, Any]", dtype: "np.dtype[Any]", place: Place) -> "np.ndarray[Any, Any]":
    """Numbers in another width; refused if a value would change."""
    kind, wanted = array.dtype.kind, dtype.kind
    if kind in "iu" and wanted in "iu":
        limits = np.iinfo(dtype)
        if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
            bad = int(array.min()) if int(array.min()) < limits.min else int(array.max())
            raise place.mismatch(note=f", of which {bad} does not fit")
        return array.astype(dtype)
    if kind not in "biuf" or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise place.mismatch()
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        raise place.mismatch(note=", of which one does not fit") from None


def _encode_other(array: "np.ndarray[Any, Any]", data_type: pa.DataType, place: Place) -> pa.Array:
    """Strings, bytes, dates and durations held by numpy itself."""
    is_text = pat.is_string(data_type) or pat.is_large_string(data_type)
    is_time = pat.is_timestamp(data_type) or pat.is_date(data_type) or pat.is_duration(data_type)
    kind = array.dtype.kind
    try:
        if is_text and kind in "UST":
            return pa.array(array.tolist(), data_type)
        if kind == "S" and not is_time:
            return pa.array(array.tolist(), data_type)
        if is_time and kind in "mM":
            plain = pa.array(array)
            if pat.is_timestamp(data_type):
                plain = plain.cast(pa.timestamp(data_type.unit))
            return plain.cast(data_type)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise place.mismatch(note=f" ({error})") from None
    raise place.mismatch()


def _refuse_nulls(array: pa.Array, field: pa.Field, path: str) -> None:
    if array.null_count and not field.nullable:
        row = array.is_null().to_pylist().index(True)
        raise OutputMismatch(path, expected=f"{describe(field.type)} without nulls", got=f"a null in element {row}")
    data_type = field.type
    if data_type.id == FIXED_LIST or data_type.id in LISTS:
        if not data_type.value_field.nullable or data_type.value_type.num_fields:
            _refuse_nulls(array.flatten(), data_type.value_field, path)
    elif data_type.id == STRUCT:
        whole = array.filter(array.is_valid()) if array.null_count else array
        for index, member in enumerate(whole.flatten()):
            _refuse_nulls(member, data_type[index], f"{path}.{data_type[index].name}")


def _holds_scalars(array: "np.ndarray[Any, Any]") -> bool:
    return not any(isinstance(item, (list, tuple, np.ndarray)) for item in array)
