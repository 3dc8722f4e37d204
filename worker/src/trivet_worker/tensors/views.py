"""`to_numpy`: an Arrow column as arrays for model code."""

from typing import Any, List, Optional, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from trivet_worker.tensors.types import DTYPES, FIXED_LIST, LISTS, STRUCT

__all__ = ["object_array", "to_numpy"]

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
    lists of any length                  an object array ``[rows]`` of arrays; a null list is an empty one
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
        return _objects(array, leaf, offset, shape)
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


def _objects(array: pa.Array, leaf: pa.Array, offset: int, shape: List[int]) -> "np.ndarray[Any, Any]":
    """Columns other than plain numbers: strings, bools, dates, lists of any length, structs."""
    if len(shape) == 1:
        return _flat(array)
    if array.null_count:
        return _with_nulls(array, shape, None)
    count = int(np.prod(shape))
    tensor: np.ndarray[Any, Any] = _flat(leaf.slice(offset - leaf.offset, count)).reshape(shape)
    return tensor


def _flat(array: pa.Array) -> "np.ndarray[Any, Any]":
    """One entry an element, for a type that is not a fixed-size list."""
    type_id = array.type.id
    if type_id in LISTS:
        return _lists(array)
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


def _lists(array: pa.Array) -> "np.ndarray[Any, Any]":
    offsets = array.offsets.to_numpy()
    first = int(offsets[0]) if len(offsets) else 0
    last = int(offsets[-1]) if len(offsets) else 0
    items = array.values.slice(first, last - first)
    out = np.empty(len(array), dtype=object)
    # A null in one row must not turn the other rows into objects: then each row is converted by itself.
    whole = None if items.null_count else to_numpy(items, writable=True)
    present = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    bounds = (offsets - first).tolist()
    for index in range(len(array)):
        start, stop = bounds[index], bounds[index + 1]
        if present is not None and not present[index]:
            stop = start
        out[index] = to_numpy(items.slice(start, stop - start), writable=True) if whole is None else whole[start:stop]
    return out


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
