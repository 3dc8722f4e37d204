"""Numbers of 32 and 16 bits as the shortest text that means them: 0.1, not 0.10000000149011612."""

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["with_short_floats"]


def with_short_floats(table: pa.Table) -> pa.Table:
    """A table whose floats of 32 and 16 bits, also in lists and structs, are the doubles that JSON and clients write."""
    columns = [_short(column.combine_chunks()) if _has_short(column.type) else column for column in table.columns]
    return pa.table(columns, names=table.column_names) if columns else table


def _has_short(kind: pa.DataType) -> bool:
    if _is_list(kind):
        return _has_short(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_has_short(kind.field(index).type) for index in range(kind.num_fields))
    return bool(pa.types.is_float32(kind) or pa.types.is_float16(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _short(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    kind = array.type
    if not _has_short(kind):
        return array
    if _is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
        return pa.LargeListArray.from_arrays(offsets, _short(array.flatten()), mask=pc.is_null(array))
    if pa.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        return pa.StructArray.from_arrays([_short(each) for each in array.flatten()], names, mask=pc.is_null(array))
    values = array.to_numpy(zero_copy_only=False).astype(np.float32 if pa.types.is_float32(kind) else np.float16)
    with np.errstate(invalid="ignore"):  # signalling NaNs become quiet
        found = values.astype(np.float64)
    finite = np.isfinite(values)
    if pa.types.is_float32(kind):
        found[finite] = orjson.loads(orjson.dumps(values[finite], option=orjson.OPT_SERIALIZE_NUMPY))
    else:
        found[finite] = values[finite].astype(str).astype(np.float64)
    return pa.array(found, mask=pc.is_null(array).to_numpy(zero_copy_only=False))
