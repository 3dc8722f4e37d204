"""Expressions are read from JSON by a list of what is allowed, and mean what polars means by them."""

import contextlib
import datetime as dt
import json
import math
import operator

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trivet.engine.checks.expressions import MOST_BYTES, read_expression
from trivet.errors import Invalid, TooLarge, TrivetError

x, y, whole, text, items, day, time = (pl.col(f"in.{name}") for name in "xyisldt")
member, out = pl.col("in.st"), pl.col("out.dense_1")
moment = dt.datetime.fromisoformat

FRAME = pl.DataFrame(
    {
        "in.x": [0.5, -1.5, None, math.nan, math.inf, 0.0],
        "in.y": [1.0, 2.0, -3.0, 0.0, None, 1e300],
        "in.i": [0, 1, -7, 2**62, None, 3],
        "in.s": ["", "abc", None, "1.5", "(", "größe"],
        "in.l": [[1.0, 2.0], [], None, [None], [math.nan, 3.0], [5.0]],
        "in.d": [dt.date(2020, 1, 1), dt.date(1969, 12, 31), None, *[dt.date(2026, 2, 28)] * 3],
        "in.t": [moment("2020-01-01T12:00"), moment("0001-01-01"), None, *[moment("2026-02-28T23:59")] * 3],
        "in.st": [{"a": 1}, {"a": 3}, None, {"a": None}, {"a": 0}, {"a": -1}],
        "out.dense_1": [[0.95], [0.1], [0.91], [0.0], [math.nan], [1.0]],
    }
)

PLAIN = pl.DataFrame(
    {
        "in.x": [0.0],
        "in.y": [0.0],
        "in.i": [0],
        "in.s": [""],
        "in.l": [[0.0]],
        "in.d": [dt.date(1970, 1, 1)],
        "in.t": [moment("1970-01-01")],
        "in.st": [{"a": 0}],
        "out.dense_1": [[0.0]],
    },
    schema=FRAME.schema,
)
"""A canned row."""

ALLOWED = {
    "fraud": out.list.get(0) > 0.9,
    "alias": (x > 1).alias("anything"),
    "comparisons": (x == 0.5) | (x != 1) & (x < 2) & (x <= 3) | (x >= 1),
    "missing": x.eq_missing(None) | y.ne_missing(2.0),
    "xor": (x > 1) ^ (y > 1),
    "not": ~(x > 1),
    "arithmetic": (x + y * 2 - 1) / 3 > y // 2 + x % 2,
    "whole numbers": (whole + 1) * 2 // 3 % 5 == 1,
    "negative": -x > 0,
    "powers": (x**2).sqrt() + y.abs().cbrt() > x.exp() + y.log(10) + x.log1p() + y.log(),
    "angles": x.sin() + x.cos() + x.tan() + x.arctan() + x.tanh() > 0.5,
    "rounded": x.round(1) + x.floor() + x.ceil() + x.sign() + y.round_sig_figs(2) > 0,
    "clipped": (x.clip(0, 1) > 0.4) & (x.clip(lower_bound=0.25) > 0.3) & (y.clip(upper_bound=y) > 0),
    "kinds of numbers": x.is_nan() | x.is_infinite() | y.is_finite() & x.is_not_nan(),
    "nulls": x.is_null() | y.is_not_null(),
    "filled": (x.fill_null(0) > 1) | (x.fill_nan(7) > 6),
    "close": x.is_close(0.5, rel_tol=1e-3),
    "between": x.is_between(0, 1, closed="left") | y.is_between(x, 3),
    "among": x.is_in([0.5, 1.5]) | text.is_in(["abc", "x"]) | whole.is_in([1, 2, 3]),
    "among a series": whole.is_in(pl.Series([0, 3])),
    "when": pl.when(x > 0).then(y).when(x < -1).then(0.0).otherwise(None) > 0.5,
    "several columns": pl.any_horizontal(x > 1, y > 1) | pl.all_horizontal(x > 0, y > 0),
    "sums": pl.sum_horizontal("in.x", "in.y") + pl.max_horizontal("in.x", "in.y") > pl.mean_horizontal("in.x", "in.y"),
    "least": pl.min_horizontal("in.x", "in.y") < pl.coalesce("in.x", "in.y"),
    "casts": (x.cast(pl.Float32) > 0.4) & (whole.cast(pl.Float64, strict=False) < 5) & whole.cast(pl.Boolean),
    "numbers in texts": text.cast(pl.Float64, strict=False) > 1,
    "texts": (text.str.len_chars() > 3) | (text.str.len_bytes() == 7) | (text.str.to_uppercase() == "ABC"),
    "parts of texts": (text.str.slice(0, 2) == "ab") | (text.str.head(1) == "1") | (text.str.tail(1) == "5"),
    "ends of texts": text.str.starts_with("a") | text.str.ends_with("c") | (text.str.strip_chars("a") == "bc"),
    "patterns": text.str.contains("b+c") | text.str.contains("(", literal=True) | (text.str.find("c") > 1),
    "lists": (items.list.len() > 1)
    | (items.list.sum() > 3)
    | (items.list.mean() > 2)
    | (items.list.max() > items.list.min()),
    "ends of lists": (items.list.first() > 0) | (items.list.last() > 1) | (items.list.get(-1, null_on_oob=True) > 2),
    "places in lists": (items.list.arg_max() == 1) | (items.list.arg_min() == 0) | items.list.contains(5.0),
    "parts of lists": (items.list.head(2).list.sum() > 2)
    | (items.list.tail(1).list.max() > 1)
    | (items.list.std() > 0.1),
    "other numbers of lists": (items.list.median() > 1) | (items.list.var(ddof=0) > 0.1) | (items.list.n_unique() > 1),
    "items of lists": items.list.eval(pl.element() > 1).list.any() | items.list.eval(pl.element() * 2 > 3).list.all(),
    "dates": (day > dt.date(2019, 1, 1)) & (day.dt.year() > 2019) & (day.dt.month() < 6) & (day.dt.weekday() < 6),
    "times": (time > moment("2021-01-01")) | (time.dt.hour() > 22) | (time.dt.date() == dt.date(2020, 1, 1)),
    "lengths of time": (time - pl.lit(moment("2026-01-01"))) > dt.timedelta(days=3),
    "members": member.struct.field("a") > 0,
    "types of numbers": (whole > pl.lit(2, dtype=pl.Int8)) & (x > pl.lit(0.25, dtype=pl.Float32)),
}


def as_json(expression):
    return expression.meta.serialize(format="json")


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_means_what_polars_means_by_it(name):
    expression = ALLOWED[name]
    read = read_expression(as_json(expression))
    assert read.columns == set(expression.meta.root_names())
    assert FRAME.select(read.expr.alias("v")).equals(FRAME.select(expression.alias("v")))


FROM_OTHER_RELEASES = {
    "polars 1.30": '{"BinaryExpr":{"left":{"Function":{"input":[{"Column":"out.dense_1"},{"Literal":{"Dyn":{"Int":0}}}],'
    '"function":{"ListExpr":{"Get":false}},"options":{"check_lengths":true,"flags":"ROW_SEPARABLE"}}},"op":"Gt",'
    '"right":{"Cast":{"expr":{"Literal":{"Dyn":{"Float":0.9}}},"dtype":"Float32","options":"Strict"}}}}',
    "polars 0.18": '{"Alias":[{"BinaryExpr":{"left":{"Function":{"input":[{"Column":"out.dense_1"},{"Literal":{"Int32":0}}],'
    '"function":{"ListExpr":"Get"},"options":{"collect_groups":"ApplyFlat","fmt_str":"","input_wildcard_expansion":false}}},'
    '"op":"Gt","right":{"Literal":{"Float64":0.9}}}},"fraud"]}',
    "texts of 1.30": '{"BinaryExpr":{"left":{"Column":"in.s"},"op":"Eq","right":{"Literal":{"Scalar":'
    '{"dtype":"String","value":{"StringOwned":"abc"}}}}}}',
    "dates of 1.30": '{"BinaryExpr":{"left":{"Column":"in.d"},"op":"Gt","right":{"Literal":{"Scalar":'
    '{"dtype":"Date","value":{"Date":18261}}}}}}',
    "logarithms of 1.30": '{"BinaryExpr":{"left":{"Function":{"input":[{"Column":"in.y"}],"function":{"Log":{"base":10.0}},'
    '"options":{}}},"op":"Gt","right":{"Literal":{"Dyn":{"Int":1}}}}}',
}
MEANT = {
    "polars 1.30": out.list.get(0) > pl.lit(0.9, dtype=pl.Float32),
    "polars 0.18": out.list.get(0) > 0.9,
    "texts of 1.30": text == "abc",
    "dates of 1.30": day > dt.date(2019, 12, 31),
    "logarithms of 1.30": y.log(10) > 1,
}


@pytest.mark.parametrize("release", FROM_OTHER_RELEASES)
def test_what_other_releases_of_polars_write_is_read(release):
    read = read_expression(FROM_OTHER_RELEASES[release])
    assert FRAME.select(read.expr.alias("v")).equals(FRAME.select(MEANT[release].alias("v")))


def test_what_would_raise_for_the_values_of_one_row_is_null_there():
    for expression, kept in [
        (items.list.get(1) > 1, [True, None, None, None, True, None]),
        (text.cast(pl.Float64) > 1, [None, None, None, True, None, None]),
        (text.str.contains(text, literal=True), [True, True, None, True, True, True]),
    ]:
        assert FRAME.select(read_expression(as_json(expression)).expr.alias("v"))["v"].to_list() == kept


REFUSED = {
    "rows beside": (x > x.mean(), "a validation may not use polars' Mean"),
    "windows": (x.sum().over("in.i") > 1, "a validation may not use windows over other rows"),
    "neighbours": (x.shift(1) > 1, "a validation may not use polars' Shift"),
    "any of all rows": ((x > 1).any(), "a validation may not use polars' Boolean.Any"),
    "the number of rows": (pl.len() > 1, "a validation may not use the number of rows"),
    "all columns": (pl.all() > 1, "a validation may not use selectors: a validation names its columns"),
    "columns by pattern": (pl.col("^in.*$") > 1, "a validation may not use selectors: a validation names its columns"),
    "chance": (x.shuffle() > 1, "a validation may not use polars' Random"),
    "data out of nothing": (pl.int_range(0, 10**9) > x, "a validation may not use polars' Range"),
    "repetition": (text.repeat_by(10**6).list.len() > 1, "a validation may not use polars' RepeatBy"),
    "padding": (text.str.pad_start(10**9) == "", "a validation may not use polars' StringExpr.PadStart"),
    "arrays": (items.arr.get(0) > 1, "a validation may not use polars' ArrayExpr.Get"),
    "other columns": (pl.col("x") > 1, "a validation cannot use 'x'"),
    "a part": (pl.col("out") > 1, "a validation cannot use 'out'"),
    "a column of a list's items": (
        items.list.eval(pl.element() > x.first()).list.any(),
        "a validation may not use polars' First",
    ),
    "no column": (pl.lit(1) > 2, "the expression uses no column"),
    "NaN": (x.eq(math.nan), "a validation may not use the numbers NaN and infinity"),
    "dates with zones": (
        time.dt.replace_time_zone("Europe/Berlin").dt.hour() > 1,
        "a validation may not use polars' TemporalExpr.ReplaceTimeZone",
    ),
    "sorting": (x.sort() > 1, "a validation may not use polars' Sort"),
    "patterns of callers": (
        text.str.contains(text),
        "a validation may not use a regular expression that is not a plain text",
    ),
    "places of callers' patterns": (
        text.str.find(text) > 1,
        "a validation may not use a regular expression that is not a plain text",
    ),
    "values of other rows": (
        x.is_in(y.cast(pl.Float32)),
        "a validation may not use is_in with the values of other rows",
    ),
    "rows left out": (x.filter(x > 1) > 1, "a validation may not use polars' Filter"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_on_the_list_is_refused(name):
    expression, said = REFUSED[name]
    with pytest.raises(Invalid) as caught:
        read_expression(as_json(expression))
    assert caught.value.what == said
    assert caught.value.fix
    assert caught.value.reason == "bad_expression"


COLUMN = {"Column": "in.x"}
HOSTILE = {
    "a pickle": {"AnonymousFunction": {"input": [COLUMN], "function": {"Python": [128, 4, 75, 1, 46]}, "options": {}}},
    "a pickle as a function": {"Function": {"input": [COLUMN], "function": {"Python": [128, 4]}}},
    "a plugin": {"Function": {"input": [COLUMN], "function": {"FfiPlugin": {"lib": "/tmp/x.so", "symbol": "f"}}}},
    "a query": {"SubPlan": [{"Scan": {"paths": ["/etc/passwd"]}}, ["a"]]},
    "a pickle in a place that nobody looks at": {"Alias": [{"AnonymousFunction": {}}, "x"]},
    "a type of the caller's": {"Cast": {"expr": COLUMN, "dtype": {"Literal": {"Object": "x"}}, "options": "Strict"}},
    "an object": {"BinaryExpr": {"left": COLUMN, "op": "Eq", "right": {"Literal": {"Scalar": {"Object": [1]}}}}},
    "a series that is no Arrow": {
        "Function": {"input": [COLUMN, {"Literal": {"Series": [1, 2, 3]}}], "function": {"Boolean": "IsIn"}}
    },
    "a series of large bytes": {
        "Function": {"input": [COLUMN, {"Literal": {"Series": [300]}}], "function": {"Boolean": "IsIn"}}
    },
    "a method": {"Function": {"input": [COLUMN], "function": "map_batches"}},
    "a private name": {"Function": {"input": [COLUMN], "function": "__class__"}},
    "too many inputs": {"Function": {"input": [COLUMN] * 9, "function": "Abs"}},
    "no inputs": {"Function": {"input": [], "function": {"ListExpr": "Get"}}},
    "an operator of the caller's": {"BinaryExpr": {"left": COLUMN, "op": "__init__", "right": COLUMN}},
    "two keys": {**COLUMN, "Len": None},
    "an option of another type": {
        "Function": {"input": [COLUMN] * 3, "function": {"Boolean": {"IsBetween": {"closed": ["Both"]}}}}
    },
    "a member by pattern": {"Function": {"input": [COLUMN], "function": {"StructExpr": {"FieldByName": "^.*$"}}}},
    "a number that is a text": {
        "BinaryExpr": {"left": COLUMN, "op": "Eq", "right": {"Literal": {"Dyn": {"Int": "1"}}}}
    },
    "a list": [COLUMN],
    "a number": 1,
    "null": None,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_trees_are_refused(name):
    with pytest.raises(Invalid) as caught:
        read_expression(json.dumps(HOSTILE[name]))
    assert caught.value.fix


def test_invalid_json_is_refused():
    with pytest.raises(Invalid) as caught:
        read_expression("{")
    assert caught.value.message.startswith("the expression cannot be read: it is not JSON")


def deep(levels):
    tree = COLUMN
    for _ in range(levels):
        tree = {"BinaryExpr": {"left": tree, "op": "And", "right": COLUMN}}
    return tree


def test_depth_size_and_lists_are_limited():
    read_expression(json.dumps(deep(90)))
    for text in (
        json.dumps(deep(200)),
        json.dumps({"Function": {"input": [COLUMN] * 3000, "function": "Coalesce"}}),
        " " * (MOST_BYTES + 1),
        as_json(whole.is_in(list(range(10_001)))),
    ):
        with pytest.raises(TooLarge) as caught:
            read_expression(text)
        assert caught.value.fix
    assert read_expression(as_json(whole.is_in(list(range(2000))))).columns == {"in.i"}


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["in.x", "Gt", "Element", "Len", "Abs", "Column", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("Column", "Alias", "BinaryExpr", "Cast", "Ternary", "Function", "Agg", "Eval", "Literal", "left"),
                    *("right", "op", "input", "function", "expr", "dtype", "Dyn", "Scalar", "Series", "List", "Int"),
                    *("predicate", "truthy", "falsy", "ListExpr", "Boolean", "Get", "IsIn", "evaluation", "variant"),
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(tree=trees)
def test_any_tree_at_all_is_read_or_refused(tree):
    with contextlib.suppress(TrivetError):
        read_expression(json.dumps(tree))


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(ALLOWED)),
    path=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    other=trees,
)
def test_a_sound_tree_with_a_strange_piece_is_read_or_refused(name, path, other):
    tree = mutated(json.loads(as_json(ALLOWED[name])), path, other)
    with contextlib.suppress(TrivetError):
        read_expression(json.dumps(tree))


def mutated(tree, path, other):
    """The tree with another value at one of its places."""
    if not path or not isinstance(tree, dict | list) or not tree:
        return other
    if isinstance(tree, list):
        index = path[0] % len(tree)
        return [mutated(item, path[1:], other) if place == index else item for place, item in enumerate(tree)]
    key = list(tree)[path[0] % len(tree)]
    return {**tree, key: mutated(tree[key], path[1:], other)}


def two(kind, *operators):
    return st.builds(lambda left, right, make: make(left, right), kind, kind, st.sampled_from(operators))


def one(kind, *operators):
    return st.builds(lambda value, make: make(value), kind, st.sampled_from(operators))


def of_numbers(inner):
    return (
        two(inner, *(getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")))
        | one(
            inner, *(operator.methodcaller(name) for name in ("abs", "sqrt", "log", "exp", "floor", "sign", "arccos"))
        )
        | one(inner, operator.methodcaller("cast", pl.Int8), operator.methodcaller("cast", pl.UInt64))
        | one(inner, operator.methodcaller("round", 3), operator.methodcaller("round_sig_figs", 2))
        | one(inner, lambda value: items.list.get(value.cast(pl.Int64)), items.list.contains)
        | two(inner, x.clip, lambda start, count: items.list.slice(start, count).list.sum())
        | one(inner, lambda value: text.str.slice(value.cast(pl.Int64), value.cast(pl.UInt64)).str.len_chars())
        | one(inner, lambda value: items.list.eval(pl.element() * 2).list.mean() + value)
    )


edges = st.sampled_from([-(2**63), -1, 0, 1, 7, 2**31, 2**63 - 1, -1.5, 0.0, 1e300, 5e-324])
numbers = st.recursive(
    st.sampled_from([x, y, whole, items.list.len(), items.list.max(), member.struct.field("a"), text.cast(pl.Float64)])
    | st.sampled_from([day.dt.year(), time.dt.hour(), text.str.len_chars(), items.list.arg_min(), items.list.std()])
    | edges.map(pl.lit),
    of_numbers,
    max_leaves=6,
)


@settings(max_examples=300)
@given(left=numbers, right=numbers)
@example(left=whole**whole, right=x)
def test_what_can_be_evaluated_on_one_row_can_be_on_any(left, right):
    tree = as_json((left > right) | text.str.contains(text, literal=True))
    try:
        expression = read_expression(tree).expr
        PLAIN.select(expression)
    except (Invalid, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return
    assert len(FRAME.with_columns(expression.alias("v"))) == len(FRAME)
