"""`to_numpy`: an Arrow column as arrays for model code."""

from typing import Any, Hashable, List, Optional, Sequence, Tuple

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from trivet_worker.tensors.types import DTYPES, FIXED_LIST, LISTS, STRUCT, fixed_shape, numpy_dtype

__all__ = ["form_of", "object_array", "to_numpy"]

# Before pyarrow 13, `values` of a sliced fixed-size list was sliced as well; since then it is not.
_VALUES_ARE_SLICED = int(pa.__version__.split(".")[0]) < 13


def to_numpy(
    array: pa.Array,
    field: Optional[pa.Field] = None,  # noqa: ARG001 - the same arguments as `to_arrow`; the column has its own type
    *,
    writable: bool,
) -> "np.ndarray[Any, Any]":
    """A column as an array for model code.

    ===================================  =====================================================================
    numbers, bool, dates                 ``[rows]`` of the dtype (dates: ``datetime64``, null is ``NaT``)
    fixed-size lists of them             ``[rows, ...]`` of the dtype
    … with a null among them             an object array of the same shape with None for each null
    strings, binary, decimals            an object array of ``str``, ``bytes``, ``Decimal`` or None
    lists of any length                  as fixed-size lists, if all rows have one shape; a null list is an empty one
    … if rows differ in shape            an object array ``[rows]`` with an array of its own for each row
    structs                              an object array ``[rows]`` of dicts or None
    ===================================  =====================================================================

    Args:
        array: the column.
        field: its schema field; not used, because the column has its own type.
        writable: return a copy that the caller may change. Otherwise numbers are Arrow's memory, read-only.
    """
    rows = len(array)
    data_type = array.type
    offset = array.offset
    shape = [rows]
    leaf = array
    nulls = leaf.null_count
    while data_type.id == FIXED_LIST:
        size = data_type.list_size
        leaf = leaf.values
        offset = leaf.offset if _VALUES_ARE_SLICED else offset * size + leaf.offset
        nulls += leaf.null_count
        shape.append(size)
        data_type = data_type.value_type
    dtype = DTYPES.get(data_type.id)
    if dtype is None:
        return _objects(array, leaf, offset, shape, writable)
    if nulls:
        # The nulls of `leaf` may be outside of a slice, or under a null list: check each row, which is slower.
        return _with_nulls(array, shape, dtype)
    count = rows
    for size in shape[1:]:
        count *= size
    if not count:
        return np.empty(shape, dtype)
    view: np.ndarray[Any, Any] = np.frombuffer(leaf.buffers()[1], dtype, count, offset * dtype.itemsize)
    if len(shape) > 1:
        view = view.reshape(shape)
    if writable or not view.flags.aligned:
        view = view.copy()
    if not writable:
        view.setflags(write=False)
    return view


def form_of(array: pa.Array) -> Hashable:
    """What the array of a column looks like beside its number of rows: its shape, and whether there are nulls.

    Two columns of one type and one form, joined, give each row the same array as it has in its own column.
    """
    data_type = array.type
    if data_type.id in LISTS:
        first, lengths = _bounds(array)
        size = _common(lengths)
        if size is None:
            return "ragged"
        return size, form_of(array.values.slice(first, size * len(array)))
    if data_type.id == FIXED_LIST:
        items = form_of(array.flatten())
        return ("nulls", items) if array.null_count else items
    if data_type.id == STRUCT:
        return (bool(array.null_count), *map(form_of, array.flatten()))
    return bool(array.null_count)


def _objects(array: pa.Array, leaf: pa.Array, offset: int, shape: List[int], writable: bool) -> "np.ndarray[Any, Any]":
    """Columns other than plain numbers: strings, bools, dates, lists of any length, structs."""
    if len(shape) == 1:
        return _flat(array, writable)
    if array.null_count:
        return _with_nulls(array, shape, None)
    flat = _flat(leaf.slice(offset - leaf.offset, int(np.prod(shape))), writable)
    return flat.reshape((*shape, *flat.shape[1:]))


def _flat(array: pa.Array, writable: bool) -> "np.ndarray[Any, Any]":
    """One entry an element, for a type that is not a fixed-size list."""
    type_id = array.type.id
    if type_id in LISTS:
        return _lists(array, writable)
    if type_id == STRUCT:
        return _structs(array)
    if pat.is_fixed_size_binary(array.type):
        return object_array(array.to_pylist())
    flat: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
    return flat if flat.flags.writeable else flat.copy()


def object_array(items: Sequence[Any]) -> "np.ndarray[Any, Any]":
    """A one-dimensional object array, even of items that numpy would convert to further dimensions."""
    out = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        out[index] = item
    return out


def _lists(array: pa.Array, writable: bool) -> "np.ndarray[Any, Any]":
    first, lengths = _bounds(array)
    items, rows = array.values, len(array)
    size = _common(lengths)
    if size is not None:
        dense = to_numpy(items.slice(first, size * rows), writable=writable)
        if dense.ndim > _depth(items.type):
            return dense.reshape((rows, size, *dense.shape[1:]))
    # Each row is converted by itself, unless that cannot change it: neither its shape nor its nulls are those of others.
    whole = None
    if array.null_count == 0 and fixed_shape(items.type) is not None:
        whole = to_numpy(items.slice(first, int(lengths.sum())), writable=True)
        if whole.dtype == object and numpy_dtype(items.type) is not None:
            whole = None
    out = np.empty(rows, dtype=object)
    starts = array.offsets.to_numpy()[:rows].tolist()
    for index, (start, count) in enumerate(zip(starts, lengths.tolist())):
        if whole is not None:
            out[index] = whole[start - first : start - first + count]
        else:
            out[index] = to_numpy(items.slice(start, count), writable=True)
    return out


def _bounds(array: pa.Array) -> "Tuple[int, np.ndarray[Any, Any]]":
    """Where the items of a column of lists begin, and the length of each list; a null list has none."""
    offsets = array.offsets.to_numpy()
    lengths = np.diff(offsets)
    if array.null_count:
        lengths = np.where(array.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
    return (int(offsets[0]) if len(offsets) else 0), lengths


def _common(lengths: "np.ndarray[Any, Any]") -> Optional[int]:
    """The length that all lists have; None if they differ."""
    if not len(lengths):
        return 0
    return int(lengths[0]) if (lengths == lengths[0]).all() else None


def _depth(data_type: pa.DataType) -> int:
    """How many lists enclose the elements of a type."""
    depth = 0
    while data_type.id == FIXED_LIST or data_type.id in LISTS:
        data_type = data_type.value_type
        depth += 1
    return depth


def _structs(array: pa.Array) -> "np.ndarray[Any, Any]":
    names = [array.type[index].name for index in range(array.type.num_fields)]
    columns = [_members(member) for member in array.flatten()]
    present = array.is_valid().to_pylist()
    rows = zip(*columns) if columns else ((),) * len(array)
    return object_array([dict(zip(names, row)) if there else None for row, there in zip(rows, present)])


def _members(member: pa.Array) -> "np.ndarray[Any, Any]":
    """A struct's member, one entry a row; a null in one row must not turn the tensors of other rows into objects."""
    if member.type.id != FIXED_LIST:
        return to_numpy(member, writable=True)
    return object_array([to_numpy(member.slice(index, 1), writable=True)[0] for index in range(len(member))])


def _with_nulls(array: pa.Array, shape: List[int], dtype: "Optional[np.dtype[Any]]") -> "np.ndarray[Any, Any]":
    flat = _spread(array.to_pylist(), shape[1:])
    if dtype is not None and not any(item is None for item in flat):
        return np.array(flat, dtype).reshape(shape)
    return object_array(flat).reshape(shape)


def _spread(rows: List[Any], sizes: List[int]) -> List[Any]:
    """All elements in one list; a null list becomes as many Nones as it would have elements."""
    for size in sizes:
        rows = [item for row in rows for item in (row if row is not None else (None,) * size)]
    return rows
