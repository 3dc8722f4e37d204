"""How many bytes values take: a row of a type in memory, and a column as JSON text."""

import pyarrow as pa
import pyarrow.compute as pc

from trivet.errors import TooLarge

__all__ = ["is_fixed", "json_bytes", "refuse_weightless", "row_bytes"]

MAX_WEIGHTLESS = 1_000_000
# Text of the longest value: -9223372036854775808, -1.7976931348623157e+308, a timestamp in nanoseconds with its quotes.
INTEGER, FLOAT, OTHER = 21, 25, 40


def row_bytes(kind: pa.DataType) -> int:
    """Bytes of one value in memory; of a text or a list of variable length only those that every value takes."""
    if isinstance(kind, pa.BaseExtensionType):
        return row_bytes(kind.storage_type)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * row_bytes(kind.value_type)
    if pa.types.is_struct(kind):
        return sum(row_bytes(kind.field(index).type) for index in range(kind.num_fields))
    if pa.types.is_null(kind):
        return 0
    try:
        return max(1, int(kind.bit_width) // 8) if kind.bit_width else 0
    except ValueError:
        return 8


def is_fixed(kind: pa.DataType) -> bool:
    """Whether all values of a type take the same number of bytes."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_fixed(kind.storage_type)
    if pa.types.is_fixed_size_list(kind):
        return is_fixed(kind.value_type)
    return bool(pa.types.is_primitive(kind))


def refuse_weightless(batch: pa.RecordBatch) -> None:
    """Refuse very many values that take no bytes: nulls without a type, empty structs, lists of width 0, rows without columns.

    Raises:
        TooLarge: there are more than a million.
    """
    if batch.num_columns == 0 and batch.num_rows > MAX_WEIGHTLESS:
        raise TooLarge(f"{batch.num_rows} rows without columns", fix=f"send at most {MAX_WEIGHTLESS}")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        count = _weightless(column)
        if count > MAX_WEIGHTLESS:
            raise TooLarge(
                f"column {name!r} holds {count} values without a type",
                why=f"they take no bytes, and the limit is {MAX_WEIGHTLESS}",
                fix="give the column a type: pa.array(values, type=…)",
                path=name,
            )


def _weightless(array: pa.Array) -> int:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _weightless(array.storage)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _weightless(array.values)
    own = 0 if row_bytes(kind) else len(array)
    if pa.types.is_fixed_size_list(kind):
        return max(own, _weightless(array.values))
    if pa.types.is_struct(kind):
        return max(own, sum(_weightless(array.field(index)) for index in range(kind.num_fields)))
    return own


def json_bytes(array: pa.Array) -> int:
    """The bytes of a column as JSON text, or a little more. It looks at sizes only, so bits count as the words they become."""
    kind, count = array.type, len(array)
    if isinstance(kind, pa.BaseExtensionType):
        return json_bytes(array.storage)
    if pa.types.is_null(kind) or pa.types.is_boolean(kind):
        return 6 * count
    if pa.types.is_integer(kind):
        return min(INTEGER, 2 + int(kind.bit_width) // 3) * count
    if pa.types.is_floating(kind):
        return FLOAT * count
    if pa.types.is_struct(kind):
        names = sum(4 + len(kind.field(index).name.encode()) for index in range(kind.num_fields))
        return (4 + names) * count + sum(json_bytes(array.field(index)) for index in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return 4 * count + json_bytes(array.flatten())
    if pa.types.is_fixed_size_binary(kind):
        return (4 + int(kind.byte_width) * 4 // 3) * count
    if (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        return 4 * count + 2 * int(pc.sum(pc.binary_length(array)).as_py() or 0)
    return OTHER * count
