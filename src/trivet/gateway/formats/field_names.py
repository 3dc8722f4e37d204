"""Compares the columns of a request with a model's fields: the same rules for JSON and Arrow."""

import difflib
from collections.abc import Sequence

import pyarrow as pa

from trivet.domain.schema import format_type
from trivet.errors import Invalid

__all__ = ["check_optional_names", "missing_field"]

SHOWN = 8


def check_optional_names(schema: pa.Schema, sent: Sequence[str]) -> None:
    """Refuse a column that looks like a misspelt optional field: it would pass for an absent one.

    Args:
        schema: the model's input schema; all required fields were sent.
        sent: the request's columns.

    Raises:
        Invalid: a column's name is close to that of an absent optional field, or the model has none of the columns.
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
                f"the model has no field {near!r}, and its optional field {name!r} is absent",
                fix=f"rename it to {name!r}, or send {name!r} as well if both are intended",
                path=f"[0].{near}",
            )
    if schema.names and not known & present:
        raise Invalid(
            f"the model has none of the fields {_shown(unknown)}",
            why=f"it takes {_shown(schema.names)}, all optional",
            fix="send at least one of them",
            path="[0]",
        )


def missing_field(field: pa.Field, index: int, unknown: Sequence[str]) -> Invalid:
    """The error for a missing required field; `unknown` are the row's names that the model does not have."""
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
    """The name that is closest, ignoring case."""
    by_folded = {other.casefold(): other for other in reversed(others)}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name[:80]) for name in names[:SHOWN]) + more
