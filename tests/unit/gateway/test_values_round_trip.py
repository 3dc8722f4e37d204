"""Every type that a schema can say, through every form: what goes in is what the model gets and what comes out."""

import base64
import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
UTC = datetime.UTC
at = datetime.datetime.fromisoformat

# What is sent as JSON, what the model holds in Arrow, and the JSON that comes back where it is written otherwise.
CASES = [
    ("bool", True, True, None),
    ("bool[2]", [True, False], [True, False], None),
    ("int8", -128, -128, None),
    ("uint64", 2**64 - 1, 2**64 - 1, None),
    ("int64[2]", [2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)], None),
    ("int64", 3.0, 3, 3),
    ("float16", 65504, 65504.0, 65504.0),
    ("float32", 0.1, float(np.float32(0.1)), 0.1),
    ("float32[2,2]", [[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
    ("float32[*,2]", [[1.5, 2.5]], [[1.5, 2.5]], None),
    ("float64[]", [], [], None),
    ("float64", 12345678901234567890123, 1.2345678901234568e22, 1.2345678901234568e22),
    ("string", "é\x00😀", "é\x00😀", None),
    ("string[2]", ["a", ""], ["a", ""], None),
    ("string[]", [], [], None),
    ("binary", base64.b64encode(b"\xff\x00").decode(), b"\xff\x00", None),
    ("binary(2)", base64.b64encode(b"hi").decode(), b"hi", None),
    ("decimal128(10,2)", "1.25", Decimal("1.25"), None),
    ("decimal128(10,2)", 1.5, Decimal("1.50"), "1.50"),
    (
        "decimal128(38,0)",
        "12345678901234567890123456789012345678",
        Decimal(12345678901234567890123456789012345678),
        None,
    ),
    ("date32", "2024-02-29", datetime.date(2024, 2, 29), None),
    ("date64", "1969-12-31", datetime.date(1969, 12, 31), None),
    ("timestamp[s]", "2024-02-29T12:00:00", at("2024-02-29T12:00:00"), None),
    ("timestamp[ms]", "2024-02-29T12:00:00.125", at("2024-02-29T12:00:00.125000"), None),
    ("timestamp[ms]", 1721686245906, at("2024-07-22T22:10:45.906000"), "2024-07-22T22:10:45.906"),
    ("timestamp[ms]", "2024-01-01T01:00:00+02:00", at("2023-12-31T23:00:00"), "2023-12-31T23:00:00.000"),
    ("timestamp[s]", 1999, at("1970-01-01T00:00:01"), "1970-01-01T00:00:01"),
    ("timestamp[us]", "1600-01-01T00:00:00.000001", at("1600-01-01T00:00:00.000001"), None),
    ("timestamp[us, UTC]", "2024-01-01T00:00:00.000001Z", at("2024-01-01T00:00:00.000001+00:00"), None),
    (
        "timestamp[us, Europe/Berlin]",
        "2024-01-01T01:00:00+01:00",
        at("2024-01-01T00:00:00+00:00"),
        "2024-01-01T00:00:00.000000Z",
    ),
    (
        "timestamp[ms][2]",
        ["2024-01-01", "2024-01-02"],
        [at("2024-01-01T00:00:00"), at("2024-01-02T00:00:00")],
        ["2024-01-01T00:00:00.000", "2024-01-02T00:00:00.000"],
    ),
    ("duration[ms]", 1.5, datetime.timedelta(seconds=1.5), None),
    ("duration[s]", 3, datetime.timedelta(seconds=3), 3.0),
    ("duration[us][]", [0.000001, 2], [datetime.timedelta(microseconds=1), datetime.timedelta(seconds=2)], [1e-6, 2.0]),
    ("struct{a: int64, b: string?}", {"a": 2**60 + 1, "b": None}, {"a": 2**60 + 1, "b": None}, None),
    ("struct{a: int64, b: string?}", {"a": 1}, {"a": 1, "b": None}, {"a": 1, "b": None}),
    (
        "struct{t: timestamp[ms], v: float32[2], n: binary, d: duration[s]?}[]",
        [{"t": "2024-01-01T00:00:00.000", "v": [1.0, 2.0], "n": "aGk=", "d": 1.0}],
        [{"t": at("2024-01-01T00:00:00"), "v": [1.0, 2.0], "n": b"hi", "d": datetime.timedelta(seconds=1)}],
        None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{index}" for index, case in enumerate(CASES)])
@pytest.mark.parametrize("mark", ["", "?"])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_value_reaches_the_model_and_comes_back(serve, case, mark, rows):
    kind, sent, held, written = case
    seen = []

    def look(batch):
        seen.append(batch.record_batch())
        return type(batch)(batch.schema, batch.columns, batch.rows)

    server = serve(f"v: {kind}{mark}", None, look)
    reply = server.rows([{"v": sent}] * rows)
    assert reply.status == 200, reply.body
    assert seen[0].column(0).to_pylist() == [held] * rows
    assert [row["in"]["v"] for row in reply.json] == [sent] * rows
    back = sent if written is None else written
    assert [row["out"]["v"] for row in reply.json] == [back] * rows

    table = server.rows([{"v": sent}] * rows, accept=STREAM).table
    assert table["out"].combine_chunks().field("v").to_pylist() == [held] * rows
    again = pa.table({"v": pa.array([held] * rows, seen[0].schema.field(0).type)})
    for accept in ("application/json", FILE):
        answer = server.arrow(again, accept=accept)
        assert answer.status == 200, answer.body
        assert seen[-1].equals(seen[0])
        if accept != FILE:
            assert [row["in"]["v"] for row in answer.json] == [back] * rows


REFUSED = [
    ("timestamp[ms]", "yesterday", "[0].v", "send ISO 8601, or milliseconds since 1970"),
    ("timestamp[ms]", True, "[0].v", "expected timestamp[ms], got a boolean"),
    ("timestamp[ms]", 2**63, "[0].v", "it is too far from 1970"),
    ("timestamp[ns]", 10**16, "[0].v", "it is too far from 1970"),
    ("timestamp[ns]", "9999-01-01", "[0].v", "it is too far from 1970"),
    ("date32", "2024-02-30", "[0].v", "send ISO 8601, such as 2024-02-29"),
    ("date32", 1, "[0].v", "expected date32, got a number"),
    ("duration[ms]", 1e308, "[0].v", "it is too long"),
    ("duration[ns]", 2**63, "[0].v", "it is too long"),
    ("duration[ms]", "1", "[0].v", "expected duration[ms], got a string"),
    ("decimal128(10,2)", "1.255", "[0].v", "expected decimal128(10,2), got a string that does not fit"),
    ("decimal128(10,2)", "NaN", "[0].v", "expected decimal128(10,2)"),
    ("decimal128(10,2)", "1E+9999999", "[0].v", "expected decimal128(10,2)"),
    ("decimal128(10,2)", 99999999999, "[0].v", "expected decimal128(10,2)"),
    ("decimal128(10,2)", "x", "[0].v", "send a number, or a string that holds one"),
    ("binary", "hi!", "[0].v", "bytes are sent as base64"),
    ("binary", "é", "[0].v", "bytes are sent as base64"),
    ("binary(16)", "aGk=", "[0].v", "it is 2 bytes long"),
    ("struct{a: int64}", {"a": 1, "b": 2}, "[0].v.b", "'b' is not a member of struct{a: int64}"),
    ("struct{a: int64}", {}, "[0].v.a", "tensor values may not be null"),
    ("struct{a: int64}", [], "[0].v", "expected struct{a: int64}, got a list"),
    ("float32[2,2]", [[1, 2], [3]], "[0].v[1]", "expected 2 values, got 1"),
    ("float32[]", [1, [2]], "[0].v[1]", "expected float32, got a list"),
    ("string[]", ["a", 1], "[0].v[1]", "expected string, got a number"),
    ("bool", 1, "[0].v", "expected bool, got a number"),
    ("float16", 65520, "[0].v", "it is beyond ±65504"),
    ("int8", 128, "[0].v", "it must lie between -128 and 127"),
]


@pytest.mark.parametrize("case", REFUSED, ids=[f"{case[0]}-{case[1]}"[:40] for case in REFUSED])
@pytest.mark.parametrize("mark", ["", "?"])
def test_a_value_that_does_not_fit_is_refused_with_its_place(serve, case, mark):
    kind, sent, path, said = case
    server = serve(f"v: {kind}{mark}")
    reply = server.rows([{"v": sent}])
    assert reply.status == 400, reply.body
    assert reply.json["path"] == path
    assert said in reply.json["error"]
    assert reply.json["fix"]


@pytest.mark.parametrize(
    "kind",
    [
        "int64",
        "float32",
        "bool",
        "string",
        "binary",
        "timestamp[ms]",
        "date32",
        "duration[s]",
        "decimal128(9,1)",
        "struct{a: int8}",
    ],
)
def test_a_null_stays_a_null(serve, kind):
    server = serve(f"k: int8; v: {kind}?")
    for rows in (1, 2):
        for accept in ("", FILE):
            reply = server.rows([{"k": 1, "v": None}] * rows, accept=accept)
            assert reply.status == 200, reply.body
            given = reply.table.to_pylist() if accept else reply.json
            assert [row["out"]["v"] for row in given] == [None] * rows
            assert [row["in"]["v"] for row in given] == [None] * rows


def test_nanoseconds_survive(serve):
    server = serve("t: timestamp[ns]")
    reply = server.rows([{"t": "2024-01-01T00:00:00.123456789"}])
    assert reply.json[0]["out"]["t"] == "2024-01-01T00:00:00.123456789"
    whole = server.rows([{"t": "2024-01-01T00:00:00.123456789"}], accept=FILE).table["out"].combine_chunks().field("t")
    assert whole.cast(pa.int64()).to_pylist() == [1704067200123456789]


def test_times_beyond_the_year_9999_do_no_harm(serve):
    server = serve("t: timestamp[ms]")
    for moment in (99999999999999999, -99999999999999999):
        reply = server.rows([{"t": moment}])
        assert reply.status == 200
        assert isinstance(reply.json[0]["out"]["t"], str)


def test_lists_in_answers_have_the_shapes_that_notebooks_expect(serve):
    table = serve("tensor: float32[3]; s: string").rows([{"tensor": [1, 2, 3], "s": "a"}] * 2, accept=FILE).table
    schema = table.schema
    assert schema.names == ["time", "in", "out", "anomaly", "metadata"]
    assert [str(schema.field(name).nullable) for name in schema.names] == ["False"] * 5
    assert schema.field("time").type == pa.int64()
    inner = schema.field("in").type.field("tensor")
    assert str(inner.type) == "list<item: float>"
    assert not inner.nullable
    assert inner.metadata == {b"tensor_type": b'{"shape":[3]}'}
    outer = schema.field("out").type.field("tensor")
    assert str(outer.type) == "list<inner: float not null>"
    assert not outer.nullable
    assert outer.metadata == {b"tensor_type": b'{"shape":[3]}'}
    count = schema.field("anomaly").type.field("count")
    assert (count.type, count.nullable) == (pa.uint32(), False)
    metadata = schema.field("metadata").type
    assert [(field.name, str(field.type), field.nullable) for field in metadata] == [
        ("last_model", "string", False),
        ("pipeline_version", "string", False),
        ("elapsed", "list<steps: uint64 not null>", False),
        ("dropped", "list<item: string>", False),
        ("partition", "string", False),
    ]
    frame = table.flatten().to_pandas()
    assert list(frame["out.tensor"][0]) == [1, 2, 3]


def test_the_json_answer_has_the_shape_that_notebooks_expect(serve):
    row = serve("tensor: float32[3]").rows([{"tensor": [1.5, 2, 3]}]).json[0]
    assert list(row) == ["time", "in", "out", "anomaly", "metadata"]
    assert row["in"] == {"tensor": [1.5, 2, 3]}
    assert row["out"] == {"tensor": [1.5, 2.0, 3.0]}
    assert row["anomaly"] == {"count": 0}
    assert list(row["metadata"]) == ["last_model", "pipeline_version", "elapsed", "dropped", "partition"]
    assert row["metadata"]["last_model"] == '{"model_name":"model","model_sha":"' + "ab" * 32 + '"}'
    assert [type(step) for step in row["metadata"]["elapsed"]] == [int, int]
    assert abs(datetime.datetime.now(UTC).timestamp() * 1000 - row["time"]) < 60_000
