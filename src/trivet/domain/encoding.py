"""Values as JSON and back, for database rows, files and the sockets between Trivet's own processes."""

import base64
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from trivet.domain.decoders import decoder
from trivet.errors import Internal

__all__ = ["decode", "encode", "schema_from_text", "schema_to_text"]

T = TypeVar("T")


def encode(value: Any) -> bytes:
    """JSON of a value made of frozen structs, dataclasses, enums, dates and Arrow schemas."""
    return msgspec.json.encode(value, enc_hook=_encode_other)


def decode(data: bytes | str, kind: type[T]) -> T:
    """The value that `encode` wrote.

    Raises:
        Internal: the JSON does not describe such a value.
    """
    try:
        return decoder(kind, _decode_other).decode(data)
    except (msgspec.DecodeError, pa.ArrowException, ValueError) as error:
        raise Internal(f"not a valid {getattr(kind, '__name__', kind)}", why=str(error)) from error


def schema_to_text(schema: pa.Schema) -> str:
    """An Arrow schema as base64 of its IPC form, which loses nothing."""
    return base64.b64encode(schema.serialize()).decode("ascii")


def schema_from_text(text: str) -> pa.Schema:
    """The schema that `schema_to_text` wrote.

    Raises:
        ValueError, pa.ArrowException: the text is not a schema.
    """
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text, validate=True)))


def _encode_other(value: Any) -> Any:
    if isinstance(value, pa.Schema):
        return schema_to_text(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


def _decode_other(kind: type, value: Any) -> Any:
    if kind is pa.Schema:
        return schema_from_text(value)
    raise NotImplementedError(f"{kind.__name__} has no JSON form")
