"""`on_error`: what becomes of rows that fail."""

import json

import pandas as pd
import polars as pl
import pytest

from trivet.errors import Invalid
from trivet.sdk import answers, frames
from trivet.sdk.calls import Reply
from trivet.sdk.given_rows import given_rows
from trivet.sdk.row_errors import split_answer

NO_ERROR = dict.fromkeys(("error.message", "error.reason", "error.path", "error.fix"))


def reply(*outputs):
    """An answer whose rows fail where an output is None."""
    records = [
        {"time": 0, "in.x": row, "out.y": y, "anomaly.count": None if y is None else 0, **NO_ERROR}
        | ({"error.message": "no", "error.path": f"[{row}]"} if y is None else {})
        for row, y in enumerate(outputs)
    ]
    return Reply(status=200, content=json.dumps(records).encode())


def frame_of(*outputs):
    return pd.DataFrame({"x": range(len(outputs))}, index=range(10, 10 + len(outputs)))


def test_integers_beside_nulls_keep_all_their_digits():
    outputs = (2**53 + 1, None)
    found = answers.answer_of(frame_of(*outputs), reply(*outputs))
    assert (found["out.y"][10], found["out.y"].dtype) == (2**53 + 1, "Int64")
    assert found["out.y"].isna().to_dict() == {10: False, 11: True}
    large = answers.answer_of(frame_of(*outputs), reply(2**63, None))
    assert large["out.y"][10] == 2**63


def test_a_split_keeps_the_index_and_the_types_of_a_plain_answer():
    outputs = (1, None, 3)
    good, bad = split_answer(frame_of(*outputs), reply(*outputs), separator="_", is_sorted=False)
    assert list(good.columns) == ["time", "in_x", "out_y", "anomaly_count"]
    assert (good["out_y"].dtype, list(good.index), list(bad.index)) == ("int64", [10, 12], [11])
    assert list(bad.columns) == ["time", "in_x", "error_message", "error_reason", "error_path", "error_fix"]


def test_frames_without_rows_have_their_columns():
    good, bad = split_answer(frame_of(1), reply(1), separator=".", is_sorted=False)
    assert (len(bad), "error.message" in bad, str(bad["time"].dtype)) == (0, True, "datetime64[ms]")
    good, bad = split_answer(frame_of(None), reply(None), separator=".", is_sorted=False)
    assert (len(good), list(good["out.y"]), len(bad)) == (0, [], 1)


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_an_infinite_value_names_its_row_or_fails_alone(library):
    data = library.DataFrame({"x": [1.0, 2.0, float("-inf")]})

    def content(*, by_row):
        rows = given_rows(data, by_row=by_row).rows
        return frames.request_of(
            rows, url="http://x", timeout_s=1, dataset=None, dataset_exclude=None, by_row=by_row
        ).content

    with pytest.raises(Invalid) as raised:
        content(by_row=False)
    assert raised.value.path == "[2].x"
    assert json.loads(content(by_row=True)) == [{"x": 1.0}, {"x": 2.0}, {"x": "-inf"}]
