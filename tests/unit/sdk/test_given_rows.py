"""Rows in the forms that notebooks have."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from trivet.errors import Invalid
from trivet.sdk.given_rows import given_rows, split_rows
from trivet.sdk.parallel import join_answers

FRAME = pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}, index=["p", "q"])


class Subclass(pd.DataFrame):
    """As geopandas has one."""


@pytest.mark.parametrize("rows", [FRAME, Subclass(FRAME), pa.table({"a": [1]}), [{"a": 1}]])
def test_frames_tables_and_records_stay_what_they_are(rows):
    given = given_rows(rows)
    assert given.rows is rows
    assert given.answer("the answer") == "the answer"


def test_a_series_with_a_name_is_a_column():
    rows = given_rows(pd.Series([[1.0], [2.0]], name="tensor", index=[5, 7])).rows
    assert list(rows.columns) == ["tensor"]
    assert list(rows.index) == [5, 7]


def test_a_series_with_names_as_labels_is_a_row():
    frame = FRAME.reset_index(drop=True)
    rows = given_rows(frame.iloc[1]).rows
    assert rows.to_dict("records") == [{"a": 2, "b": "v"}]
    assert list(rows.index) == [1]
    assert rows["a"].dtype == np.int64


@pytest.mark.parametrize(
    ("series", "problem"),
    [
        (FRAME["a"], "the Series 'a' may be a column or a row"),
        (FRAME.loc["p"], "the Series 'p' may be a column or a row"),
        (pd.Series([1, 2]), "the Series has no name"),
        (pl.Series([1, 2]), "a Series without a name"),
        (pl.LazyFrame({"a": [1]}), "a LazyFrame holds no rows yet"),
        (np.array(1.0), "an array without dimensions holds no rows"),
        (np.zeros((2, 2)), "an array has no names of columns"),
    ],
)
def test_rows_that_may_be_read_in_two_ways_are_refused(series, problem):
    with pytest.raises(Invalid) as caught:
        given_rows(series)
    assert caught.value.what == problem
    assert caught.value.fix


def test_a_polars_frame_gives_a_polars_frame():
    frame = pl.DataFrame({"a": [1, None], "kind": pl.Series(["u", "v"], dtype=pl.Categorical), "x": [[0.5], [1.5]]})
    given = given_rows(frame)
    assert given.rows == [{"a": 1, "kind": "u", "x": [0.5]}, {"a": None, "kind": "v", "x": [1.5]}]
    found = given.answer([{"time": 1721686245906, "out.y": 1.0}, {"time": 1721686245906, "out.y": None}])
    assert found.schema == {"time": pl.Datetime("ms"), "out.y": pl.Float64}
    assert given_rows(frame["a"].rename("z")).rows == [{"z": 1}, {"z": None}]


def test_infinite_values_of_a_polars_frame_are_refused():
    with pytest.raises(Invalid, match="column 'a' has an infinite value"):
        given_rows(pl.DataFrame({"a": [float("inf")]}))


def test_an_array_holds_the_rows_of_the_only_input():
    rows = given_rows(np.array([[1, 2], [3, 4]], np.float32), single="tensor").rows
    assert [each.tolist() for each in rows["tensor"]] == [[1.0, 2.0], [3.0, 4.0]]
    assert given_rows(np.array([1.5, 2.5]), single="x").rows["x"].to_list() == [1.5, 2.5]
    named = np.array([(1, 0.5), (2, 1.5)], dtype=[("n", "i8"), ("x", "f4")])
    assert given_rows(named).rows.to_dict("list") == {"n": [1, 2], "x": [0.5, 1.5]}


def test_answers_to_single_rows_are_joined_under_the_index():
    assert join_answers(split_rows(FRAME), on_error="raise").equals(FRAME)
    frame = pl.DataFrame({"a": [1, 2]})
    assert join_answers(split_rows(frame), on_error="raise").equals(frame)
    with pytest.raises(Invalid, match="cannot be split into rows"):
        split_rows({"a": 1})
