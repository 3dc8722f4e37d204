"""Converts one decoded JSON value for one Arrow type, or says why it does not fit."""

import base64
import datetime
import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from trivet_worker.tensors import numpy_dtype

__all__ = ["Refused", "scalar_converter"]

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)


class Refused(Exception):
    """A scalar that does not fit; the text, if any, says why."""


def scalar_converter(kind: pa.DataType) -> Callable[[Any], Any]:
    """A function that converts a decoded JSON value into one that pyarrow accepts, or raises `Refused`."""
    if pa.types.is_boolean(kind):
        return lambda value: value if isinstance(value, bool) else _refuse()
    if pa.types.is_integer(kind):
        info = np.iinfo(numpy_dtype(kind))
        return lambda value: _integer(value, int(info.min), int(info.max))
    if pa.types.is_floating(kind):
        return lambda value: _real(value, float(np.finfo(numpy_dtype(kind)).max))
    if pa.types.is_timestamp(kind):
        return lambda value: _timestamp(value, kind)
    if pa.types.is_date(kind):
        return _date
    if pa.types.is_duration(kind):
        return lambda value: _duration(value, kind)
    if pa.types.is_decimal(kind):
        return lambda value: _decimal(value, kind)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return lambda value: _bytes(value, kind)
    return lambda value: value if isinstance(value, str) else _refuse()


def _refuse(why: str = "") -> NoReturn:
    raise Refused(why)


def _integer(value: Any, low: int, high: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse()
    if not low <= value <= high:
        _refuse(f"it must lie between {low} and {high}")
    return int(value)


def _real(value: Any, largest: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _refuse()
    try:
        real = float(value)
    except OverflowError:
        real = math.inf
    if abs(real) > largest:
        _refuse(f"it is beyond ±{largest:.6g}")
    return real


def _timestamp(value: Any, kind: pa.TimestampType) -> int:
    """In the type's unit since 1970. Text without an offset is UTC, and so is a type without a zone."""
    if isinstance(value, int) and not isinstance(value, bool):
        # pandas writes epoch milliseconds.
        nanoseconds = value * 10**6
    elif isinstance(value, str):
        nanoseconds = _nanoseconds(value)
    else:
        _refuse()
    units = nanoseconds // NANOSECONDS[kind.unit]
    if not -(2**63) < units < 2**63:
        _refuse("it is too far from 1970")
    return units


def _nanoseconds(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        _refuse(f"send ISO 8601, or milliseconds since 1970: {error}")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    # Python drops what is beyond microseconds.
    beyond = re.search(r"[.,]\d{6}(\d{1,3})", text)
    return (moment - EPOCH) // MICROSECOND * 1000 + (int(beyond[1].ljust(3, "0")) if beyond else 0)


def _date(value: Any) -> datetime.date:
    if not isinstance(value, str):
        _refuse()
    try:
        return datetime.date.fromisoformat(value)
    except ValueError as error:
        _refuse(f"send ISO 8601, such as 2024-02-29: {error}")


def _duration(value: Any, kind: pa.DurationType) -> int:
    """In the type's unit; it is sent as seconds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        _refuse()
    ticks = 10**9 // NANOSECONDS[kind.unit]
    if not -(2**63) < value * ticks < 2**63:
        _refuse("it is too long")
    return value * ticks if isinstance(value, int) else round(value * ticks)


def _decimal(value: Any, kind: pa.DataType) -> Decimal:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        _refuse()
    try:
        decimal = Decimal(str(value))
        pa.scalar(decimal, kind)
    except InvalidOperation:
        _refuse("send a number, or a string that holds one")
    except (pa.ArrowException, ValueError) as error:
        _refuse(str(error))
    return decimal


def _bytes(value: Any, kind: pa.DataType) -> bytes:
    if not isinstance(value, str):
        _refuse()
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        _refuse("bytes are sent as base64")
    if pa.types.is_fixed_size_binary(kind) and len(decoded) != kind.byte_width:
        _refuse(f"it is {len(decoded)} bytes long")
    return decoded
