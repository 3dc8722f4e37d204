"""Rows made up from a schema that differ from each other, in several kinds: a model that refuses one kind may answer another."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trivet.engine.batch import Batch
from trivet_worker.tensors import to_arrow, to_numpy

__all__ = ["KINDS", "Kind", "made_up"]

NEAR = 0.1
MOST_REPEATS = 3
NULL_EVERY = 3

Random = np.random.Generator
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of made-up values.

    Attributes:
        floats, integers: draw so many.
        words: strings, of which each row gets one.
        near: keep to the values of the template, with small differences.
        nulls: leave some values out, where a field may be null.
        ragged: let lists of any length have several lengths.
    """

    floats: Callable[[Random, int], np.ndarray]
    integers: Callable[[Random, int], np.ndarray]
    words: tuple[str, ...] = ("a", "be", "some words", "Zürich", "x1", "other", "")
    near: bool = False
    nulls: bool = False
    ragged: bool = False


def _units(random: Random, count: int) -> np.ndarray:
    return random.random(count)


def _spread(random: Random, count: int) -> np.ndarray:
    """Numbers of several magnitudes, none beyond what two bytes hold."""
    return np.clip(random.normal(0.0, 1.0, count) * 10 ** random.uniform(-3, 4, count), -60_000, 60_000)


def _bits(random: Random, count: int) -> np.ndarray:
    return random.integers(0, 2, count)


def _signed(random: Random, count: int) -> np.ndarray:
    return random.normal(0.0, 3.0, count)


def _digits(random: Random, count: int) -> np.ndarray:
    return random.integers(0, 10, count)


NUMERALS = ("1", "2", "3", "10", "0", "25")
DATES = ("2000-01-01", "2001-06-15", "2012-12-31", "2020-02-29", "1999-07-04")

KINDS = (
    Kind(_signed, _digits),
    Kind(_units, _bits, words=NUMERALS),
    Kind(
        lambda random, count: random.normal(0.0, 1000.0, count), lambda random, count: random.integers(-99, 100, count)
    ),
    Kind(_units, _bits, words=DATES, near=True),
    Kind(lambda random, count: random.normal(0.0, 0.01, count), _digits, words=DATES),
    Kind(_signed, _digits, nulls=True),
    Kind(_signed, _digits, ragged=True),
)
"""The kinds that are tried, those that most models answer first."""


def made_up(template: Batch, rows: int, kind: Kind, random: Random) -> Batch:
    """Rows of a schema.

    Args:
        template: one row of it; lists get its lengths.
        rows: how many.
        kind: of values.
        random: draws them.
    """
    arrays: list[pa.Array] = []
    for index, field in enumerate(template.schema):
        array = _copies(field.type, template.arrow(index), rows, kind, random)
        if kind.nulls and field.nullable:
            kept = [None if (row + index) % NULL_EVERY == 0 else row for row in range(rows)]
            array = array.take(pa.array(kept, pa.int64()))
        arrays.append(array)
    return Batch.of_record_batch(pa.RecordBatch.from_arrays(arrays, schema=template.schema))


def _copies(type_: pa.DataType, template: pa.Array, copies: int, kind: Kind, random: Random) -> pa.Array:
    """An array with the entries of a template so many times, in its form, with other values."""
    if template.null_count:
        return pa.concat_arrays([template] * copies)
    if pa.types.is_fixed_size_list(type_):
        values = _copies(type_.value_type, template.flatten(), copies, kind, random)
        return pa.FixedSizeListArray.from_arrays(values, type=type_)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _lists(type_, template, copies, kind, random)
    if pa.types.is_struct(type_):
        children = [
            _copies(type_.field(index).type, template.field(index), copies, kind, random)
            for index in range(type_.num_fields)
        ]
        return pa.StructArray.from_arrays(children, fields=list(type_))
    return _leaf(type_, template, copies, kind, random)


def _lists(type_: pa.DataType, template: pa.Array, copies: int, kind: Kind, random: Random) -> pa.Array:
    lengths = np.tile(pc.list_value_length(template).to_numpy(zero_copy_only=False), copies)
    times = copies
    if kind.ragged and len(template) == 1:
        repeats = 1 + np.arange(copies) % MOST_REPEATS
        lengths, times = lengths * repeats, int(repeats.sum())
    values = _copies(type_.value_type, template.flatten(), times, kind, random)
    large = pa.types.is_large_list(type_)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64() if large else pa.int32())
    return (pa.LargeListArray if large else pa.ListArray).from_arrays(offsets, values, type=type_)


def _leaf(type_: pa.DataType, template: pa.Array, copies: int, kind: Kind, random: Random) -> pa.Array:
    count, field = len(template) * copies, pa.field("", type_, nullable=False)
    if pa.types.is_floating(type_):
        values = kind.floats(random, count)
        if kind.near:
            own = np.tile(to_numpy(template, field, writable=False).astype(np.float64), copies)
            values = own * (1 + NEAR * values) + NEAR * values
        return to_arrow(values.astype(type_.to_pandas_dtype()), field)
    integers = kind.integers(random, count)
    if pa.types.is_integer(type_):
        if kind.near:
            # Beyond the range of the type there is no neighbour; there the template's value stays.
            own = np.tile(to_numpy(template, field, writable=False), copies)
            top = np.iinfo(own.dtype).max
            integers = np.where(own < top - 9, own + integers.astype(own.dtype), own)
        elif pa.types.is_unsigned_integer(type_):
            integers = np.abs(integers)
        return to_arrow(integers.astype(type_.to_pandas_dtype()), field)
    if pa.types.is_boolean(type_):
        return to_arrow(random.integers(0, 2, count).astype(bool), field)
    return _other(type_, integers, kind)


def _other(type_: pa.DataType, integers: np.ndarray, kind: Kind) -> pa.Array:
    """Text, bytes, decimals and times, one for each integer."""
    positive = np.abs(integers)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        # In their order, so that few rows have the same.
        return pa.array([kind.words[index % len(kind.words)] for index in range(len(integers))], type_)
    if pa.types.is_fixed_size_binary(type_) and not pa.types.is_decimal(type_):
        return pa.array([bytes([value % 256]) * type_.byte_width for value in range(len(integers))], type_)
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_):
        return pa.array([b"%d" % value for value in positive], type_)
    if pa.types.is_decimal(type_):
        most = 10 ** (type_.precision - max(type_.scale, 0))
        return pa.array([Decimal(int(value) % most if most > 1 else 0) for value in positive], type_)
    if pa.types.is_date32(type_):
        return pa.array((10_000 + 31 * positive).astype(np.int32), pa.int32()).cast(type_)
    if pa.types.is_date64(type_):
        return pa.array(86_400_000 * (10_000 + 31 * positive), pa.int64()).cast(type_)
    return pa.array(_ticks(type_) * (3_600 + 61 * positive), pa.int64()).cast(type_)


def _ticks(type_: Any) -> int:
    """How many units of a timestamp or duration a second has."""
    return {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[type_.unit]
