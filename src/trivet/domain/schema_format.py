"""The short text of types and schemas, written. `schema_text` has the grammar, and reads it."""

import json
import re

import pyarrow as pa

__all__ = ["IDENTIFIER", "PRIMITIVES", "ZONE", "format_field", "format_schema", "format_type"]

PRIMITIVES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "date32": pa.date32(),
    "date64": pa.date64(),
}
NAMES = {kind: name for name, kind in PRIMITIVES.items()}
IDENTIFIER = re.compile(r"[^\W\d]\w*")
ZONE = re.compile(r"[A-Za-z0-9_+\-/:]+")


def format_schema(schema: pa.Schema) -> str:
    """The short text of a schema; `parse_schema` returns the same schema from it."""
    return "; ".join(_named_field(field) for field in schema)


def format_field(field: pa.Field) -> str:
    """The short text of a field's type, with `?` where it may be null."""
    return format_type(field.type) + ("?" if field.nullable else "")


def format_type(kind: pa.DataType) -> str:
    """The short text of a type; Arrow's name if schemas do not support it."""
    named = NAMES.get(kind)
    if named:
        return named
    if _length(kind) is not None:
        return _format_list(kind)
    if pa.types.is_struct(kind):
        return f"struct{{{', '.join(_named_field(member) for member in kind)}}}"
    if pa.types.is_timestamp(kind):
        zone = kind.tz or ""
        return f"timestamp[{kind.unit}{', ' if zone else ''}{zone if ZONE.fullmatch(zone) else zone and _quoted(zone)}]"
    if pa.types.is_duration(kind):
        return f"duration[{kind.unit}]"
    if pa.types.is_decimal128(kind) or pa.types.is_decimal256(kind):
        return f"decimal{kind.bit_width}({kind.precision},{kind.scale})"
    if pa.types.is_fixed_size_binary(kind):
        return f"binary({kind.byte_width})"
    return str(kind)


def _named_field(field: pa.Field) -> str:
    name = field.name if IDENTIFIER.fullmatch(field.name) else _quoted(field.name)
    return f"{name}: {format_field(field)}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _length(kind: pa.DataType) -> str | None:
    """A list's length as text; None if the type is not a list."""
    if isinstance(kind, pa.BaseExtensionType):
        return None
    if pa.types.is_fixed_size_list(kind):
        return str(kind.list_size)
    if pa.types.is_large_list(kind):
        return "large"
    return "*" if pa.types.is_list(kind) else None


def _format_list(kind: pa.DataType) -> str:
    """Nested lists with nullable items share one pair of brackets: `int64[32,32,3]`."""
    lengths = []
    item = pa.field("", kind)
    while item.nullable and (length := _length(item.type)) is not None:
        lengths.append(length)
        item = item.type.value_field
    inner = format_type(item.type) + ("" if item.nullable else "!")
    return f"{inner}[{'' if lengths == ['*'] else ','.join(lengths)}]"
