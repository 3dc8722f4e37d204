"""How the answers to single rows are joined."""

import pandas as pd
import pytest

from trivet.errors import Invalid
from trivet.sdk.parallel import join_answers, name_row

NO_ERROR = dict.fromkeys(("error.message", "error.reason", "error.path", "error.fix"))
FAILED = {"error.message": "no", "error.reason": "invalid_input", "error.path": "[0].x", "error.fix": None}


def answer(row, y):
    record = {"time": pd.Timestamp(0), "out.y": y, **(NO_ERROR if y is not None else FAILED)}
    return pd.DataFrame([record], index=[row])


def test_integers_beside_nulls_keep_their_digits_when_joined():
    found = join_answers([answer("a", 2**53 + 1), answer("b", None)], on_error="null")
    assert (found["out.y"]["a"], found["out.y"].dtype, found["time"].dtype) == (2**53 + 1, "Int64", "datetime64[ms]")
    assert found["error.path"]["b"] == "[1].x"


def test_joined_splits_have_the_types_of_rows_that_are_there():
    parts = [answer("a", None), answer("b", 2), answer("c", 3)]
    splits = [(each[each["error.message"].isna()], each[each["error.message"].notna()]) for each in parts]
    good, bad = join_answers(splits, on_error="split")
    assert (list(good.index), good["out.y"].to_list(), list(bad.index)) == (["b", "c"], [2, 3], ["a"])
    good, bad = join_answers(splits[:1], on_error="split")
    assert (len(good), list(good.columns)) == (0, list(parts[0].columns))


def test_an_error_names_the_row_of_the_frame():
    for path, named in (("[0].x", "[7].x"), ("[0]", "[7]"), ("dataset", "dataset"), (None, None)):
        error = Invalid("no", path=path)
        name_row(error, 7)
        assert error.path == named


def test_no_rows_have_no_answers():
    with pytest.raises(Invalid, match="there are no rows to send"):
        join_answers([], on_error="null")
