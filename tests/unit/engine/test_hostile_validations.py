"""Validations that would cost more than they should: each is refused before it is evaluated, with its reason and its bound."""

import io
import json
import resource
import time

import polars as pl
import pyarrow as pa
import pytest

from trivet.domain.pipeline import Validation
from trivet.domain.schema import parse_schema
from trivet.engine.checks.checks import Checks
from trivet.engine.checks.patterns import MOST_POSITIONS, positions
from trivet.engine.checks.validations import check_validations
from trivet.errors import Invalid, TooLarge, TrivetError

INPUTS = parse_schema("s: string; p: string; x: int64; y: int64; l: string[]")
OUTPUTS = parse_schema("z: float64")
text, items, whole = pl.col("in.s"), pl.col("in.l"), pl.col("in.x")


def as_json(expression):
    return expression.meta.serialize(format="json")


def doubled(times):
    grown = text
    for _ in range(times):
        grown = grown + grown
    return grown


def summed(count):
    return pl.sum_horizontal([text.str.head(n) for n in range(count)])


def stream(array, **options):
    """An `is_in` whose list is this Arrow stream."""
    table = pa.table({"a": array})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return json.dumps(
        {
            "Function": {
                "input": [{"Column": "in.s"}, {"Literal": {"Series": list(sink.getvalue())}}],
                "function": {"Boolean": {"IsIn": {"nulls_equal": False}}},
            }
        },
        separators=(",", ":"),
    )


def overlapping(count):
    """Views that all show one text."""
    shown = b"z" * 10_000
    view = len(shown).to_bytes(4, "little") + shown[:4] + bytes(8)
    buffers = [None, pa.py_buffer(view * count), pa.py_buffer(shown)]
    return pa.Array.from_buffers(pa.string_view(), count, buffers)


TOO_LARGE_PATTERN = f"it has more than {MOST_POSITIONS} positions when its repetitions are written out"
GROWS = "a text grows too much in the expression"
NOT_PLAIN = "a validation may not use a regular expression that is not a plain text"
OTHER_ROWS = "a validation may not use is_in with the values of other rows"
COMPRESSED = "a validation may not use a compressed list"

HOSTILE = {
    "patterns of rows": (as_json(text.str.contains(pl.col("in.p"))), NOT_PLAIN),
    "a pattern made of rows": (as_json(text.str.contains(pl.lit("^") + pl.col("in.p"))), NOT_PLAIN),
    "a place of a pattern of rows": (as_json(text.str.find(pl.col("in.p")) > 1), NOT_PLAIN),
    "a pattern that is chosen": (
        as_json(text.str.contains(pl.when(whole > 0).then(pl.lit("a")).otherwise(pl.lit("b")))),
        NOT_PLAIN,
    ),
    "nested repetitions": (as_json(text.str.contains("(a{1000}){1000}")), TOO_LARGE_PATTERN),
    "a class many times": (as_json(text.str.contains(r"\w{900}")), TOO_LARGE_PATTERN),
    "alternatives many times": (as_json(text.str.contains("(?:a|b|c|d){250}")), TOO_LARGE_PATTERN),
    "nothing very often": (as_json(text.str.contains("(){100000}")), TOO_LARGE_PATTERN),
    "a long pattern": (as_json(text.str.contains("a?" * 1100)), TOO_LARGE_PATTERN),
    "a verbose pattern": (as_json(text.str.contains("(?x) a { 1000 } # (")), "verbose mode is not supported"),
    "doubling eight times": (as_json(doubled(8) == "x"), GROWS),
    "texts joined in a row": (as_json(summed(20) == "x"), GROWS),
    "upper case of upper case": (
        as_json(text.str.to_uppercase().str.to_lowercase().str.to_uppercase() == "x"),
        GROWS,
    ),
    "a long text for each row": (
        as_json(pl.when(whole > 0).then(pl.lit("z" * 100_000)).otherwise(pl.lit("")) == text),
        GROWS,
    ),
    "a long text for each missing one": (as_json(text.fill_null("z" * 100_000) == "x"), GROWS),
    "a text for each item of a list": (
        as_json(items.list.eval(pl.element() + pl.lit("z" * 100)).list.len() > 1),
        GROWS,
    ),
    "texts of other rows": (as_json(text.is_in(pl.col("in.p"))), OTHER_ROWS),
    "numbers of other rows": (as_json(whole.is_in(pl.col("in.y") + 1)), OTHER_ROWS),
    "a compressed list": (stream(pa.array(["z" * 1_000_000] * 100), compression="zstd"), COMPRESSED),
    "another codec": (stream(pa.array(["z" * 1_000_000] * 10, pa.large_string()), compression="lz4"), COMPRESSED),
    "a text that is shown often": (stream(overlapping(1000)), "the texts of the list are too long"),
    "a hundred million nulls": (stream(pa.nulls(100_000_000)), "the list is too long"),
    "a list of lists": (stream(pa.array([[1]])), "a validation may not use a list of list<"),
    "a dictionary": (stream(pa.array(["a"] * 9).dictionary_encode()), "a validation may not use a list of dictionary<"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_costly_expressions_are_refused_at_little_cost(name):
    expression, said = HOSTILE[name]
    # polars itself is imported with the first expression.
    check_validations([Validation(name="v", expression=as_json(text == "x"))])
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises((Invalid, TooLarge)) as caught:
        Checks([Validation(name="v", expression=expression)], INPUTS, OUTPUTS)
    assert time.process_time() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert caught.value.what == "validation 'v' cannot be used"
    assert said in caught.value.why
    assert caught.value.fix


MANY = {
    "validations": (
        [as_json(whole > 1)] * 101,
        "the pipeline has too many validations: there are 101; the limit is 100",
    ),
    "characters": (
        [as_json(text == "z" * 200_000)] * 6,
        "the pipeline has too many characters of validations: there are ",
    ),
    "operations": (
        [as_json(pl.any_horizontal([whole > n for n in range(400)]))] * 6,
        "the pipeline has too many operations in its validations: there are ",
    ),
    "patterns": (
        [as_json(text.str.contains("a{900}"))] * 3,
        "the pipeline has too many positions in its patterns: there are 2700; the limit is 2000",
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_all_validations_together_have_limits(name):
    expressions, said = MANY[name]
    with pytest.raises(TooLarge) as caught:
        check_validations([Validation(name=f"v{n}", expression=each) for n, each in enumerate(expressions)])
    assert caught.value.message.startswith(said)
    assert caught.value.fix


USUAL = {
    "a date": (r"^\d{4}-\d{2}-\d{2}$", 28),
    "a uuid": (r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", 105),
    "an address": (r"(?i)^\S+@\S+\.\w{2,10}$", 84),
    "a phone": (r"^\+?[0-9 ()/-]{7,20}$", 65),
    "brackets": (r"[]a(]{3}[^]]\[{2}", 18),
    "named": (r"(?P<a>x){3}(?<b>y)", 8),
    "characters by name": (r"\p{Greek}{2}\x{41}\u0041", 12),
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_patterns_are_small(name):
    pattern, size = USUAL[name]
    assert positions(pattern) == size


@pytest.mark.parametrize("pattern", ["(", ")", "[a", "a{", "a{x}", "\\", "a(b", "(?:"])
def test_incomplete_patterns_are_refused(pattern):
    with pytest.raises(Invalid) as caught:
        positions(pattern)
    assert caught.value.what.startswith("the pattern ")


@pytest.mark.parametrize(
    "pattern", ["(" * 2**20, "[" * 2**20, "(" * 900 + "*" * 2**20], ids=["groups", "classes", "deep"]
)
def test_a_million_signs_are_refused_in_one_pass(pattern):
    with pytest.raises((Invalid, TooLarge)):
        positions(pattern)


def test_sums_of_many_numbers_do_not_grow_as_texts_would():
    total = pl.sum_horizontal([whole] * 40) + sum([whole] * 40, start=pl.lit(0))
    validation = Validation(name="v", expression=as_json(total > 1))
    Checks([validation], INPUTS, OUTPUTS)
    with pytest.raises(TrivetError, match=GROWS):
        check_validations([validation])
