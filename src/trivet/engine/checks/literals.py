"""Literals and types in expressions, in the JSON forms of several polars releases."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from trivet.engine.checks.terms import CASTS
from trivet.errors import Invalid, TooLarge

if TYPE_CHECKING:
    import polars as pl

__all__ = ["data_type", "items_of", "literal", "refused", "tagged"]

MOST_ITEMS: Final = 10_000

UNITS: Final = {"Nanoseconds": "ns", "Microseconds": "us", "Milliseconds": "ms"}


def refused(kind: str, why: str | None = None) -> Invalid:
    """The error for something that a validation may not use."""
    return Invalid(
        f"a validation may not use {kind}",
        why=why,
        fix="compare columns of the same row: arithmetic, comparisons, .list, .str, .dt, is_in, is_between, when/then",
        reason="bad_expression",
    )


def tagged(node: Any) -> tuple[str, Any]:
    """The one key of an object with its value; a string is its own key."""
    if isinstance(node, str):
        return node, None
    if not isinstance(node, dict) or len(node) != 1:
        raise TypeError("an object with one key is expected")
    return next(iter(node.items()))


def data_type(node: Any) -> "pl.DataType | type[pl.DataType]":
    """The type that a cast names."""
    import polars as pl

    name, detail = tagged(node)
    if name == "Literal":
        name, detail = tagged(detail)
    name = {"Utf8": "String"}.get(name, name)
    if name in CASTS:
        return getattr(pl, name)  # type: ignore[no-any-return]
    if name == "Datetime":
        unit, zone = detail
        return pl.Datetime(_unit(unit), _zone(zone))
    raise refused(f"a cast to {name}")


def _unit(name: Any) -> Any:
    return UNITS[name]


def _zone(zone: Any) -> str | None:
    name = zone.get("inner") if isinstance(zone, Mapping) else zone
    if name not in (None, "UTC"):
        raise refused(f"the time zone {name}")
    return None if name is None else "UTC"


def literal(node: Any) -> "pl.Expr":
    """A value in the expression itself."""
    import polars as pl

    kind, value = tagged(node)
    if kind == "Scalar":
        # Older releases write the type beside the value.
        kind, value = tagged(value["value"] if isinstance(value, Mapping) and "value" in value else value)
    elif kind == "Dyn":
        kind, value = tagged(value)
    kind = kind.removesuffix("Owned")
    make = _LITERALS.get(kind)
    if make is not None:
        return pl.lit(make(value))
    if kind == "Null":
        return pl.lit(None)
    if kind.startswith("Float") and kind in CASTS:
        return pl.lit(_finite(value), dtype=getattr(pl, kind))
    if kind in CASTS and kind != "Date":
        return pl.lit(_of(int, value), dtype=getattr(pl, kind))
    return _moment(kind, value)


def _moment(kind: str, value: Any) -> "pl.Expr":
    """A date, a time, both, or a duration: a number of units, as polars writes them."""
    import polars as pl

    match kind:
        case "Date":
            return pl.lit(_of(int, value), dtype=pl.Int32).cast(pl.Date)
        case "Time":
            return pl.lit(_of(int, value), dtype=pl.Int64).cast(pl.Time)
        case "Datetime":
            count, unit, zone = value
            return pl.lit(_of(int, count), dtype=pl.Int64).cast(pl.Datetime(_unit(unit), _zone(zone)))
        case "Duration":
            count, unit = value
            return pl.lit(_of(int, count), dtype=pl.Int64).cast(pl.Duration(_unit(unit)))
    raise refused(f"a literal {kind}")


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not a valid {kind.__name__}")
    return value


def _finite(value: Any) -> float:
    if type(value) not in (int, float):
        # JSON cannot hold them: polars writes null.
        raise refused("the numbers NaN and infinity", "their JSON form does not distinguish them")
    return float(value)


def items_of(value: Sequence[int]) -> list[Any]:
    """The items of a list: polars writes them as the bytes of an Arrow stream, without compression.

    Raises:
        Invalid: the list is compressed, or holds what a validation may not use.
        TooLarge: it is too long.
    """
    data = bytes(_of(list, value))
    for message in pa.ipc.MessageReader.open_stream(data):
        if message.type != "schema" and _is_compressed(message.metadata.to_pybytes()):
            raise refused("a compressed list", "its size would be known only once it is decompressed")
    with pa.ipc.open_stream(data) as stream:
        (field,) = stream.schema
        kind = field.type
        plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_date, pa.types.is_string)
        if not (any(is_kind(kind) for is_kind in plain) or kind in (pa.large_string(), pa.string_view(), pa.null())):
            raise refused(f"a list of {kind}")
        table = stream.read_all()
    if table.num_rows > MOST_ITEMS:
        raise TooLarge("the list is too long", why=f"it has {table.num_rows} items", fix=f"{MOST_ITEMS} are taken")
    table.validate(full=True)
    column = table.column(0)
    if kind == pa.string_view():
        held = sum(_viewed_bytes(chunk) for chunk in column.chunks)
        if held > len(data):
            raise TooLarge(
                "the texts of the list are too long",
                why=f"they are {held} bytes, of which the list holds {len(data)}",
                fix="send each text once",
            )
    return column.to_pylist()  # type: ignore[no-any-return]


def _viewed_bytes(chunk: pa.Array) -> int:
    """The lengths of all texts: several views may show the same bytes. A view has 16 bytes and begins with its length."""
    views = np.frombuffer(chunk.buffers()[1], dtype=np.int32)[4 * chunk.offset :][: 4 * len(chunk)]
    return int(views[::4].astype(np.int64).sum())


def _is_compressed(metadata: bytes) -> bool:
    """Whether a message of a record batch names a codec: the third field of the third field. Source: Arrow's Message.fbs."""
    header = _field(metadata, int.from_bytes(metadata[:4], "little"), 2)
    return header is not None and _field(metadata, header + _number(metadata, header, 4), 3) is not None


def _field(flat: bytes, table: int, index: int) -> int | None:
    """Where a flatbuffer's table has a field; None if it has not."""
    vtable = table - _number(flat, table, 4)
    slot = 4 + 2 * index
    offset = _number(flat, vtable + slot, 2) if slot < _number(flat, vtable, 2) else 0
    return table + offset if offset else None


def _number(flat: bytes, at: int, size: int) -> int:
    if not 0 <= at <= len(flat) - size:
        raise ValueError("the list is not an Arrow stream")
    return int.from_bytes(flat[at : at + size], "little", signed=size == 4)


_LITERALS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Int": partial(_of, int),
    "Float": _finite,
    "Boolean": partial(_of, bool),
    "Bool": partial(_of, bool),
    "String": partial(_of, str),
    "Str": partial(_of, str),
    "Utf8": partial(_of, str),
    "List": items_of,
    "Series": items_of,
}
"""Literals that are Python values."""
