"""Whether the columns of a request are those that a model takes: the same rules for JSON and Arrow."""

import difflib
from collections.abc import Sequence

import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.errors import Invalid

__all__ = ["check_optional_names", "missing_field"]

SHOWN = 8


def check_optional_names(schema: pa.Schema, sent: Sequence[str]) -> None:
    """A misspelt optional field would pass for an absent one: what looks like that is refused.

    Args:
        schema: what the model takes; the fields that are not optional are there.
        sent: the request's columns.

    Raises:
        Invalid: a column has nearly the name of an optional field that is absent, or none is one that the model knows.
    """
    known = set(schema.names)
    unknown = [name for name in sent if name not in known]
    if not unknown:
        return
    present = set(sent)
    for name in schema.names:
        near = None if name in present else _nearest(name, unknown, cutoff=0.8)
        if near is not None:
            raise Invalid(
                f"the model knows no field {near!r}, and its optional field {name!r} is absent",
                fix=f"rename it to {name!r}, or send {name!r} as well if both are meant",
                path=f"[0].{near}",
            )
    if schema.names and not known & present:
        raise Invalid(
            f"the model knows none of the fields {_shown(unknown)}",
            why=f"it takes {_shown(schema.names)}, all of them optional",
            fix="send at least one that it knows",
            path="[0]",
        )


def missing_field(field: pa.Field, index: int, unknown: Sequence[str]) -> Invalid:
    """A field that a row must have; `unknown` are the names that the row has instead."""
    kind = format_type(field.type)
    near = _nearest(field.name, unknown, cutoff=0.5) or (unknown[0] if len(unknown) == 1 else None)
    fix = f"send {field.name!r}: {kind} in every row"
    if pa.types.is_fixed_size_list(field.type) and field.type.list_size == len(unknown) > 1:
        fix = f"put {_shown(unknown)} into one list: {{{field.name!r}: [{len(unknown)} values]}}"
        fix += f" (pandas: pd.DataFrame({{{field.name!r}: df.to_numpy().tolist()}}))"
    elif near is not None:
        fix = f"rename {near!r} to {field.name!r}, or {fix}"
    return Invalid(f"row {index} lacks the field {field.name!r}", fix=fix, path=f"[{index}]")


def _nearest(name: str, others: Sequence[str], *, cutoff: float) -> str | None:
    """The name that somebody may have meant, whatever its case."""
    by_folded = {other.casefold(): other for other in reversed(others)}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name[:80]) for name in names[:SHOWN]) + more
