"""The second decoder of pandas-records: accepts all that the schema allows, and explains errors.

It accepts nulls in nullable fields, absent nullable fields, unknown columns, and types whose JSON form is text (dates,
timestamps, decimals, bytes).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.engine.batch import Column, join_columns
from trivet.errors import Invalid
from trivet.gateway.allowance import Allowance
from trivet.gateway.formats.field_names import check_optional_names, missing_field
from trivet.gateway.formats.json_columns import ColumnBuilder, list_of
from trivet.gateway.formats.json_pieces import PIECE_BYTES, row_groups
from trivet.gateway.formats.json_scalars import Refused, scalar_converter
from trivet.gateway.formats.widths import row_bytes
from trivet_worker.tensors import element_type, fixed_shape, numpy_dtype

__all__ = ["LenientDecoder", "null_error"]

decode_rows = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
decode_value = msgspec.json.Decoder().decode

POINTER_BYTES = 8
ROWS_AT_ONCE = 4096
FORMAT = 'send a list of records, [{"field": value, …}, …] (pandas: df.to_json(orient="records"))'


class LenientDecoder:
    """Decodes pandas-records for one schema."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._plain = {
            field.name: (msgspec.json.Decoder(list_of(field.type)).decode, ColumnBuilder(field)) for field in schema
        }

    def decode(self, body: bytes, allowance: Allowance) -> tuple[list[Column], int, list[bytes]]:
        """Rows in a request's body.

        Returns:
            The columns of the schema, the number of rows, and each row's text.

        Raises:
            Invalid: naming the row and field, what was expected and what came.
            TooLarge: fields that the rows leave out would take far more bytes than the body has.
        """
        rows = _rows(body)
        self._check_names(rows)
        for field in self._schema:
            left_out = sum(field.name not in row for row in rows)
            if left_out:
                _spend_absent(field, len(rows), allowance)
        columns = [self._column(field, rows) for field in self._schema]
        texts = [
            b"{" + b",".join(msgspec.json.encode(k) + b":" + bytes(v) for k, v in row.items()) + b"}" for row in rows
        ]
        while rows:
            # To free a million rows at once holds Python's lock for half a second.
            del rows[-ROWS_AT_ONCE:]
        return columns, len(texts), texts

    def _check_names(self, rows: Sequence[dict[str, msgspec.Raw]]) -> None:
        known = set(self._schema.names)
        unknown = [name for name in rows[0] if name not in known]
        optional = {field.name for field in self._schema if field.nullable}
        for index, row in enumerate(rows):
            for name in self._schema.names:
                if name not in row and name not in optional:
                    raise missing_field(self._schema.field(name), index, [name for name in row if name not in known])
            extra = [name for name in row if name not in known]
            if extra != unknown and set(extra) != set(unknown):
                odd = next(iter(set(extra) ^ set(unknown)))
                raise Invalid(
                    f"row {index} {'has' if odd in row else 'lacks'} the field {odd!r}, and row 0 does not"
                    if odd in row
                    else f"row {index} lacks the field {odd!r}, and row 0 has it",
                    why="a column that the model does not have is returned unchanged, so every row must have it",
                    fix=f"send {odd!r} in every row or in none",
                    path=f"[{index}]",
                )
        check_optional_names(self._schema, list(dict.fromkeys(name for row in rows for name in row)))

    def _column(self, field: pa.Field, rows: Sequence[dict[str, msgspec.Raw]]) -> Column:
        plain = self._plain_column(field, rows)
        if plain is not None:
            return plain
        values: list[Any] = []
        is_list = _is_list(field.type)
        convert = _converter(field.type, nulls=field.nullable)
        for index, row in enumerate(rows):
            raw = row.get(field.name)
            if raw is None:
                values.append([] if is_list and not pa.types.is_fixed_size_list(field.type) else None)
                continue
            try:
                value = decode_value(raw)
                if value is None:
                    if not field.nullable or is_list:
                        raise null_error(field, f"[{index}].{field.name}")
                    values.append(None)
                else:
                    values.append(convert(value, f"[{index}].{field.name}"))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise Invalid(
                    f"the value of {field.name!r} cannot be read",
                    why=str(error),
                    fix=f"send a {format_type(field.type)}",
                    path=f"[{index}].{field.name}",
                ) from error
        return _assemble(field, values)

    def _plain_column(self, field: pa.Field, rows: Sequence[dict[str, msgspec.Raw]]) -> Column | None:
        """The column in one step, if all of its values are plain."""
        raws = [row[field.name] for row in rows if field.name in row]
        if len(raws) != len(rows):
            return None
        decode, builder = self._plain[field.name]
        rows_each = max(1, PIECE_BYTES * len(raws) // max(1, sum(map(len, raws))))
        columns: list[Column] = []
        try:
            for start in range(0, len(raws), rows_each):
                column = builder.build(decode(b"[" + b",".join(raws[start : start + rows_each]) + b"]"))
                if column is None:
                    return None
                columns.append(column)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return columns[0] if len(columns) == 1 else join_columns(columns, field)


def _spend_absent(field: pa.Field, rows: int, allowance: Allowance) -> None:
    allowance.spend(
        rows * (POINTER_BYTES + row_bytes(field.type)),
        f"the column {field.name!r} is too large for {rows} rows that leave it out",
        fix="send fewer rows at once",
        path=field.name,
    )


def null_error(field: pa.Field, path: str) -> Invalid:
    """The error for a null where the schema allows none; the first words are the reference's."""
    if pa.types.is_fixed_size_list(field.type) and field.nullable:
        fix = f"a list itself is never null: send {format_type(field.type)}, with nulls inside it or not, or leave the field out"
    elif _is_list(field.type) and field.nullable:
        fix = "a list itself is never null: send an empty list [], or a list of nulls such as [null]"
    else:
        fix = f"send a {format_type(field.type)} in every row; only a field declared nullable (type?) takes null"
        if pa.types.is_floating(element_type(field.type)):
            fix += ". NaN is null in JSON: to send NaN, use Arrow"
    return Invalid("tensor values may not be null", why=f"{field.name!r} has a null", fix=fix, path=path)


def _rows(body: bytes) -> list[dict[str, msgspec.Raw]]:
    if not body.strip():
        raise Invalid("the body is empty", fix=FORMAT)
    try:
        str(body, "utf-8")
        rows = _decoded(body)
    except UnicodeDecodeError as error:
        raise Invalid(
            "the body is not valid UTF-8",
            why=f"byte {error.start} is {body[error.start]:#04x}",
            fix="send JSON as UTF-8",
        ) from error
    except RecursionError as error:
        raise Invalid("the body is nested too deeply", fix=FORMAT) from error
    except msgspec.ValidationError as error:
        what, path = _located(str(error))
        raise Invalid("the body is not a list of records", why=what, fix=FORMAT, path=path or None) from error
    except msgspec.DecodeError as error:
        fix = FORMAT
        if re.search(rb"\b(NaN|Infinity)\b", body):
            fix = "JSON has no NaN or Infinity: send null where the field is nullable, or send Arrow"
        raise Invalid(
            "the body is not valid JSON", why=str(error).removeprefix("JSON is malformed: "), fix=fix
        ) from error
    if not rows:
        raise Invalid("the request has no rows", fix="send at least one record")
    return rows


def _decoded(body: bytes) -> list[dict[str, msgspec.Raw]]:
    try:
        return [row for rows in row_groups(body, decode_rows) for row in rows]
    except (msgspec.MsgspecError, RecursionError):
        return decode_rows(body)  # its error counts rows and bytes from the body's start


def _located(message: str) -> tuple[str, str]:
    """Split msgspec's `Expected `int`, got `str` - at `$[0].a`` into what and where."""
    found = re.fullmatch(r"(.*?)(?: - at `\$?(.*)`)?", message, flags=re.DOTALL)
    assert found is not None
    return found[1].replace("`", ""), (found[2] or "").replace("[...]", "")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


_Convert: TypeAlias = Callable[[Any, str], Any]


def _converter(kind: pa.DataType, *, nulls: bool) -> _Convert:
    """A function that checks a decoded JSON value against an Arrow type and converts it for pyarrow."""
    if _is_list(kind):
        return _list_converter(kind, nulls=nulls)
    if pa.types.is_struct(kind):
        return _struct_converter(kind)
    scalar = scalar_converter(kind)

    def convert(value: Any, path: str) -> Any:
        try:
            return scalar(value)
        except Refused as refusal:
            raise _expected(kind, value, path, why=str(refusal) or None) from None

    return convert


def _list_converter(kind: pa.DataType, *, nulls: bool) -> _Convert:
    item = kind.value_field
    takes_null = nulls and item.nullable
    convert_item = _converter(item.type, nulls=takes_null)
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else None

    def convert(value: Any, path: str) -> Any:
        if size == 1 and not isinstance(value, list | dict):
            # Exporters turn each column of a table into a tensor of width 1, and clients with a table send numbers.
            value = [value]
        if not isinstance(value, list):
            raise _expected(kind, value, path)
        if size is not None and len(value) != size:
            raise Invalid(
                f"expected {size} values, got {len(value)}",
                fix=f"send {format_type(kind)}",
                path=path,
            )
        converted: list[Any] = []
        for index, entry in enumerate(value):
            if entry is None:
                if not takes_null:
                    raise null_error(pa.field(path.partition(".")[2], kind, nullable=False), f"{path}[{index}]")
                converted.append(None)
            else:
                converted.append(convert_item(entry, f"{path}[{index}]"))
        return converted

    return convert


def _struct_converter(kind: pa.StructType) -> _Convert:
    members = [kind.field(index) for index in range(kind.num_fields)]
    converters = {member.name: _converter(member.type, nulls=member.nullable) for member in members}

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _expected(kind, value, path)
        for name in value:
            if name not in converters:
                raise Invalid(
                    f"{name!r} is not a member of {format_type(kind)}", fix="leave it out", path=f"{path}.{name}"
                )
        converted: dict[str, Any] = {}
        for member in members:
            entry = value.get(member.name)
            if entry is None:
                if not member.nullable:
                    raise null_error(member, f"{path}.{member.name}")
                converted[member.name] = None
            else:
                converted[member.name] = converters[member.name](entry, f"{path}.{member.name}")
        return converted

    return convert


def _expected(kind: pa.DataType, value: Any, path: str, *, why: str | None = None) -> Invalid:
    if value is None:
        got = "null"
    elif isinstance(value, bool):
        got = "a boolean"
    elif isinstance(value, int | float):
        got = "a number" if why is None else "a number that does not fit"
    elif isinstance(value, str):
        got = "a string" if why is None else "a string that does not fit"
    else:
        got = "a list" if isinstance(value, list) else "an object"
    return Invalid(f"expected {format_type(kind)}, got {got}", why=why, fix=f"send a {format_type(kind)}", path=path)


def _assemble(field: pa.Field, values: list[Any]) -> Column:
    element, shape = numpy_dtype(element_type(field.type)), fixed_shape(field.type)
    if element is not None and element.kind in "biuf" and shape is not None and not _holds_none(values):
        return np.array(values, dtype=element).reshape(len(values), *shape)
    try:
        return pa.array(values, type=field.type)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise Invalid(
            f"the values of {field.name!r} are not {format_type(field.type)}", why=str(error), path=field.name
        ) from error


def _holds_none(values: Any) -> bool:
    if isinstance(values, list):
        return any(_holds_none(value) for value in values)
    return values is None
