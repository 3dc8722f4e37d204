"""A page of a log in the formats that clients ask for."""

import pyarrow as pa

from trivet.control.http.log_answer import ARROW_FILE, ARROW_STREAM, log_answer
from trivet.inference_log import LogPage

ROWS = pa.table(
    {
        "time": pa.chunked_array([pa.array([1]), pa.array([2])]),
        "in.x": pa.chunked_array([pa.array([[1.0]]), pa.array([[2.0]])]),
        "in.y.z": pa.array(["a", "b"]),
        "out.p": pa.array([0.5, 0.25]),
    }
)
PAGE = LogPage(table=ROWS, status="All", cursor=None)


def test_the_columns_of_a_part_become_one_struct():
    table = pa.ipc.open_file(log_answer(PAGE, ARROW_FILE, is_nested=True).body).read_all()
    assert table.to_pylist() == [
        {"time": 1, "in": {"x": [1.0], "y.z": "a"}, "out": {"p": 0.5}},
        {"time": 2, "in": {"x": [2.0], "y.z": "b"}, "out": {"p": 0.25}},
    ]


def test_columns_stay_flat_where_structs_are_not_asked_for():
    assert pa.ipc.open_stream(log_answer(PAGE, ARROW_STREAM).body).read_all() == ROWS
