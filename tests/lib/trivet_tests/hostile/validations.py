"""Validations that would cost more than they should."""

import io
import json

import polars as pl
import pyarrow as pa

from trivet.engine.checks.patterns import MOST_POSITIONS
from trivet_tests.hostile.entry import Hostile

__all__ = ["GROWS", "VALIDATIONS", "as_json", "text", "whole"]

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
    """An `is_in` whose list is this array."""
    table = pa.table({"a": array})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return among(list(sink.getvalue()))


def among(series):
    """An `is_in` with this JSON in place of its list."""
    return json.dumps(
        {
            "Function": {
                "input": [{"Column": "in.s"}, {"Literal": {"Series": series}}],
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

TABLE = {
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
    "a long text of a list": (
        as_json(pl.lit(["z" * 50_000, ""]).list.get(pl.col("in.i")) + text == "x"),
        GROWS,
    ),
    "texts of other rows": (as_json(text.is_in(pl.col("in.p"))), OTHER_ROWS),
    "numbers of other rows": (as_json(whole.is_in(pl.col("in.y") + 1)), OTHER_ROWS),
    "a compressed list": (stream(pa.array(["z" * 1_000_000] * 100), compression="zstd"), COMPRESSED),
    "another codec": (stream(pa.array(["z" * 1_000_000] * 10, pa.large_string()), compression="lz4"), COMPRESSED),
    "a text that is shown often": (stream(overlapping(1000)), "the texts of the list are too long"),
    "a hundred million nulls": (stream(pa.nulls(100_000_000)), "the list is too long"),
    "a number for a list": (among(1_000_000_000), "1000000000 is not a valid list"),
    "a list of lists": (stream(pa.array([[1]])), "a validation may not use a list of list<"),
    "a dictionary": (stream(pa.array(["a"] * 9).dictionary_encode()), "a validation may not use a list of dictionary<"),
}

VALIDATIONS = [
    Hostile(kind="validation", name=name, make=lambda made=made: made, outcome=reason, most_s=2.0)
    for name, (made, reason) in TABLE.items()
]
