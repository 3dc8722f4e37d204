"""The numpy side of an Arrow type: its dtype, the shape of one row, and its name."""

from typing import Any, Dict, Optional, Tuple

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

__all__ = [
    "BOOL",
    "DTYPES",
    "FIXED_LIST",
    "LARGE_LIST",
    "LISTS",
    "STRUCT",
    "describe",
    "element_type",
    "fixed_shape",
    "numpy_dtype",
]

FIXED_LIST = pa.list_(pa.int8(), 1).id
LISTS = frozenset([pa.list_(pa.int8()).id, pa.large_list(pa.int8()).id])
LARGE_LIST = pa.large_list(pa.int8()).id
STRUCT = pa.struct([]).id
BOOL = pa.bool_().id

# Types whose Arrow memory is numpy memory.
DTYPES: Dict[int, "np.dtype[Any]"] = {
    pa.from_numpy_dtype(name).id: np.dtype(name)
    for name in (
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}
_SHORT_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}


def describe(data_type: pa.DataType) -> str:
    """A type as people write it in a schema: ``float32[29]``, ``string[]``, ``int64[32,32,3]``."""
    sizes = []
    while data_type.id == FIXED_LIST or data_type.id in LISTS:
        sizes.append(str(data_type.list_size) if data_type.id == FIXED_LIST else "")
        data_type = data_type.value_type
    if data_type.id == STRUCT:
        members = (data_type[index] for index in range(data_type.num_fields))
        name = "struct{" + ", ".join(f"{field.name}: {describe(field.type)}" for field in members) + "}"
    else:
        name = _SHORT_NAMES.get(str(data_type), str(data_type))
    if not sizes:
        return name
    if all(sizes):
        return "{}[{}]".format(name, ",".join(sizes))
    return name + "".join(f"[{size}]" for size in reversed(sizes))


def element_type(data_type: pa.DataType) -> pa.DataType:
    """What a fixed-size list of fixed-size lists … holds in the end; any other type itself."""
    while data_type.id == FIXED_LIST:
        data_type = data_type.value_type
    return data_type


def numpy_dtype(data_type: pa.DataType) -> "Optional[np.dtype[Any]]":
    """The dtype of the elements of a type, through fixed-size lists; None where numpy would hold objects."""
    element = element_type(data_type)
    if element.id == BOOL:
        return np.dtype(bool)
    dtype = DTYPES.get(element.id)
    if dtype is not None:
        return dtype
    if pat.is_timestamp(element) or pat.is_date(element) or pat.is_duration(element):
        dtype = pa.array([], element).to_numpy(zero_copy_only=False).dtype
    return dtype


def fixed_shape(data_type: pa.DataType) -> "Optional[Tuple[int, ...]]":
    """The shape of one row: ``()`` for a scalar, ``(32, 32, 3)``; None where rows differ in length, and for structs."""
    shape = []
    while data_type.id == FIXED_LIST:
        shape.append(data_type.list_size)
        data_type = data_type.value_type
    return None if data_type.id in LISTS or data_type.id == STRUCT else tuple(shape)
