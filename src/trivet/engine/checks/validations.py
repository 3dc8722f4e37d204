"""The validations of a pipeline, read from what a client sent, with limits for all of them together."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from trivet.domain.pipeline import Validation
from trivet.engine.checks.expressions import Expression, read_expression
from trivet.errors import Conflict, Invalid, TooLarge

__all__ = ["MOST_VALIDATIONS", "RESERVED", "check_validations", "read_validations"]

MOST_VALIDATIONS: Final = 100
"""Each takes about 15 µs of every request, a column of every row of the answer, and a column of the log."""

MOST_NODES: Final = 5000
"""Of all expressions of a pipeline: about 20 ms of a request with one row."""

MOST_POSITIONS: Final = 2000
"""Of all patterns of a pipeline, which are compiled for each request: at most 40 ms."""

MOST_CHARACTERS: Final = 2**20

RESERVED: Final = "count"
"""The column that counts the validations of a row has this name."""


def check_validations(
    validations: Sequence[Validation], kinds: Mapping[str, pa.DataType] = MappingProxyType({})
) -> None:
    """Check that validations could be evaluated over some pipeline's columns.

    Args:
        validations: expressions as `polars.Expr.meta.serialize(format="json")` writes them.
        kinds: the types of the columns, where they are known.

    Raises:
        Invalid: an expression is not one, or uses what validations may not.
        Conflict: two validations have one name.
        TooLarge: there are too many, or they cost too much.
        Unsupported: polars is not installed.
    """
    read_validations(validations, kinds)


def read_validations(validations: Sequence[Validation], kinds: Mapping[str, pa.DataType]) -> dict[str, Expression]:
    """The expressions of validations by name. Raises as `check_validations` does."""
    _limit(len(validations), MOST_VALIDATIONS, "validations", fix="combine conditions with |, or leave some out")
    characters = sum(len(each.expression) for each in validations)
    _limit(characters, MOST_CHARACTERS, "characters of validations", fix="shorten the lists and texts in them")
    expressions: dict[str, Expression] = {}
    nodes = positions = 0
    for each in validations:
        if each.name in expressions:
            raise Conflict(f"two validations are called {each.name!r}", fix="give each its own name")
        try:
            found = expressions[each.name] = read_expression(each.expression, kinds)
        except (Invalid, TooLarge) as error:
            raise type(error)(
                f"validation {each.name!r} cannot be used", why=error.message, fix=error.fix, reason=error.reason
            ) from error
        nodes += found.cost.nodes
        positions += found.cost.positions
        _limit(nodes, MOST_NODES, "operations in its validations", fix="simplify or remove validations")
        _limit(positions, MOST_POSITIONS, "positions in its patterns", fix="simplify or remove patterns")
    return expressions


def _limit(count: int, most: int, what: str, *, fix: str) -> None:
    if count > most:
        raise TooLarge(f"the pipeline has too many {what}", why=f"there are {count}; the limit is {most}", fix=fix)
