"""Arrow columns as values with a JSON form, for every type and range.

Arrow's own Python values do not suffice: they end at the year 9999, have no nanoseconds, and look up time zones by name.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["json_values"]

SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def json_values(array: pa.Array) -> list[Any]:
    """One value for each row: numbers, text, lists, dicts and None; bytes and decimals unchanged.

    Dates and times are ISO 8601 text (in UTC, marked `Z`, where the type has a zone), durations are seconds.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return json_values(array.storage)
    if pa.types.is_timestamp(kind):
        # A cast between zones changes only the type, so an unknown zone does no harm.
        plain = array if kind.tz is None else array.cast(pa.timestamp(kind.unit, "UTC"))
        return [None if text is None else _t(text) for text in plain.cast(pa.string()).to_pylist()]
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return array.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_duration(kind):
        ticks = SECONDS[kind.unit]
        return [None if count is None else count / ticks for count in array.cast(pa.int64()).to_pylist()]
    if pa.types.is_struct(kind):
        return _structs(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(array)
    return array.to_pylist()  # type: ignore[no-any-return]


def _t(text: str) -> str:
    """With a T between date and time, if the text has both."""
    return text if text.startswith("<") else text.replace(" ", "T", 1)


def _structs(array: pa.Array) -> list[Any]:
    names = [array.type.field(index).name for index in range(array.type.num_fields)]
    members = [json_values(member) for member in array.flatten()]
    rows = zip(*members, strict=True) if members else [()] * len(array)
    return [
        dict(zip(names, row, strict=True)) if there else None
        for row, there in zip(rows, array.is_valid().to_pylist(), strict=True)
    ]


def _lists(array: pa.Array) -> list[Any]:
    items = json_values(array.flatten())
    rows: list[Any] = []
    start = 0
    for length in pc.list_value_length(array).to_pylist():
        if length is None:
            rows.append(None)
        else:
            rows.append(items[start : start + length])
            start += length
    return rows
