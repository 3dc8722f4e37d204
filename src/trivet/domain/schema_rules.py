"""Which Arrow schemas are supported."""

from collections.abc import Iterator

import pyarrow as pa

from trivet.errors import Invalid

__all__ = [
    "MAX_DEPTH",
    "MAX_FIELDS",
    "MAX_VALUES",
    "TIME_REFUSED",
    "check_names",
    "check_schema",
]

MAX_DEPTH = 8
"""Levels of nested lists and structs."""

MAX_FIELDS = 10_000
"""Fields and members of structs, all together."""

MAX_VALUES = 2**27
"""Values of one row with fixed sizes: a trial sends a model that many zeros."""

TIME_REFUSED = "send times of day as strings: 'string'"

TAKEN = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_duration,
    pa.types.is_decimal128,
    pa.types.is_decimal256,
)


def check_schema(schema: pa.Schema, *, which: str) -> None:
    """Refuse a schema that rows cannot follow.

    Args:
        schema: any Arrow schema.
        which: `input` or `output`, for messages.

    Raises:
        Invalid: it has no fields, an empty name or the same name twice, a type that is not supported (null, time32, time64,
            unions, maps, dictionaries, extension types, views, intervals), or is too deep or too large.
    """
    if not len(schema):
        raise Invalid(f"the {which} schema has no fields", fix="give at least one, like 'tensor: float32[29]'")
    budget = _Budget(which)
    check_names([field.name for field in schema], owner=f"the {which} schema")
    budget.spend(sum(_check(field.type, path=field.name, depth=0, budget=budget) for field in schema))


def check_names(names: list[str], *, owner: str) -> None:
    """Refuse empty names, control characters in names, and duplicate names.

    Raises:
        Invalid: a name is one of these.
    """
    seen: set[str] = set()
    for name in names:
        if not name:
            raise Invalid(f"{owner} has a field without a name", fix="give every field a name")
        if any(ord(character) < 32 or ord(character) == 127 for character in name):
            raise Invalid(f"{owner} has a field {name!r}", why="control characters cannot be part of a name")
        if name in seen:
            raise Invalid(f"{owner} has two fields called {name!r}", fix="give every field its own name")
        seen.add(name)


class _Budget:
    """Counts fields and values over one schema."""

    def __init__(self, which: str) -> None:
        self.which = which
        self.fields = 0

    def spend(self, values: int) -> int:
        if values > MAX_VALUES:
            raise Invalid(
                f"a row of the {self.which} schema would hold {values:,} values",
                why=f"{MAX_VALUES:,} are allowed",
                fix="use smaller fixed sizes, or a list of any length: 'float32[]'",
            )
        return values

    def count(self, fields: int) -> None:
        self.fields += fields
        if self.fields > MAX_FIELDS:
            raise Invalid(
                f"the {self.which} schema has more than {MAX_FIELDS:,} fields",
                fix="put values of one type into one field: 'float32[20000]'",
            )


def _check(kind: pa.DataType, *, path: str, depth: int, budget: _Budget) -> int:
    """How many values of `kind` one row holds; lists of any length count as one item."""
    budget.count(1)
    if depth > MAX_DEPTH:
        raise Invalid(
            f"field {path!r} of the {budget.which} schema is nested too deeply",
            why=f"{MAX_DEPTH} nested lists and structs are allowed",
        )
    if pa.types.is_fixed_size_list(kind):
        inner = _check(kind.value_type, path=path, depth=depth + 1, budget=budget)
        return budget.spend(_size(kind.list_size, path, budget) * inner)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _check(kind.value_type, path=path, depth=depth + 1, budget=budget)
    if pa.types.is_struct(kind):
        return _check_members(list(kind), path=path, depth=depth, budget=budget)
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return budget.spend(_size(kind.byte_width, path, budget))
    for why, fix in _refusals(kind):
        raise Invalid(
            f"field {path!r} of the {budget.which} schema is {kind}, which is not supported", why=why, fix=fix
        )
    return 1


def _check_members(members: list[pa.Field], *, path: str, depth: int, budget: _Budget) -> int:
    if not members:
        raise Invalid(f"field {path!r} of the {budget.which} schema is a struct without members")
    check_names([member.name for member in members], owner=f"the struct {path!r}")
    return sum(_check(member.type, path=f"{path}.{member.name}", depth=depth + 1, budget=budget) for member in members)


def _size(size: int, path: str, budget: _Budget) -> int:
    if size < 1:
        raise Invalid(
            f"field {path!r} of the {budget.which} schema has a fixed size of {size}", fix="use a size of 1 or more"
        )
    return size


def _refusals(kind: pa.DataType) -> Iterator[tuple[str | None, str | None]]:
    """Why a type is refused and what to use instead; nothing if it is supported."""
    if isinstance(kind, pa.BaseExtensionType):
        yield "extension types are not supported", f"use its storage type: {kind.storage_type}"
    elif pa.types.is_time(kind):
        yield None, TIME_REFUSED
    elif pa.types.is_null(kind):
        yield "it only holds nulls", "give the type of the values, and '?' if they may be null"
    elif pa.types.is_dictionary(kind):
        yield "dictionaries are not supported", f"use the type of its values: {kind.value_type}"
    elif pa.types.is_map(kind):
        yield "maps are not supported", "use a list of structs: 'struct{key: string, value: float64}[]'"
    elif not any(taken(kind) for taken in TAKEN):
        yield None, "use a list, a struct, a number, string, binary, date, timestamp, duration or decimal128"
