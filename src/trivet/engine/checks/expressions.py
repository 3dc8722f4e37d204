"""Rebuilds a polars expression from its JSON form.

polars can read its own JSON. It would also read Python functions (which are pickles), plugins (which are shared libraries),
plans that open files, and unchecked buffers: a client must not send these. So the text is read here, with a list of what is
allowed, and the expression is rebuilt with polars' public interface. That also reads the JSON of other releases of polars,
which differs in form but hardly in its names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from trivet.engine.checks.cost import Cost, cost_of, function_name
from trivet.engine.checks.literals import data_type, literal, refused, tagged
from trivet.engine.checks.terms import AGGREGATES, FUNCTIONS, OPERATORS
from trivet.errors import Invalid, TooLarge, Unsupported

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Expression", "read_expression"]

MOST_BYTES: Final = 2**18

_MALFORMED: Final = (
    *(TypeError, ValueError, IndexError, AttributeError, KeyError, OverflowError),
    pa.ArrowException,
)
"""What reading raises for JSON of another form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """An expression that may be evaluated.

    Attributes:
        expr: what polars evaluates.
        columns: those that it uses: `in.<name>` and `out.<name>`.
        cost: for each row.
    """

    expr: "pl.Expr"
    columns: frozenset[str]
    cost: Cost


def read_expression(text: str, kinds: Mapping[str, pa.DataType] = MappingProxyType({})) -> Expression:
    """Read an expression from polars' JSON form.

    Args:
        text: the JSON.
        kinds: the types of its columns, where they are known.

    Raises:
        Invalid: it is not an expression, or uses what validations may not.
        TooLarge: it is too large, or would cost too much.
        Unsupported: polars is not installed.
    """
    if len(text) > MOST_BYTES:
        raise TooLarge(
            "the expression is too long", why=f"it has {len(text)} characters", fix=f"{MOST_BYTES} are taken"
        )
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _not_one(f"it is not JSON: {error}") from error
    try:
        # Before polars is imported, which takes 30 MiB: an expression that is refused costs nothing.
        cost = cost_of(tree, kinds)
    except _MALFORMED as error:
        raise _not_one(str(error).partition("\n")[0] or type(error).__name__) from error
    try:
        import polars as pl
    except ImportError as error:
        raise Unsupported(
            "validations need polars",
            why="it is not installed with the platform",
            fix="pip install 'trivet[validations]'",
        ) from error
    reader = _Reader()
    try:
        expr = reader.read(tree)
    except (*_MALFORMED, pl.exceptions.PolarsError) as error:
        raise _not_one(str(error).partition("\n")[0] or type(error).__name__) from error
    if not reader.columns:
        raise Invalid(
            "the expression uses no column",
            fix='write it over columns: pl.col("out.dense_1").list.get(0) > 0.9',
            reason="bad_expression",
        )
    return Expression(expr=expr, columns=frozenset(reader.columns), cost=cost)


def _not_one(why: str) -> Invalid:
    return Invalid(
        "the expression cannot be read",
        why=why,
        fix='send what expression.meta.serialize(format="json") gives, from a recent polars',
        reason="bad_expression",
    )


class _Reader:
    """One walk over one tree whose size and depth `cost_of` has checked.

    Attributes:
        columns: those found so far.
    """

    def __init__(self) -> None:
        self.columns: set[str] = set()
        self._inside_lists = False

    def read(self, node: Any) -> "pl.Expr":
        """The expression of a node."""
        kind, content = tagged(node)
        reading = _NODES.get(kind)
        if reading is None:
            raise refused(_WORDS.get(kind, f"polars' {kind}"))
        return reading(self, content)

    def column(self, name: Any) -> "pl.Expr":
        import polars as pl

        part, _, column = name.partition(".") if isinstance(name, str) else ("", "", "")
        if part not in ("in", "out") or not column:
            raise Invalid(
                f"a validation cannot use {name!r}",
                fix='columns are called in.<name> and out.<name>: pl.col("out.dense_1")',
                reason="bad_expression",
            )
        if self._inside_lists:
            raise refused("columns inside of list.eval")
        self.columns.add(name)
        return pl.col(name)

    def element(self, _: Any) -> "pl.Expr":
        import polars as pl

        if not self._inside_lists:
            raise refused("pl.element() outside of list.eval")
        return pl.element()

    def alias(self, content: Any) -> "pl.Expr":
        inner, _ = content
        return self.read(inner)

    def binary(self, content: Any) -> "pl.Expr":
        method = OPERATORS.get(content["op"])
        if method is None:
            raise refused(f"the operator {content['op']}")
        left, right = self.read(content["left"]), self.read(content["right"])
        return getattr(left, method)(right)  # type: ignore[no-any-return]

    def cast(self, content: Any) -> "pl.Expr":
        return self.read(content["expr"]).cast(data_type(content.get("dtype", content.get("data_type"))), strict=False)

    def ternary(self, content: Any) -> "pl.Expr":
        import polars as pl

        when = pl.when(self.read(content["predicate"]))
        return when.then(self.read(content["truthy"])).otherwise(self.read(content["falsy"]))

    def function(self, content: Any) -> "pl.Expr":
        name, options = function_name(content["function"])
        if self._inside_lists and name in AGGREGATES:
            (values,) = content["input"]
            return attrgetter(AGGREGATES[name])(self.read(values))()  # type: ignore[no-any-return]
        make = FUNCTIONS.get(name)
        if make is None:
            raise refused(f"polars' {name}", _OTHER_ROWS if name in AGGREGATES else None)
        return make([self.read(each) for each in content["input"]], options)

    def aggregate(self, content: Any) -> "pl.Expr":
        name, inner = tagged(content)
        if not self._inside_lists or name not in AGGREGATES:
            raise refused(f"polars' {name}", _OTHER_ROWS)
        if isinstance(inner, Mapping) and "input" in inner:
            inner = inner["input"]
        return attrgetter(AGGREGATES[name])(self.read(inner))()  # type: ignore[no-any-return]

    def evaluation(self, content: Any) -> "pl.Expr":
        if self._inside_lists:
            raise refused("list.eval inside of list.eval")
        variant = content.get("variant", "List")
        if variant not in ("List", "ListAgg"):
            raise refused(f"polars' {variant}")
        values = self.read(content["expr"])
        self._inside_lists = True
        each = self.read(content["evaluation"])
        self._inside_lists = False
        return values.list.eval(each) if variant == "List" else values.list.agg(each)

    def literal(self, content: Any) -> "pl.Expr":
        return literal(content)


_OTHER_ROWS: Final = "it uses other rows, and a row's answer must not depend on other rows of the request"

_NODES: Final[Mapping[str, Callable[[_Reader, Any], "pl.Expr"]]] = {
    "Column": _Reader.column,
    "Element": _Reader.element,
    "Alias": _Reader.alias,
    "BinaryExpr": _Reader.binary,
    "Cast": _Reader.cast,
    "Ternary": _Reader.ternary,
    "Function": _Reader.function,
    "Agg": _Reader.aggregate,
    "Eval": _Reader.evaluation,
    "Literal": _Reader.literal,
}

_WORDS: Final = {
    "AnonymousFunction": "Python functions",
    "AnonymousAgg": "Python functions",
    "SubPlan": "queries",
    "Window": "windows over other rows",
    "Over": "windows over other rows",
    "Rolling": "windows over other rows",
    "Selector": "selectors: a validation names its columns",
    "Wildcard": "selectors: a validation names its columns",
    "Columns": "several columns at once",
    "Len": "the number of rows",
}
