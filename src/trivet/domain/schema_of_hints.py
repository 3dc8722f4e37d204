"""The schema that type hints declare: of a function's arguments, or of the members of a dataclass or TypedDict."""

import inspect
import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

from trivet.domain.schema_format import format_schema
from trivet.domain.schema_rules import check_schema
from trivet.domain.schema_text import parse_schema, parse_type
from trivet.errors import Invalid, TrivetError

__all__ = ["schema_of_hints"]

TYPES: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    datetime: pa.timestamp("us"),
    date: pa.date32(),
    timedelta: pa.duration("us"),
}
FIX = "use int, float, str, bool, bytes, datetime, date, numpy's scalar types, list[…], `… | None`, or Annotated[…, 'float32[29]']"


def schema_of_hints(declared: Any) -> pa.Schema:
    """The schema of a function's arguments, or of the members of a dataclass or TypedDict. `… | None` may be null.

    Raises:
        Invalid: an argument has no type hint, or one without a type in schemas.
    """
    try:
        hints = get_type_hints(declared, include_extras=True)
    except Exception as error:
        raise Invalid(f"the type hints of {_name(declared)} cannot be read", why=str(error), fix=FIX) from error
    hints.pop("return", None)
    if not inspect.isclass(declared):
        given = [name for name in inspect.signature(declared).parameters if name != "self"]
        missing = [name for name in given if name not in hints]
        if missing:
            raise Invalid(f"the argument {missing[0]!r} of {_name(declared)} has no type hint", fix=FIX)
    if not hints:
        raise Invalid(f"{_name(declared)} has no type hints", fix=FIX)
    fields = []
    for name, hint in hints.items():
        kind, nullable = _type(name, hint)
        fields.append(pa.field(name, kind, nullable=nullable))
    schema = pa.schema(fields)
    check_schema(schema, which="declared")
    return parse_schema(format_schema(schema))


def _name(declared: Any) -> str:
    return getattr(declared, "__name__", repr(declared))


def _type(name: str, hint: Any) -> tuple[pa.DataType, bool]:
    """A hint's type, and whether it may be null."""
    if get_origin(hint) is Annotated:
        texts = [each for each in hint.__metadata__ if isinstance(each, str)]
        if not texts:
            return _type(name, get_args(hint)[0])
        try:
            return parse_type(texts[0]), False
        except TrivetError as error:
            raise Invalid(f"the type of {name!r} cannot be read: {error.what}", why=error.why, fix=error.fix) from error
    if get_origin(hint) in {Union, types.UnionType}:
        given = [each for each in get_args(hint) if each is not type(None)]
        if len(given) == 1:
            return _type(name, given[0])[0], True
    return _value_type(name, hint), False


def _value_type(name: str, hint: Any) -> pa.DataType:
    if hint in TYPES:
        return TYPES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {list, Sequence} and len(arguments) == 1:
        return pa.list_(_type(name, arguments[0])[0])
    if origin is np.ndarray:
        # `NDArray[np.float32]` says the dtype, and not how many dimensions a row has: one is the usual.
        scalars = get_args(arguments[1])
        return pa.list_(_value_type(name, scalars[0]))
    if inspect.isclass(hint) and issubclass(hint, np.generic):
        try:
            return pa.from_numpy_dtype(np.dtype(hint))
        except pa.ArrowException:
            pass
    if inspect.isclass(hint) and not issubclass(hint, Mapping) and getattr(hint, "__annotations__", None):
        return pa.struct(list(schema_of_hints(hint)))
    raise Invalid(
        f"{name!r} has the type hint {getattr(hint, '__name__', hint)}, which has no type in schemas", fix=FIX
    )
