"""Arrow in: an IPC file or stream becomes a batch.

Nothing is trusted: compressed buffers are counted before they are inflated, every batch is validated in full, and column
types whose few bytes stand for many (dictionaries, run-end encoding, views) are refused.
"""

import struct

import orjson
import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.engine.batch import Batch
from trivet.errors import Invalid, TooLarge
from trivet.gateway.allowance import Allowance
from trivet.gateway.formats.arrow_sizes import spend_arrow
from trivet.gateway.formats.field_names import check_optional_names, missing_field
from trivet.gateway.formats.json_text import column_texts
from trivet.gateway.formats.records_lenient import null_error
from trivet.gateway.formats.widths import json_bytes, refuse_weightless, row_bytes

__all__ = ["ArrowInputs", "arrow_inputs", "decode_arrow", "read_arrow"]

MAGIC = b"ARROW1"
MAX_COLUMNS = 10_000
MAX_ROWS = 50_000_000


class ArrowInputs:
    """A decoded Arrow request.

    Attributes:
        batch: the model's columns.
        has_more: whether there are other columns.
        allowance: what the request may still become.
    """

    __slots__ = ("_table", "allowance", "batch", "has_more")

    def __init__(self, batch: Batch, table: pa.RecordBatch, allowance: Allowance) -> None:
        self.batch = batch
        self.allowance = allowance
        self.has_more = table.num_columns != len(batch.schema)
        self._table = table

    def texts(self) -> list[bytes]:
        """Each row as a JSON object."""
        columns = self.column_texts()
        if not columns:
            return [b"{}"] * self.batch.rows
        names = [orjson.dumps(name) for name in columns]
        return [
            b"{" + b",".join(map(b"%b:%b".__mod__, zip(names, row, strict=True))) + b"}"
            for row in zip(*columns.values(), strict=True)
        ]

    def column_texts(self) -> dict[str, list[bytes]]:
        """Each column's JSON values, one a row."""
        sent = Batch.of_record_batch(self._table)
        return {name: column_texts(sent, index) for index, name in enumerate(sent.schema.names)}

    def text_bytes(self) -> int:
        """About how long the texts are."""
        names = sum(len(name.encode()) + 4 for name in self._table.schema.names)
        return names * self.batch.rows + sum(map(json_bytes, self._table.columns))

    def arrays(self) -> dict[str, pa.Array]:
        """Each column as it was sent."""
        return dict(zip(self._table.schema.names, self._table.columns, strict=True))


def decode_arrow(body: bytes, schema: pa.Schema, allowance: Allowance) -> ArrowInputs:
    """Read an Arrow IPC file or stream.

    Args:
        body: the request's bytes.
        schema: the model's input schema.
        allowance: limit on what the columns may become.

    Raises:
        Invalid: not Arrow, incomplete, or does not match the schema.
        TooLarge: too many rows, columns or bytes.
    """
    return arrow_inputs(read_arrow(body, allowance), schema, allowance)


def read_arrow(body: bytes, allowance: Allowance) -> pa.RecordBatch:
    """The rows of an Arrow IPC file or stream, with whatever columns they have. Raises as `decode_arrow` does."""
    if not body:
        raise Invalid("the body is empty", fix="send an Arrow file or stream")
    try:
        table = _read(body, allowance)
    except (pa.ArrowException, OSError, ValueError, struct.error, IndexError) as error:
        raise Invalid(
            "the body is not a complete Arrow IPC file or stream",
            why=_first_line(error)
            if isinstance(error, pa.ArrowException)
            else "it is incomplete, or has another format",
            fix="write it with pyarrow.ipc.new_file or new_stream, and close the writer",
        ) from error
    if table.num_rows == 0:
        raise Invalid("the request has no rows", fix="send at least one row")
    return table


def arrow_inputs(table: pa.RecordBatch, schema: pa.Schema, allowance: Allowance) -> ArrowInputs:
    """The columns that a model takes from some rows. Raises as `decode_arrow` does."""
    known = set(schema.names)
    columns = [_column(table, field, known, allowance) for field in schema]
    check_optional_names(schema, table.schema.names)
    return ArrowInputs(Batch(schema, columns, table.num_rows), table, allowance)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _read(body: bytes, allowance: Allowance) -> pa.RecordBatch:
    buffer = pa.py_buffer(body)
    is_file = body.startswith(MAGIC)
    spend_arrow(body, is_file=is_file, allowance=allowance)
    batches = []
    if is_file:
        file = pa.ipc.open_file(buffer)
        schema = _checked_schema(file.schema)
        batches = [file.get_batch(index) for index in range(file.num_record_batches)]
    else:
        stream = pa.ipc.open_stream(buffer)
        schema = _checked_schema(stream.schema)
        batches = list(stream)
    if sum(batch.num_rows for batch in batches) > MAX_ROWS:
        raise TooLarge(f"the request has more than {MAX_ROWS} rows", fix="send it in parts")
    for batch in batches:
        batch.validate(full=True)
        refuse_weightless(batch)
    if len(batches) == 1:
        return batches[0]
    joined = sum(batch.nbytes for batch in batches)
    allowance.spend(joined, "the columns are too large", fix="send them as one record batch")
    table = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    whole = table.to_batches()
    return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=schema)


def _checked_schema(schema: pa.Schema) -> pa.Schema:
    if len(schema) > MAX_COLUMNS:
        raise TooLarge(f"the request has {len(schema)} columns", fix=f"send at most {MAX_COLUMNS}")
    seen: set[str] = set()
    for field in schema:
        if field.name in seen:
            raise Invalid(
                f"two columns are called {field.name!r}", fix="give each column its own name", path=field.name
            )
        seen.add(field.name)
        odd = _odd(field.type)
        if odd is not None:
            raise Invalid(
                f"column {field.name!r} is {odd}",
                fix="send plain columns (column.dictionary_decode(), or cast it to its value type)",
                path=field.name,
            )
    return schema


def _odd(kind: pa.DataType) -> str | None:
    if isinstance(kind, pa.BaseExtensionType):
        return _odd(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return "dictionary-encoded"
    if pa.types.is_run_end_encoded(kind):
        return "run-end-encoded"
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind) or isinstance(kind, pa.ListViewType):
        return "a view"
    if pa.types.is_union(kind) or pa.types.is_map(kind) or pa.types.is_interval(kind):
        return f"a {str(kind).partition('<')[0]}"
    for index in range(kind.num_fields):
        member = kind.field(index)
        str(member.name)  # raises here if it is not UTF-8; later code does not handle that
        found = _odd(member.type)
        if found is not None:
            return found
    return None


def _column(table: pa.RecordBatch, field: pa.Field, known: set[str], allowance: Allowance) -> pa.Array:
    index = table.schema.get_field_index(field.name)
    if index < 0:
        if field.nullable:
            _spend_rows(field, table.num_rows, allowance)
            return _absent(field, table.num_rows)
        raise missing_field(field, 0, [name for name in table.schema.names if name not in known])
    array = table.column(index)
    if array.type != field.type:
        _spend_rows(field, table.num_rows, allowance)
        array = _widened(array, field)
    _refuse_nulls(array, field)
    return array


def _spend_rows(field: pa.Field, rows: int, allowance: Allowance) -> None:
    allowance.spend(
        rows * row_bytes(field.type),
        f"the column {field.name!r} is too large for {rows} rows",
        fix=f"send fewer rows, or the column as {format_type(field.type)}",
        path=field.name,
    )


def _absent(field: pa.Field, rows: int) -> pa.Array:
    if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
        return pa.array([[]] * rows, type=field.type)
    return pa.nulls(rows, field.type)


def _widened(array: pa.Array, field: pa.Field) -> pa.Array:
    """The array in the field's type, if that loses nothing."""
    if array.null_count == len(array) and pa.types.is_null(array.type):
        return pa.nulls(len(array), field.type)
    wanted = field.type
    if pa.types.is_fixed_size_list(field.type) and field.type.list_size == 1 and not _is_list(array.type):
        # As in JSON: numbers for a tensor of width 1.
        array, wanted = pa.FixedSizeListArray.from_arrays(array, 1), field.type.value_type
    if not _loses_nothing(array.type, field.type):
        sent = array.type if wanted == field.type else array.type.value_type
        raise Invalid(
            f"column {field.name!r} is {_named(sent)}, and the model takes {format_type(field.type)}",
            fix=f"cast it: column.cast({_pyarrow_name(wanted)})",
            path=field.name,
        )
    try:
        return array.cast(field.type)
    except pa.ArrowException as error:
        raise Invalid(
            f"column {field.name!r} is {_named(array.type)}, and not every row is {format_type(field.type)}",
            why=str(error).splitlines()[0],
            path=field.name,
        ) from error


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _loses_nothing(got: pa.DataType, wanted: pa.DataType) -> bool:
    if got == wanted:
        return True
    if _is_list(got) and _is_list(wanted):
        if (
            pa.types.is_fixed_size_list(got)
            and pa.types.is_fixed_size_list(wanted)
            and got.list_size != wanted.list_size
        ):
            return False
        return _loses_nothing(got.value_type, wanted.value_type)
    if pa.types.is_floating(got) and pa.types.is_floating(wanted):
        return bool(got.bit_width <= wanted.bit_width)
    if pa.types.is_integer(got) and pa.types.is_integer(wanted):
        if pa.types.is_signed_integer(got) == pa.types.is_signed_integer(wanted):
            return bool(got.bit_width <= wanted.bit_width)
        return bool(pa.types.is_unsigned_integer(got) and got.bit_width < wanted.bit_width)
    texts = (pa.types.is_string, pa.types.is_large_string)
    if any(is_text(got) for is_text in texts) and any(is_text(wanted) for is_text in texts):
        return True
    if pa.types.is_timestamp(got) and pa.types.is_timestamp(wanted):
        units = ("s", "ms", "us", "ns")
        return bool(got.tz == wanted.tz) and units.index(got.unit) <= units.index(wanted.unit)
    return False


def _named(kind: pa.DataType) -> str:
    try:
        return format_type(kind)
    except Invalid:
        return str(kind)


def _pyarrow_name(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"pa.list_({_pyarrow_name(kind.value_type)}, {kind.list_size})"
    if pa.types.is_list(kind):
        return f"pa.list_({_pyarrow_name(kind.value_type)})"
    return f"pa.{ {'float': 'float32', 'double': 'float64', 'halffloat': 'float16', 'bool': 'bool_'}.get(str(kind), str(kind)) }()"


def _refuse_nulls(array: pa.Array, field: pa.Field) -> None:
    is_list = pa.types.is_nested(field.type) and not pa.types.is_struct(field.type)
    if array.null_count and (is_list or not field.nullable):
        raise null_error(field, f"[{_first_null(array)}].{field.name}")
    if is_list:
        item = field.type.value_field
        values = array.flatten()
        if values.null_count and not (field.nullable and item.nullable):
            raise null_error(field.with_nullable(False), field.name)
        if pa.types.is_nested(values.type):
            _refuse_nulls(values, pa.field(field.name, values.type, nullable=field.nullable and item.nullable))


def _first_null(array: pa.Array) -> int:
    return int(array.is_null().index(True).as_py())
