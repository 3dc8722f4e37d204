"""Columns as JSON text, row by row.

Numbers are written by orjson straight from numpy: float32 values with the fewest digits that give the same float32 back,
integers exactly at any size. NaN and the infinities become `null`, because JSON cannot hold them; a client that has to
distinguish them requests Arrow.
"""

import base64
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from trivet.engine.batch import Batch, Column
from trivet.gateway.formats.json_values import json_values
from trivet_worker.tensors import element_type

__all__ = ["column_texts", "dumps", "row_texts"]

OPTIONS = orjson.OPT_SERIALIZE_NUMPY
# About a millisecond of work.
NUMBERS_AT_ONCE = 2**15


def row_texts(batch: Batch, index: int) -> tuple[bytes, list[bytes], bytes]:
    """Column `index` as text, split by rows.

    Returns:
        The prefix of each row's text, the texts, and the suffix of each: `[`, [`1,2`, `3,4`], `]`.
    """
    column = batch.columns[index]
    if not _is_numeric(column):
        return b"", [dumps(value) for value in _plain(batch, index)], b""
    values = batch.numpy(index)
    if values.dtype == object:
        # Numbers with nulls among them.
        return b"", [dumps(value) for value in _plain(batch, index)], b""
    values = np.ascontiguousarray(values)
    if batch.rows == 1:
        return b"", [_dumped(values)[1:-1]], b""
    if values.size == 0:
        return b"", [orjson.dumps(row.tolist()) for row in values], b""
    depth = values.ndim - 1
    opening, closing = b"[" * depth, b"]" * depth
    rows_each = max(1, NUMBERS_AT_ONCE * len(values) // values.size)
    texts: list[bytes] = []
    for start in range(0, len(values), rows_each):
        text = _dumped(values[start : start + rows_each])
        texts += text[1 + depth : len(text) - 1 - depth].split(closing + b"," + opening)
    return opening, texts, closing


def _dumped(values: np.ndarray) -> bytes:
    """An array as JSON, some thousand numbers at a time: orjson holds Python's lock until it has finished."""
    if values.size <= NUMBERS_AT_ONCE or values.ndim == 0:
        return orjson.dumps(values, option=OPTIONS)
    if values.ndim == 1:
        parts = (values[start : start + NUMBERS_AT_ONCE] for start in range(0, len(values), NUMBERS_AT_ONCE))
        return b"[" + b",".join([orjson.dumps(part, option=OPTIONS)[1:-1] for part in parts]) + b"]"
    return b"[" + b",".join([_dumped(part) for part in values]) + b"]"


def column_texts(batch: Batch, index: int) -> list[bytes]:
    """Column `index`: the JSON text of each row's value."""
    before, texts, after = row_texts(batch, index)
    return [before + text + after for text in texts]


def _is_numeric(column: Column) -> bool:
    if isinstance(column, np.ndarray):
        return column.dtype.kind in "biuf"
    kind = element_type(column.type)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _plain(batch: Batch, index: int) -> list[Any]:
    column = batch.columns[index]
    if isinstance(column, np.ndarray) and column.dtype == object:
        return column.tolist()  # type: ignore[no-any-return]
    return json_values(batch.arrow(index))


def dumps(value: Any) -> bytes:
    """The JSON text of one value: base64 for bytes, text for decimals."""
    return orjson.dumps(value, default=_default, option=OPTIONS)


def _default(value: Any) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case Decimal():
            return str(value)
        case np.ndarray():
            return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
