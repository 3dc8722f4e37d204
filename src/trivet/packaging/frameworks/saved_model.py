"""What a TensorFlow SavedModel says about itself: its release and its signatures, read from the wire format of `saved_model.pb`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from trivet.errors import BadPackage
from trivet.packaging.limits import size_text

__all__ = ["SAVED_MODEL", "SavedModel", "Signature", "read_saved_model"]

SAVED_MODEL: Final = "saved_model.pb"
MAX_BYTES: Final = 1 << 30
MAX_SIGNATURES: Final = 1000
MAX_SIZE: Final = 2**31 - 1

ELEMENTS: Final = {
    1: pa.float32(),
    2: pa.float64(),
    3: pa.int32(),
    4: pa.uint8(),
    5: pa.int16(),
    6: pa.int8(),
    7: pa.string(),
    9: pa.int64(),
    10: pa.bool_(),
    14: pa.float32(),
    17: pa.uint16(),
    19: pa.float16(),
    22: pa.uint32(),
    23: pa.uint64(),
}
"""Arrow types by the numbers of TensorFlow's `DataType`. A bfloat16 is given and answered as float32."""

# Field numbers of the messages SavedModel, MetaGraphDef, MetaInfoDef, SignatureDef, TensorInfo and TensorShapeProto.
_META_GRAPHS, _META_INFO, _SIGNATURES, _TAGS, _RELEASE = 2, 1, 5, 4, 5
_INPUTS, _OUTPUTS, _DTYPE, _SHAPE, _DIMENSIONS, _UNKNOWN_RANK, _SIZE = 1, 2, 2, 3, 2, 3, 1
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """A function of a SavedModel. A schema is None where a tensor has no dimension of rows, or a type that columns do not have."""

    input_schema: pa.Schema | None
    output_schema: pa.Schema | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedModel:
    """The part of a SavedModel that serves.

    Attributes:
        release: of TensorFlow, that wrote it; empty if it does not say so.
        signatures: by name.
    """

    release: str
    signatures: Mapping[str, Signature]


class _Broken(Exception):
    """The bytes are not a message."""


def read_saved_model(path: Path, *, shown: str) -> SavedModel:
    """Read the graph for serving of a SavedModel.

    Args:
        path: its `saved_model.pb`.
        shown: its name in messages.

    Raises:
        BadPackage: it is not such a file, or has no graph for serving.
    """
    size = path.stat().st_size
    why = f"it has {size_text(size)}, and the limit is {size_text(MAX_BYTES)}"
    if size <= MAX_BYTES:
        try:
            return _saved_model(memoryview(path.read_bytes()))
        except _Broken as error:
            why = str(error)
    raise BadPackage(
        f"{shown!r} is not a SavedModel of TensorFlow, or is cut off",
        why=why,
        fix="write it with tf.saved_model.save(model, 'model'), or model.export('model') of Keras, and pack the folder",
        path=shown,
        reason="no_model",
    )


def _saved_model(data: memoryview) -> SavedModel:
    graphs = [value for number, value in _fields(data) if number == _META_GRAPHS]
    for graph in graphs:
        tags, release = set(), ""
        signatures: dict[str, Signature] = {}
        for number, value in _fields(_message(graph)):
            if number == _META_INFO:
                for inner, text in _fields(_message(value)):
                    if inner == _TAGS:
                        tags.add(_text(text))
                    elif inner == _RELEASE:
                        release = _text(text)
            elif number == _SIGNATURES and len(signatures) < MAX_SIGNATURES:
                name, signature = _entry(value)
                signatures[name] = _signature(signature)
        if "serve" in tags:
            return SavedModel(release=release, signatures=signatures)
    raise _Broken("it has no graph with the tag 'serve'" if graphs else "it has no graph")


def _signature(data: memoryview) -> Signature:
    tensors: dict[int, dict[str, memoryview]] = {_INPUTS: {}, _OUTPUTS: {}}
    for number, value in _fields(data):
        if number in tensors:
            name, tensor = _entry(value)
            tensors[number][name] = tensor
    return Signature(input_schema=_schema(tensors[_INPUTS]), output_schema=_schema(tensors[_OUTPUTS]))


def _schema(tensors: Mapping[str, memoryview]) -> pa.Schema | None:
    kinds = {name: _kind(tensors[name]) for name in sorted(tensors)}
    if not kinds or None in kinds.values():
        return None
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def _kind(tensor: memoryview) -> pa.DataType | None:
    """The type of one row; None for a tensor without a dimension of rows."""
    kind: pa.DataType | None = None
    sizes: list[int] = []
    for number, value in _fields(tensor):
        if number == _DTYPE:
            kind = ELEMENTS.get(_number(value))
        elif number == _SHAPE:
            for inner, part in _fields(_message(value)):
                if inner == _UNKNOWN_RANK and _number(part):
                    return None
                if inner == _DIMENSIONS:
                    found = [_number(one) for place, one in _fields(_message(part)) if place == _SIZE]
                    sizes.append(found[-1] if found else 0)
    if kind is None or not sizes:
        return None
    for size in reversed(sizes[1:]):
        if size == 0 or MAX_SIZE < size < 1 << 63:
            return None
        # Free dimensions are -1, as 64 bits.
        kind = pa.list_(kind) if size >= 1 << 63 else pa.list_(kind, size)
    return kind


def _entry(value: "int | memoryview") -> tuple[str, memoryview]:
    """An entry of a map."""
    parts = dict(_fields(_message(value)))
    return _text(parts.get(_KEY, memoryview(b""))), _message(parts.get(_VALUE, memoryview(b"")))


def _fields(data: memoryview) -> Iterator[tuple[int, "int | memoryview"]]:
    """The fields of a message: numbers, and bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            length, at = _varint(data, at)
        if length is None or at + length > len(data):
            raise _Broken("a field is cut off" if length is not None else f"a field has the unknown form {wire}")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index in range(10):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), at + index + 1
    raise _Broken("a number is cut off")


def _message(value: "int | memoryview") -> memoryview:
    if isinstance(value, int):
        raise _Broken("a number is in the place of a message")
    return value


def _number(value: "int | memoryview") -> int:
    if not isinstance(value, int):
        raise _Broken("a message is in the place of a number")
    return value


def _text(value: "int | memoryview") -> str:
    return bytes(_message(value)).decode("utf-8", "replace")
