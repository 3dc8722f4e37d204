"""Rows on their way there, and answers on their way back."""

import datetime
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trivet.errors import Internal, Invalid, NotFound, Unsupported
from trivet.sdk import answers, frames
from trivet.sdk.calls import Reply


def request(data, **about):
    said = {"url": "http://x/infer", "timeout_s": 1, "dataset": None, "dataset_exclude": None, **about}
    return frames.request_of(data, **said)


def answer(data, records, **about):
    return answers.answer_of(data, Reply(status=200, content=json.dumps(records).encode()), **about)


def arrow_reply(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return Reply(status=200, content=sink.getvalue().to_pybytes())


FRAME = pd.DataFrame({"tensor": [[1.0]]})


def test_a_frame_goes_as_records_with_every_digit():
    call = request(pd.DataFrame({"tensor": [[1.067832472934567, 2.0]], "small": [1.25e-12]}))
    assert call.content == b'[{"tensor":[1.067832472934567,2.0],"small":1.25e-12}]'
    assert call.headers["Content-Type"] == call.headers["Accept"] == "application/json; format=pandas-records"
    assert call.query["dataset[]"] == "time,in,out,anomaly"
    assert call.query["dataset.flatten"] == "true"


def test_cells_may_be_arrays_and_times():
    when = pd.Timestamp("2024-01-31T12:00:00")
    call = request(pd.DataFrame({"image": [np.ones((1, 2), np.float32)], "when": [when]}))
    assert json.loads(call.content) == [{"image": [[1.0, 1.0]], "when": "2024-01-31T12:00:00.000"}]


def test_a_frame_that_pandas_cannot_write_is_refused():
    with pytest.raises(Invalid, match="two columns of one name"):
        request(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(Invalid, match="cannot be sent as JSON"):
        request(pd.DataFrame({"a": [object()]}))
    with pytest.raises(Invalid, match="column 'a' has an infinite value"):
        request(pd.DataFrame({"a": [1.0, float("-inf")]}))


def test_every_kind_of_column_has_its_json():
    frame = pd.DataFrame(
        {
            "nan": [1.5, float("nan")],
            "nullable": pd.array([1, None], dtype="Int64"),
            "large": np.array([1, 2**63], np.uint64),
            "text": pd.array(["x", None], dtype="string"),
            "kind": pd.Categorical(["u", "v"]),
            "flag": [True, False],
            "fine": pd.to_datetime(["2024-01-31 00:00:00.000000001", None]),
            "zoned": pd.to_datetime(["2024-01-31", "2024-02-01"]).tz_localize("Europe/Berlin"),
            "day": [datetime.date(2024, 1, 31), pd.NaT],
            "length": pd.to_timedelta(["1.5s", None]),
            "exact": [Decimal("1.50"), pd.NA],
            "bytes": [b"ab", None],
            "ragged": [np.arange(2), [{"a": np.int64(1)}]],
            5: [1, 2],
        },
        index=[7, 7],
    )
    first, second = json.loads(request(frame).content)
    assert first == {
        "nan": 1.5,
        "nullable": 1,
        "large": 1,
        "text": "x",
        "kind": "u",
        "flag": True,
        "fine": "2024-01-31T00:00:00.000000001",
        "zoned": "2024-01-30T23:00:00.000Z",
        "day": "2024-01-31",
        "length": 1.5,
        "exact": "1.50",
        "bytes": "YWI=",
        "ragged": [0, 1],
        "5": 1,
    }
    assert second == {
        **dict.fromkeys(["nan", "nullable", "text", "fine", "day", "length", "exact", "bytes"]),
        "large": 2**63,
        "kind": "v",
        "flag": False,
        "zoned": "2024-01-31T23:00:00.000Z",
        "ragged": [{"a": 1}],
        "5": 2,
    }


def test_records_may_hold_numpys_values():
    rows = [
        {
            "a": np.float32(1.5),
            "b": np.arange(2),
            "c": np.float16(0.5),
            "d": float("nan"),
            "e": datetime.date(2024, 1, 2),
        }
    ]
    assert json.loads(request(rows).content) == [{"a": 1.5, "b": [0, 1], "c": 0.5, "d": None, "e": "2024-01-02"}]


def test_integers_of_any_size_are_sent_and_received_exactly():
    numbers = [2**63, 2**64 - 1, 2**64, -(2**63) - 1, 2**70]
    rows = [{"id": number, "more": {"deep": [number, np.float32(0.5)]}} for number in numbers]
    assert json.loads(request(rows).content) == [{"id": number, "more": {"deep": [number, 0.5]}} for number in numbers]
    assert json.loads(request(pd.DataFrame({"id": numbers})).content) == [{"id": number} for number in numbers]
    assert answer(rows, [{"id": number} for number in numbers]) == [{"id": number} for number in numbers]


def test_one_record_is_a_list_of_one():
    assert request({"a": 1}).content == b'[{"a":1}]'


@pytest.mark.parametrize("data", [None, "text", 7, {}, {1, 2}])
def test_what_cannot_be_asked_with_is_refused(data):
    with pytest.raises(Invalid, match="cannot be sent as rows"):
        request(data)


def test_records_that_json_cannot_hold_are_refused():
    with pytest.raises(Invalid, match="cannot be sent as JSON"):
        request([{"a": object()}])


def test_parts_and_columns_can_be_chosen():
    call = request(FRAME, dataset=["out.x", "metadata"], dataset_exclude="time")
    assert call.query["dataset[]"] == "out.x,metadata"
    assert call.query["dataset.exclude[]"] == "time"


def test_an_answer_to_a_frame_has_the_references_columns_in_its_order():
    record = {
        "out.z": [1.0], "anomaly.fraud": True, "anomaly.count": 1, "in.tensor": [1.0], "time": 1721686245906,
        "out.B": [1], "out.a": [1], "anomaly.Big": False, "out_challenger.x": [2.0], "metadata.elapsed": [1],
    }  # fmt: skip
    found = answer(FRAME, [record], is_sorted=True)
    assert list(found.columns) == [
        "time", "in.tensor", "out.B", "out.a", "out.z", "anomaly.count", "anomaly.Big", "anomaly.fraud",
        "metadata.elapsed", "out_challenger.x",
    ]  # fmt: skip
    assert found["time"].dtype == "datetime64[ms]"
    assert found["time"][0] == pd.Timestamp("2024-07-22T22:10:45.906")
    assert found["anomaly.count"].dtype == np.int64
    assert found["out.z"][0] == [1.0]


def test_an_answer_has_the_columns_as_sent_and_the_frames_index():
    frame = pd.DataFrame({"z": [1, 2], "a": [3, 4]}, index=["p", "q"])
    records = [{"time": 5, "in.z": z, "in.a": 3, "out.y": z, "anomaly.low": 1, "anomaly.count": 1} for z in (1, 2)]
    found = answer(frame, records)
    assert list(found.columns) == ["time", "in.z", "in.a", "out.y", "anomaly.count", "anomaly.low"]
    assert list(found.index) == ["p", "q"]
    frame["answer"] = found["out.y"]
    assert frame["answer"].to_list() == [1, 2]


def test_another_separator_stands_after_the_part_only():
    assert list(answer(FRAME, [{"out.a.b": 1}], separator="_").columns) == ["out_a.b"]


def test_records_come_back_as_records():
    assert answer([{"a": 1}], [{"out.x": 1}]) == [{"out.x": 1}]


def test_a_table_comes_back_as_the_reference_has_it():
    sent = pa.table({"tensor": pa.array([[1.0]], pa.list_(pa.float32()))})
    inner = pa.list_(pa.field("inner", pa.float32(), nullable=False))
    answered = pa.table(
        [
            pa.array([[1.0]], inner),
            pa.array([[2.0]], pa.list_(pa.float32())),
            pa.array([0], pa.uint32()),
            pa.array([5]),
        ],
        schema=pa.schema(
            [
                pa.field("out.dense_1", inner, nullable=False, metadata={"tensor_type": '{"shape":[1]}'}),
                pa.field("in.tensor", pa.list_(pa.float32())),
                pa.field("anomaly.count", pa.uint32(), nullable=False),
                pa.field("time", pa.int64(), nullable=False),
            ]
        ),
    )
    found = answers.answer_of(sent, arrow_reply(answered), is_sorted=True)
    assert found.schema.to_string() == (
        "time: timestamp[ms]\n"
        "in.tensor: list<item: float>\n"
        "  child 0, item: float\n"
        "out.dense_1: list<inner: float not null> not null\n"
        "  child 0, inner: float not null\n"
        "anomaly.count: uint32 not null"
    )


def test_the_inputs_of_a_package_come_back_as_the_reference_has_them():
    """As the document on optional inputs prints them; a column that has nulls does not say that it has none."""
    columns = {
        "in.input_1": pa.array([[1.0, 2.0]], pa.list_(pa.float32())),
        "in.multiply_factor": pa.array([None], pa.int32()),
        "out.output": pa.array([[1.0, 2.0]], pa.list_(pa.float64())),
    }
    answered = pa.table(columns).replace_schema_metadata({"trivet.inputs": "not null"})
    found = answers.answer_of(pa.table({"input_1": [[1.0, 2.0]]}), arrow_reply(answered), is_sorted=True)
    assert found.schema.to_string(show_schema_metadata=True) == (
        "in.input_1: list<item: float> not null\n"
        "  child 0, item: float\n"
        "in.multiply_factor: int32\n"
        "out.output: list<item: double> not null\n"
        "  child 0, item: double"
    )


@pytest.mark.parametrize("data", [FRAME, [{"a": 1}], pa.table({"a": [1]})])
def test_an_invalid_answer_is_an_internal_error(data):
    with pytest.raises(Internal, match="answer is not"):
        answers.answer_of(data, Reply(status=200, content=b"<html>"))


def test_a_log_becomes_a_frame_with_lists():
    table = pa.table(
        {"time": pa.array([5], pa.timestamp("ms")), "out.x": pa.array([[1.0, 2.0]], pa.list_(pa.float32()))}
    )
    found = answers.to_frame(table)
    assert found["time"].dtype == "datetime64[ms]"
    assert found["out.x"][0] == [1.0, 2.0]


def test_files_are_read_by_how_they_are_called(tmp_path):
    table = pa.table({"tensor": [[1.0]]})
    for name, new in (("file.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with new(str(tmp_path / name), table.schema) as writer:
            writer.write_table(table)
        assert frames.load_rows(tmp_path / name).equals(table)
    (tmp_path / "rows.df.json").write_text('[{"tensor":[1.0]}]')
    (tmp_path / "columns.json").write_text('{"tensor":{"0":[1.0]}}')
    for name in ("rows.df.json", "columns.json"):
        assert frames.load_rows(tmp_path / name)["tensor"].to_dict() == {0: [1.0]}


def test_files_without_rows_are_refused(tmp_path):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.arrow").write_bytes(b"nothing")
    for name in ("a.json", "b.arrow"):
        with pytest.raises(Invalid, match="holds no rows"):
            frames.load_rows(tmp_path / name)
    with pytest.raises(NotFound, match="file not found"):
        frames.load_rows(tmp_path / "c.json")
    (tmp_path / "d.csv").write_text("a")
    with pytest.raises(Unsupported, match="neither"):
        frames.load_rows(tmp_path / "d.csv")
