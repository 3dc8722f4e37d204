"""Rows made up from a schema: zeros and empty strings, or ones and a date; lists of one."""

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from trivet.engine.batch import Batch

__all__ = ["canned_batch"]


def canned_batch(schema: pa.Schema, *, ones: bool = False) -> Batch:
    """One row of a schema, nothing in it null: of zeros and empty strings, or of ones and a date as a string."""
    arrays = [pa.array([_value(field.type, ones=ones)], type=field.type) for field in schema]
    return Batch.of_record_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _value(kind: pa.DataType, *, ones: bool) -> Any:
    if pa.types.is_fixed_size_list(kind):
        return [_value(kind.value_type, ones=ones)] * kind.list_size
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_value(kind.value_type, ones=ones)]
    if pa.types.is_struct(kind):
        members = [kind.field(index) for index in range(kind.num_fields)]
        return {member.name: _value(member.type, ones=ones) for member in members}
    if pa.types.is_boolean(kind):
        return ones
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "2000-01-01" if ones else ""
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return b""
    if pa.types.is_decimal(kind):
        return Decimal(0)
    if pa.types.is_date(kind):
        return datetime.date(2000 if ones else 1970, 1, 1)
    return int(ones)
