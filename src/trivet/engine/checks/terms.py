"""The functions that a validation may use: for each name in polars' JSON, the call of polars' public interface.

All of them use one row at a time, read only its columns, call no Python, and return no more data than they get. A function that
would raise for the values of a row (an index beyond a list, a text that is not a number) returns null instead.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import polars as pl

__all__ = ["AGGREGATES", "CASTS", "FUNCTIONS", "OPERATORS"]

OPERATORS: Final[Mapping[str, str]] = {
    "Eq": "eq",
    "NotEq": "ne",
    "EqValidity": "eq_missing",
    "NotEqValidity": "ne_missing",
    "Lt": "lt",
    "LtEq": "le",
    "Gt": "gt",
    "GtEq": "ge",
    "Plus": "add",
    "Minus": "sub",
    "Multiply": "mul",
    "Divide": "truediv",
    "TrueDivide": "truediv",
    "FloorDivide": "floordiv",
    "Modulus": "mod",
    "And": "and_",
    "LogicalAnd": "and_",
    "Or": "or_",
    "LogicalOr": "or_",
    "Xor": "xor",
}
"""Binary operators and their methods."""

CASTS: Final = (
    *("Boolean", "String", "Float32", "Float64", "Date"),
    *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"),
)
"""Types that a value may be cast to, by polars' own names."""

METHODS: Final[Mapping[str, str]] = {
    "Abs": "abs",
    "Negate": "neg",
    "Floor": "floor",
    "Ceil": "ceil",
    "Sign": "sign",
    "Exp": "exp",
    "Log1p": "log1p",
    "Log": "log",
    "FillNull": "fill_null",
    "Pow.Sqrt": "sqrt",
    "Pow.Cbrt": "cbrt",
    **{f"Trigonometry.{name}": name.lower() for name in ("Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh")},
    **{f"Trigonometry.Arc{name}": f"arc{name.lower()}" for name in ("Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh")},
    "Boolean.Not": "not_",
    "Boolean.IsNull": "is_null",
    "Boolean.IsNotNull": "is_not_null",
    "Boolean.IsNan": "is_nan",
    "Boolean.IsNotNan": "is_not_nan",
    "Boolean.IsFinite": "is_finite",
    "Boolean.IsInfinite": "is_infinite",
    "Boolean.IsIn": "is_in",
    "ListExpr.Length": "list.len",
    "ListExpr.Sum": "list.sum",
    "ListExpr.Mean": "list.mean",
    "ListExpr.Median": "list.median",
    "ListExpr.Min": "list.min",
    "ListExpr.Max": "list.max",
    "ListExpr.ArgMin": "list.arg_min",
    "ListExpr.ArgMax": "list.arg_max",
    "ListExpr.Any": "list.any",
    "ListExpr.All": "list.all",
    "ListExpr.NUnique": "list.n_unique",
    "ListExpr.Contains": "list.contains",
    "ListExpr.CountMatches": "list.count_matches",
    "ListExpr.Slice": "list.slice",
    "StringExpr.LenChars": "str.len_chars",
    "StringExpr.LenBytes": "str.len_bytes",
    "StringExpr.Lowercase": "str.to_lowercase",
    "StringExpr.Uppercase": "str.to_uppercase",
    "StringExpr.StripChars": "str.strip_chars",
    "StringExpr.StripCharsStart": "str.strip_chars_start",
    "StringExpr.StripCharsEnd": "str.strip_chars_end",
    "StringExpr.StartsWith": "str.starts_with",
    "StringExpr.EndsWith": "str.ends_with",
    "StringExpr.Slice": "str.slice",
    "StringExpr.Head": "str.head",
    "StringExpr.Tail": "str.tail",
    **{f"TemporalExpr.{name}": f"dt.{name.lower()}" for name in ("Year", "Quarter", "Month", "Week", "WeekDay")},
    **{f"TemporalExpr.{name}": f"dt.{name.lower()}" for name in ("Day", "Hour", "Minute", "Second", "Millisecond")},
    "TemporalExpr.OrdinalDay": "dt.ordinal_day",
    "TemporalExpr.Date": "dt.date",
}
"""Functions without options, and the method of the first input that each calls."""

HORIZONTAL: Final = {
    "Boolean.AnyHorizontal": "any_horizontal",
    "Boolean.AllHorizontal": "all_horizontal",
    "SumHorizontal": "sum_horizontal",
    "MeanHorizontal": "mean_horizontal",
    "MinHorizontal": "min_horizontal",
    "MaxHorizontal": "max_horizontal",
    "Coalesce": "coalesce",
}
"""Functions over several columns of a row."""

AGGREGATES: Final[Mapping[str, str]] = {
    "Min": "min",
    "Max": "max",
    "Sum": "sum",
    "Mean": "mean",
    "Median": "median",
    "NUnique": "n_unique",
    "Count": "count",
    "Boolean.Any": "any",
    "Boolean.All": "all",
}
"""Functions of a row's whole list, inside `list.eval` and `list.agg`. Anywhere else they would use other rows."""

Function = Callable[[Sequence["pl.Expr"], Any], "pl.Expr"]
"""Inputs, and the options beside the function's name: any JSON."""


def _method(path: str) -> Function:
    call = attrgetter(path)

    def apply(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":  # noqa: ARG001 - there are none that matter
        return call(inputs[0])(*inputs[1:])  # type: ignore[no-any-return]

    return apply


def _horizontal(name: str) -> Function:
    def apply(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":  # noqa: ARG001 - nulls count for nothing, as is usual
        import polars as pl

        return getattr(pl, name)(*inputs)  # type: ignore[no-any-return]

    return apply


def _option(options: Any, name: str, usual: Any) -> Any:
    value = options.get(name, usual) if isinstance(options, Mapping) else usual
    if type(value) is not type(usual):
        raise TypeError(f"{name} is {value!r}")
    return value


def _get(inputs: Sequence["pl.Expr"], _options: Any) -> "pl.Expr":
    values, index = inputs
    return values.list.get(index, null_on_oob=True)


def _between(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    value, low, high = inputs
    return value.is_between(low, high, closed=_option(options, "closed", "Both").lower())


def _close(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    value, other = inputs
    return value.is_close(
        other,
        abs_tol=_option(options, "abs_tol", 0.0),
        rel_tol=_option(options, "rel_tol", 1e-9),
        nans_equal=_option(options, "nans_equal", False),
    )


def _round(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    (value,) = inputs
    return value.round(_option(options, "decimals", 0))


def _round_figures(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    (value,) = inputs
    return value.round_sig_figs(_option(options, "digits", 1))


def _clip(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    value, *bounds = inputs
    low = bounds.pop(0) if _option(options, "has_min", True) else None
    high = bounds.pop(0) if _option(options, "has_max", True) else None
    return value.clip(low, high)


def _log(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    # Older releases write the base as an option, newer ones as an input.
    return inputs[0].log(_option(options, "base", 2.718281828459045) if len(inputs) == 1 else inputs[1])


def _power(inputs: Sequence["pl.Expr"], _options: Any) -> "pl.Expr":
    import polars as pl

    base, exponent = inputs
    # polars raises where a column of whole numbers is the exponent and holds a negative one.
    return base.pow(exponent if exponent.meta.is_literal() else exponent.cast(pl.Float64, strict=False))


def _std(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    (values,) = inputs
    return values.list.std(ddof=options if type(options) is int else 1)


def _var(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    (values,) = inputs
    return values.list.var(ddof=options if type(options) is int else 1)


def _contains(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    text, pattern = inputs
    literal = _option(options, "literal", False)
    return text.str.contains(pattern, literal=literal, strict=False)


def _find(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    text, pattern = inputs
    literal = _option(options, "literal", False)
    return text.str.find(pattern, literal=literal, strict=False)


def _field(inputs: Sequence["pl.Expr"], options: Any) -> "pl.Expr":
    (value,) = inputs
    if not isinstance(options, str) or options.startswith("^"):
        raise TypeError(f"{options!r} is not a field's name")
    return value.struct.field(options)


FUNCTIONS: Final[Mapping[str, Function]] = {
    **{name: _method(path) for name, path in METHODS.items()},
    **{name: _horizontal(path) for name, path in HORIZONTAL.items()},
    "ListExpr.Get": _get,
    "ListExpr.Std": _std,
    "ListExpr.Var": _var,
    "Boolean.IsBetween": _between,
    "Boolean.IsClose": _close,
    "Round": _round,
    "RoundSF": _round_figures,
    "Clip": _clip,
    "Log": _log,
    "Pow.Generic": _power,
    "StringExpr.Contains": _contains,
    "StringExpr.Find": _find,
    "StructExpr.FieldByName": _field,
}
"""All functions of a row, by the names that polars gives them in its JSON form."""
