"""What a caller can send as pandas-records, and exactly what is said about what cannot be taken."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.engine.batch import Batch

SCHEMA = "x: float32[2]; k: int64; s: string; o: float64?; l: float32[]?"
SOUND = '[{"x": [1, 2], "k": 3, "s": "a"}]'


@pytest.fixture(scope="module")
def server(serve):
    return serve(SCHEMA, sound=SOUND, max_body=32 * 2**20)


@pytest.fixture(scope="module")
def plain(serve):
    """Numbers only: the quickest way through the decoder."""
    return serve("x: float32[2]; k: int64", sound='[{"x": [1, 2], "k": 3}]')


def a_row(**other):
    return json.dumps([{"x": [1, 2], "k": 3, "s": "a", **other}])


REFUSALS = {
    "an empty body": ("", None, "the body is empty", "send a list of records"),
    "blanks": (" \n", None, "the body is empty", "send a list of records"),
    "no rows": ("[]", None, "the request has no rows", "send at least one record"),
    "an object": (
        '{"x": [1, 2]}',
        None,
        "the body is not a list of records: Expected array, got object",
        "send a list",
    ),
    "a list of lists": ("[[1, 2]]", "[0]", "the body is not a list of records: Expected object, got array", "send a"),
    "no JSON": ('[{"x": [1, 2]', None, "the body is not valid JSON", "send a list of records"),
    "NaN": (SOUND.replace("3", "NaN"), None, "the body is not valid JSON", "JSON has no NaN or Infinity"),
    "Infinity": (SOUND.replace("3", "-Infinity"), None, "the body is not valid JSON", "JSON has no NaN or Infinity"),
    "a lacking field": (
        '[{"x": [1, 2], "s": "a"}]',
        "[0]",
        "row 0 lacks the field 'k'",
        "send 'k': int64 in every row",
    ),
    "a misspelt field": (
        '[{"xx": [1, 2], "k": 3, "s": "a"}]',
        "[0]",
        "row 0 lacks the field 'x'",
        "rename 'xx' to 'x', or send 'x': float32[2] in every row",
    ),
    "one row that lacks a field": (
        '[{"x": [1, 2], "k": 3, "s": "a"}, {"x": [1, 2], "s": "a"}]',
        "[1]",
        "row 1 lacks the field 'k'",
        "send 'k': int64",
    ),
    "one row with one too many": (
        '[{"x": [1, 2], "k": 3, "s": "a"}, {"x": [1, 2], "k": 3, "s": "a", "z": 1}]',
        "[1]",
        "row 1 has the field 'z', and row 0 does not",
        "send 'z' in every row or in none",
    ),
    "the wrong width": (a_row(x=[1, 2, 3]), "[0].x", "expected 2 values, got 3", "send float32[2]"),
    "a scalar for a list": (a_row(x=1), "[0].x", "expected float32[2], got a number", "send a float32[2]"),
    "a list for a scalar": (a_row(k=[3]), "[0].k", "expected int64, got a list", "send a int64"),
    "an object for a scalar": (a_row(k={}), "[0].k", "expected int64, got an object", "send a int64"),
    "a string for a number": (a_row(x=[1, "2"]), "[0].x[1]", "expected float32, got a string", "send a float32"),
    "a number for a string": (a_row(s=1), "[0].s", "expected string, got a number", "send a string"),
    "a boolean for a number": (a_row(k=True), "[0].k", "expected int64, got a boolean", "send a int64"),
    "a fraction for an integer": (a_row(k=1.5), "[0].k", "expected int64, got a number", "send a int64"),
    "an integer too large": (
        a_row(k=2**63),
        "[0].k",
        "it must lie between -9223372036854775808 and 9223372036854775807",
        "send a int64",
    ),
    "a float too large": (a_row(x=[1, 1e39]), "[0].x[1]", "it is beyond ±3.40282e+38", "send a float32"),
    "a float that no type holds": (
        a_row(o=0).replace('"o": 0', '"o": 1e999'),
        "[0].o",
        "out of range",
        "send a float64",
    ),
    "a null": (a_row(k=None), "[0].k", "tensor values may not be null: 'k' has a null", "send a int64 in every row"),
    "a null in a tensor": (a_row(x=[1, None]), "[0].x[1]", "tensor values may not be null", "send a float32[2]"),
    "a null for an optional list": (
        a_row(l=None),
        "[0].l",
        "tensor values may not be null",
        "a list itself is never null",
    ),
    "a lone surrogate": (SOUND.replace('"a"', '"\\ud800"'), None, "the body is not valid JSON", "send a list"),
    "ten megabytes of nesting": ("[" * 10_000_000, "[0]", "the body is n", "send a list of records"),
    "ten megabytes of nesting in a field": (SOUND.replace("3", "[" * 10_000_000), None, "the body is n", "send a list"),
    "nesting in a column that nobody knows": (
        a_row(z=0).replace('"z": 0', '"z": ' + "[" * 5000 + "]" * 5000),
        None,
        "the body is nested too deeply",
        "send a list",
    ),
    "a byte order mark": ("\ufeff" + SOUND, None, "the body is not valid JSON", "send a list"),
}


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_a_bad_body_is_refused_with_its_place_and_a_remedy(server, case):
    body, path, said, remedy = REFUSALS[case]
    reply = server.ask(body.encode())
    error = reply.json
    assert (reply.status, error["code"], error["status"], error["source"]) == (400, 400, "error", "engine")
    assert error["reason"] == "invalid_input"
    assert error.get("path") == path
    assert said in error["error"]
    assert error["fix"].startswith(remedy)
    assert error["request_id"] == reply.headers["x-request-id"]
    assert reply.headers["content-type"] == "application/json"
    assert server.still_answers()


def test_bytes_that_are_no_text_are_refused_with_their_place(server):
    for body in (SOUND.encode().replace(b'"a"', b'"\xff"'), SOUND.encode("utf-16"), b"\xff"):
        error = server.ask(body).json
        assert error["code"] == 400
        assert "not valid UTF-8: byte " in error["error"]
    assert server.still_answers()


def test_a_row_in_the_middle_is_named_by_its_number(plain):
    rows = [{"x": [1, 2], "k": index} for index in range(1000)]
    rows[517]["x"] = [1, "2"]
    error = plain.rows(rows).json
    assert error["path"] == "[517].x[1]"


def test_only_the_rows_that_were_sent_reach_the_model(server):
    calls = server.runner.calls
    server.ask(b"[]")
    assert server.runner.calls == calls


def test_an_optional_field_may_be_null_or_absent_row_by_row(server):
    rows = [
        {"x": [1, 2], "k": 1, "s": "a", "o": 1.5, "l": [1]},
        {"x": [1, 2], "k": 2, "s": "b", "o": None, "l": []},
        {"x": [1, 2], "k": 3, "s": "c", "l": [None]},
        {"x": [1, 2], "k": 4, "s": "d"},
    ]
    reply = server.rows(rows)
    assert [row["out"]["o"] for row in reply.json] == [1.5, None, None, None]
    assert [row["out"]["l"] for row in reply.json] == [[1.0], [], [None], []]
    # What was not sent is not echoed.
    assert [sorted(row["in"]) for row in reply.json] == [sorted(row) for row in rows]


def test_flat_answers_hold_null_for_a_field_that_only_other_rows_have(server):
    rows = [{"x": [1, 2], "k": 1, "s": "a"}, {"x": [1, 2], "k": 2, "s": "b", "o": 1.5}]
    reply = server.rows(rows, query="dataset.flatten=true&dataset[]=in")
    assert [row["in.o"] for row in reply.json] == [None, 1.5]
    assert [row["in.k"] for row in reply.json] == [1, 2]


def test_an_optional_fixed_list_may_be_absent(serve):
    for kind in ("float32[2]", "string[2]", "float32[][2]"):
        server = serve(pa_schema(kind))
        reply = server.rows([{"k": 1}])
        assert reply.status == 200, reply.body
        assert reply.json[0]["out"]["f"] is None


def pa_schema(kind):
    return f"k: int64; f: {kind}?"


def test_a_name_close_to_an_absent_optional_field_is_asked_about(serve):
    server = serve("x: float32; temperature: float32?", sound='[{"x": 1}]')
    error = server.rows([{"x": 1, "temprature": 3}]).json
    assert error["code"] == 400
    assert error["path"] == "[0].temprature"
    assert error["error"] == "the model has no field 'temprature', and its optional field 'temperature' is absent"
    assert error["fix"].startswith("rename it to 'temperature'")
    assert server.rows([{"x": 1, "temprature": 3, "temperature": 4}]).status == 200


@pytest.mark.parametrize("accept", ["", "application/vnd.apache.arrow.file"])
def test_columns_that_the_model_does_not_know_come_back_as_they_came(plain, accept):
    rows = [{"x": [1, 2], "k": i, "index": i, "name": "é", "deep": {"a": [i, None]}, "null": None} for i in range(3)]
    reply = plain.rows(rows, accept=accept)
    assert reply.status == 200
    given = reply.table.to_pylist() if accept else reply.json
    assert [row["in"] for row in given] == rows
    assert all(set(row["out"]) == {"x", "k"} for row in given)


@pytest.mark.parametrize(
    "value",
    ["1e400", '[1, "a"]', "184467440737095516160", "[" * 100 + "]" * 100, "{}", "[]", '"\\u0000"', "[[], {}]", "-0.0"],
)
@pytest.mark.parametrize("accept", ["", "application/vnd.apache.arrow.file", "application/vnd.apache.arrow.stream"])
def test_odd_values_in_unknown_columns_do_no_harm(plain, value, accept):
    body = f'[{{"x": [1, 2], "k": 3, "odd": {value}}}]'.encode()
    for query in ("", "dataset.flatten=true", "dataset[]=in.odd"):
        reply = plain.ask(body, accept=accept, query=query)
        assert reply.status == 200, (value, reply.body)
        if accept:
            reply.table.validate(full=True)
        else:
            assert value.encode() in reply.body
            json.loads(reply.body)


def test_the_last_of_two_equal_keys_counts_and_only_it_comes_back(plain):
    reply = plain.ask(b'[{"x": [1, 2], "k": 3, "k": 4}]')
    assert reply.json[0]["out"]["k"] == 4
    assert reply.body.count(b'"k"') == 2  # once in `in`, once in `out`
    assert reply.json[0]["in"] == {"x": [1, 2], "k": 4}


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
def test_integers_beyond_2_to_the_53_stay_exact(plain, number):
    body = f'[{{"x": [1, 2], "k": {number}}}]'.encode()
    reply = plain.ask(body)
    assert f'"k":{number}'.encode() in reply.body.partition(b'"out"')[2]
    assert reply.json[0]["in"]["k"] == number
    assert plain.ask(body, accept="application/vnd.apache.arrow.file").table["out"][0]["k"].as_py() == number


def test_unsigned_integers_stay_exact(serve):
    server = serve("u: uint64; v: uint64[2]")
    top = 2**64 - 1
    row = server.rows([{"u": top, "v": [top, 0]}]).json[0]
    assert row["out"] == {"u": top, "v": [top, 0]}
    for wrong in (-1, top + 1):
        assert server.rows([{"u": wrong, "v": [0, 0]}]).json["path"] == "[0].u"


def test_nan_and_infinity_are_answered_as_null(serve):
    def odd(batch):
        values = np.array([[np.nan, 1.5, np.inf]] * batch.rows, np.float32)
        return Batch(outputs, [values, values[:, 0].astype(np.float64)], batch.rows)

    server = serve("k: int64", "y: float32[3]; z: float64", odd)
    outputs = server.runner.output_schema
    for count in (1, 3):
        reply = server.rows([{"k": 1}] * count)
        assert [row["out"] for row in reply.json] == [{"y": [None, 1.5, None], "z": None}] * count


def test_nan_reaches_arrow_callers_as_it_is(serve):
    server = serve("k: int64", "z: float64", lambda batch: Batch(outputs, [np.full(batch.rows, np.nan)], batch.rows))
    outputs = server.runner.output_schema
    table = server.rows([{"k": 1}], accept="application/vnd.apache.arrow.file").table
    assert np.isnan(table["out"][0]["z"].as_py())


@pytest.mark.parametrize("indent", [None, 0, 2, "\t", "\r\n"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_white_space_in_a_body_changes_nothing(plain, indent, count):
    rows = [{"x": [index, 0.5], "k": index} for index in range(count)]
    text = "\n " + json.dumps(rows, indent=indent if indent != "\r\n" else None) + "\r\n"
    reply = plain.ask(text.replace(",", ",\r\n").encode())
    assert [row["in"] for row in reply.json] == rows
    assert [row["out"]["k"] for row in reply.json] == list(range(count))


@pytest.mark.parametrize("key", ['k"', "k}", "{k", "k\\", "grüße", "a b", "\u2028", "naïve.k", "😀", ",", "[]"])
def test_a_field_may_be_called_anything(serve, key):
    server = serve(f"{json.dumps(key)}: int64; x: float32[2]")
    rows = [{key: index, "x": [1.0, 2.0]} for index in range(3)]
    for ascii_only in (True, False):
        reply = server.ask(json.dumps(rows, ensure_ascii=ascii_only).encode())
        assert [row["in"] for row in reply.json] == rows
        assert [row["out"] for row in reply.json] == rows
    flat = server.rows(rows, query="dataset.flatten=1&dataset[]=out").json
    assert flat[2] == {f"out.{key}": 2, "out.x": [1.0, 2.0]}


@pytest.mark.parametrize("text", ["", "\x00", "é", "😀", '"', "\\", "\n\t", "</script>", "}{", "\u2028", "x" * 100_000])
def test_strings_come_back_as_they_were(serve, text):
    server = serve("s: string; l: string[]")
    rows = [{"s": text, "l": [text, text]}, {"s": "b", "l": []}]
    for accept in ("", "application/vnd.apache.arrow.stream"):
        reply = server.rows(rows, accept=accept)
        given = reply.table.to_pylist() if accept else reply.json
        assert [row["out"] for row in given] == rows
        assert [row["in"] for row in given] == rows


def test_a_hundred_thousand_rows_are_answered(plain):
    body = b"[" + b",".join(b'{"x":[1,2],"k":%d}' % index for index in range(100_000)) + b"]"
    reply = plain.ask(body, query="dataset[]=out")
    assert reply.status == 200
    assert [row["out"]["k"] for row in reply.json] == list(range(100_000))


def test_what_pandas_writes_is_taken(serve):
    server = serve("t: timestamp[ms]; x: float64[]; name: string?; flag: bool")
    frame = pd.DataFrame(
        {
            "t": pd.to_datetime(["2024-01-01T00:00:00.123", "1969-12-31T23:59:59.999"]),
            "x": [[1.0, 2.0], []],
            "name": ["a", None],
            "flag": [True, False],
        }
    )
    text = frame.to_json(orient="records", date_format="iso")
    # Older versions wrote milliseconds since 1970.
    epochs = text.replace('"2024-01-01T00:00:00.123"', "1704067200123").replace('"1969-12-31T23:59:59.999"', "-1")
    assert epochs != text
    for body in (text, epochs):
        reply = server.ask(body.encode())
        assert [row["out"]["t"] for row in reply.json] == ["2024-01-01T00:00:00.123", "1969-12-31T23:59:59.999"]
        assert [row["out"]["name"] for row in reply.json] == ["a", None]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "k", "s", "z"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=250)
@given(
    rows=values | st.lists(st.fixed_dictionaries({"x": values, "k": values, "s": values}, optional={"z": values})),
    accept=st.sampled_from(["", "application/vnd.apache.arrow.file"]),
    query=st.sampled_from(["", "dataset.flatten=1", "dataset[]=in.z&dataset[]=out.k"]),
)
def test_no_json_makes_the_server_fail(server, rows, accept, query):
    reply = server.ask(json.dumps(rows).encode("utf-8", "surrogatepass"), accept=accept, query=query)
    assert reply.status in (200, 400)
    if reply.status == 400 or not accept:
        assert reply.json


@settings(max_examples=250)
@given(data=st.data())
def test_no_damage_to_a_body_makes_the_server_fail(server, data):
    body = bytearray(a_row(o=1.5, l=[1, 2], z={"a": ["b", None, 1e3]}).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    del body[data.draw(st.integers(0, len(body)) | st.just(len(body))) :]
    reply = server.ask(bytes(body))
    assert reply.status in (200, 400)
    assert reply.json


def test_a_failure_of_our_own_says_nothing_of_the_inside(serve, caplog):
    def broken(_batch):
        raise RuntimeError("the secret is hunter2")

    server = serve("k: int64", "k: int64", broken)
    with caplog.at_level(logging.ERROR):
        reply = server.rows([{"k": 1}])
    assert reply.status == 500
    assert reply.json["error"] == "Internal processing error"
    assert reply.json["source"] == "engine"
    assert b"hunter2" not in reply.body
    assert reply.json["request_id"] in caplog.text
    assert "the secret is hunter2" in caplog.text
