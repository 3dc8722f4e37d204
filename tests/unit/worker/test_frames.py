"""DataFrames, Series, Arrow tables and lists that model code returns, and the frame that a step asks for."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trivet_worker.adapters.python_step import PythonStepAdapter
from trivet_worker.frames import columns_of
from trivet_worker.tensors import OutputMismatch, to_arrow

NAMES = ["y", "z"]


@pytest.mark.parametrize(
    "output",
    [
        {"y": [1, 2], "z": ["a", "b"]},
        pd.DataFrame({"y": [1, 2], "z": ["a", "b"]}, index=[7, 3]),
        pa.table({"y": [1, 2], "z": ["a", "b"]}),
        pa.RecordBatch.from_pydict({"y": [1, 2], "z": ["a", "b"]}),
        [{"y": 1, "z": "a"}, {"z": "b", "y": 2}],
    ],
    ids=lambda output: type(output).__name__,
)
def test_frames_tables_and_records_have_columns(output):
    columns = columns_of(output, NAMES)
    assert to_arrow(columns["y"], pa.field("y", pa.int64()), rows=2).to_pylist() == [1, 2]
    assert to_arrow(columns["z"], pa.field("z", pa.string()), rows=2).to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    "output",
    [[1.0, 2.0], np.array([1.0, 2.0]), pd.Series([1.0, 2.0], index=[5, 6]), pa.array([1.0, 2.0])],
    ids=lambda output: type(output).__name__,
)
def test_a_bare_column_is_the_field_of_a_schema_with_one(output):
    columns = columns_of(output, ["y"])
    assert to_arrow(columns["y"], pa.field("y", pa.float32()), rows=2).to_pylist() == [1, 2]
    assert columns_of(output, NAMES) is None


@pytest.mark.parametrize("output", [7, None, "text", (1, 2), [{"y": 1}]], ids=repr)
def test_anything_else_has_no_columns(output):
    assert columns_of(output, NAMES) is None


@pytest.mark.parametrize(
    ("values", "data_type", "wanted"),
    [
        (pd.Series([1, None], dtype="Int64"), pa.int32(), [1, None]),
        (pd.array([1, 2], dtype="Int8"), pa.int64(), [1, 2]),
        (pd.Series([1.5, None], dtype="Float64"), pa.float32(), [1.5, None]),
        (pd.Series([True, None], dtype="boolean"), pa.bool_(), [True, None]),
        (pd.Series(["a", None], dtype="string"), pa.string(), ["a", None]),
        (pd.Series(["a", "b", "a"], dtype="category"), pa.string(), ["a", "b", "a"]),
        (pd.Series([3, 4, None], dtype="category"), pa.int64(), [3, 4, None]),
        (pd.Series([1, 2], dtype=pd.ArrowDtype(pa.int16())), pa.int64(), [1, 2]),
        (pd.Series(["a"], dtype=pd.ArrowDtype(pa.string())), pa.large_string(), ["a"]),
        (pd.Series(["a", pd.NA, np.nan], dtype=object), pa.string(), ["a", None, None]),
        (pd.Series([[1, 2], [3]], dtype=object), pa.list_(pa.int64()), [[1, 2], [3]]),
        (pd.Index([1, 2]), pa.int64(), [1, 2]),
        (pd.Series([1, 2]), pa.list_(pa.int64(), 1), [[1], [2]]),
        (pa.chunked_array([[1], [2]]), pa.int8(), [1, 2]),
        (pa.chunked_array([], pa.int8()), pa.int8(), []),
        (pa.array([[1], None]), pa.list_(pa.int64()), [[1], None]),
        (pa.array(["a", "b"]).dictionary_encode(), pa.string(), ["a", "b"]),
    ],
)
def test_columns_of_pandas_and_arrow_become_the_declared_type(values, data_type, wanted):
    assert to_arrow(values, pa.field("y", data_type)).to_pylist() == wanted


def test_the_times_of_a_series_keep_their_zone():
    times = pd.Series(pd.to_datetime(["2024-01-01T12:00:00+02:00"])).dt.tz_convert("UTC")
    array = to_arrow(times, pa.field("y", pa.timestamp("us", "UTC")))
    assert array.cast(pa.int64()).to_pylist() == [1704103200000000]


def test_a_series_of_another_type_names_the_field():
    with pytest.raises(OutputMismatch, match="field 'y': expected int32, got float64"):
        to_arrow(pd.Series([1.5]), pa.field("y", pa.int32()))


def test_an_answer_shares_no_memory_with_the_model():
    own = pd.Series([1.0, 2.0])
    array = to_arrow(own, pa.field("y", pa.float64()), copy=True)
    own.iloc[0] = 9
    assert array.to_pylist() == [1, 2]


def asks_for_a_frame(df: pd.DataFrame) -> pd.DataFrame:
    return df


def asks_for_a_frame_as_text(df: "pd.DataFrame") -> "pd.DataFrame":
    return df


@pytest.mark.parametrize("function", [asks_for_a_frame, asks_for_a_frame_as_text])
def test_a_step_that_asks_for_a_frame_gets_one(function):
    frame = PythonStepAdapter(function).predict({"x": np.ones((2, 3), np.float32), "k": np.array([1, 2])})
    assert list(frame.columns) == ["x", "k"]
    assert [row.tolist() for row in frame["x"]] == [[1, 1, 1]] * 2
    assert frame["k"].dtype == np.int64


def asks_for_a_table(table: pa.Table) -> pa.Table:
    return table


def asks_for_a_table_as_text(table: "pyarrow.Table"):  # noqa: F821 - as an author writes it for a type checker
    return table


@pytest.mark.parametrize("function", [asks_for_a_table, asks_for_a_table_as_text])
def test_a_step_that_asks_for_a_table_gets_one(function):
    arrays = {
        "x": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "k": np.array([1, 2], np.int32),
        "s": np.array(["a", None], object),
        "ragged": np.array([np.array([1.5]), np.array([2.5, 3.5])], object),
        "empty": np.zeros((2, 0), np.float32),
    }
    table = PythonStepAdapter(function).predict(arrays)
    assert table.schema.field("x").type == pa.list_(pa.list_(pa.float32()))
    assert table.schema.field("k").type == pa.int32()
    assert table.to_pydict() == {
        "x": [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]],
        "k": [1, 2],
        "s": ["a", None],
        "ragged": [[1.5], [2.5, 3.5]],
        "empty": [[], []],
    }


@pytest.mark.parametrize("function", [lambda df: df, max, dict])
def test_any_other_step_gets_arrays_by_name(function):
    columns = {"x": np.ones(2)}
    assert PythonStepAdapter(lambda given: given).predict(columns) is columns
    assert PythonStepAdapter(function)._frame_of is None
