"""Schemas that data suggest, and the example rows that are kept of them."""

import contextlib
import json
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from trivet.domain.example_rows import MOST_BYTES, MOST_ROWS, example_of
from trivet.domain.schema import format_schema
from trivet.errors import Invalid, NotFound, Unsupported
from trivet.gateway.formats.examples import example_maker


def suggested(data):
    """The short text of the suggested schema; the kept rows must fit it."""
    example = example_of(data)
    make = example_maker(example.rows)
    assert make is None or make(example.schema).rows == len(example.rows)
    return format_schema(example.schema)


FRAME = pd.DataFrame(
    {
        "whole": [1, 2],
        "half": np.array([1, 2], np.float16),
        "gap": [1.5, None],
        "small": pd.array([1, None], dtype="Int32"),
        "text": ["x", None],
        "kind": pd.Categorical(["u", "v"]),
        "yes": [True, False],
        "zone": pd.Series([datetime(2024, 1, 1, tzinfo=UTC)] * 2).astype("datetime64[ms, Europe/Berlin]"),
        "fixed": [[1.0, 2.0], [3.0, 4.0]],
        "ragged": [[1], [1, 2]],
        "words": [["a"], ["b"]],
        "image": [np.zeros((2, 3), np.float32)] * 2,
    }
)


def test_a_dataframe_keeps_its_dtypes():
    assert suggested(FRAME) == (
        "whole: int64; half: float16; gap: float64?; small: int32?; text: string?; kind: string; yes: bool; "
        "zone: timestamp[ms, Europe/Berlin]; fixed: float64[2]; ragged: int64[]; words: string[]; image: float32[2,3]"
    )


def test_a_polars_frame_keeps_its_dtypes():
    frame = pl.DataFrame(
        {
            "a": pl.Series([1, None], dtype=pl.Int16),
            "s": ["x", "y"],
            "d": [date(2024, 1, 1)] * 2,
            "t": [datetime(2024, 1, 1, tzinfo=UTC)] * 2,
            "x": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.UInt8, 2)),
        }
    )
    assert suggested(frame) == "a: int16?; s: string; d: date32; t: timestamp[us, UTC]; x: uint8[2]"


def test_arrays_keep_dtype_and_shape():
    arrays = {"x": np.zeros((3, 4, 5), np.float32), "y": np.arange(3, dtype=np.uint8), "s": np.array(["a", "b", "c"])}
    assert suggested(arrays) == "x: float32[4,5]; y: uint8; s: string"


def test_records_may_lack_fields_and_hold_records():
    rows = [{"a": 1, "b": {"c": [1, 2], "d": None}}, {"b": {"c": [1, 3], "d": "x"}, "z": 2**63}]
    assert suggested(rows) == "a: int64?; b: struct{c: int64[2], d: string?}; z: uint64?"


def test_whole_numbers_beside_others_are_floats():
    assert suggested([{"a": 1}, {"a": 2.5}]) == "a: float64"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            [{"a": 1}, {"a": "x"}],
            "column 'a' has values of several types: row 0 has a number (1) and row 1 has text (x)",
        ),
        ([{"a": True}, {"a": 1}], "row 0 has true or false (True) and row 1 has a number (1)"),
        ([{"a": None}, {"a": [1]}, {"a": 2}], "row 1 has a list ([1]) and row 2 has a number (2)"),
        ([{"a": [1]}, {"a": None}], "column 'a' has a null in place of a list"),
        ([{"a": None}], "column 'a' has no values: its type cannot be seen"),
        ([{"a": []}], "column 'a' has no values: its type cannot be seen"),
        ([{"a": 2**70}], "column 'a' has integers of more than 64 bits"),
        ([1], "row 0 is a number, not a record"),
        ([], "the data have no columns"),
        ({"a": []}, "the data have no rows"),
        ({"a": [1], "b": [1, 2]}, "the columns have different numbers of rows: 'a' has 1, 'b' has 2"),
        ({"a": [np.zeros(2), np.zeros(2, int)]}, "column 'a' has arrays of several types"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns of one name"),
        (7, "int has no columns"),
    ],
    ids=[
        *("number-text", "bool-number", "list-number", "null-list", "nulls", "empty-lists", "large", "no-record"),
        *("no-columns", "no-rows", "lengths", "dtypes", "names", "no-data"),
    ],
)
def test_what_suggests_no_schema_is_refused_with_the_place(data, message):
    with pytest.raises(Invalid) as error:
        example_of(data)
    assert message in error.value.message


def test_files_are_read_by_their_suffix(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "a,b,c,d,e,f\n1,2.5,x,2024-01-01,2024-01-01 10:00:00,true\n2,,,2024-01-02,2024-01-01 10:00:01,false\n"
    )
    assert suggested(tmp_path / "rows.csv") == (
        "a: int64; b: float64?; c: string?; d: date32; e: timestamp[s]; f: bool"
    )
    table = pa.table({"a": pa.array([1, 2], pa.int8()), "x": pa.array([[1.0], [2.0]], pa.list_(pa.float32()))})
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pa.ipc.new_file(tmp_path / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("rows.parquet", "rows.arrow"):
        assert suggested(tmp_path / name) == "a: int8; x: float32[1]"
    (tmp_path / "rows.json").write_text('{"a": {"0": 1, "1": 2}}')
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    assert suggested(tmp_path / "rows.json") == suggested(tmp_path / "rows.jsonl") == "a: int64"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("gone.csv", None, NotFound),
        ("rows.xlsx", "", Unsupported),
        ("rows.json", "[1", Invalid),
        ("rows.json", "3", Invalid),
        ("rows.parquet", "no parquet", Invalid),
        ("rows.csv", "", Invalid),
        ("rows.csv", "a,b\n1,2,3\n", Invalid),
    ],
)
def test_a_file_without_rows_is_refused_with_a_fix(tmp_path, name, text, kind):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(kind) as error:
        example_of(tmp_path / name)
    assert error.value.fix


def test_only_a_few_small_rows_are_kept():
    example = example_of([{"a": index} for index in range(1000)])
    assert (example.total, len(example.rows)) == (1000, MOST_ROWS)
    large = example_of({"x": np.zeros((100, 5000))})
    assert 1 <= len(large.rows) < MOST_ROWS
    assert len(json.dumps(large.rows)) < MOST_BYTES + 100


def test_rows_that_json_cannot_hold_are_not_kept():
    assert example_of({"a": np.array([np.nan, np.inf, 1.0])}).rows == ({"a": 1.0},)


VALUES = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))


@given(
    st.lists(st.one_of(VALUES, st.text(max_size=5), st.none(), st.lists(VALUES, max_size=3)), min_size=1, max_size=5)
)
def test_kept_rows_fit_the_suggested_schema_or_data_are_refused(values):
    rows = [{"a": value} for value in values]
    with contextlib.suppress(Invalid):
        example_of(rows)
        suggested(rows)
