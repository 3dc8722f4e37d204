"""Arrow files and streams: what is taken, what is widened, what is refused, and that no bytes bring the server down."""

import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
FORMS = [FILE, STREAM]
SOUND = '[{"x": [1, 2], "k": 3, "s": "a"}]'


def floats(values, width=2):
    return pa.array(values, pa.list_(pa.float32(), width))


def sound_table(rows=3, **other):
    columns = {
        "x": floats([[index, 0.5] for index in range(rows)]),
        "k": pa.array(range(rows), pa.int64()),
        "s": pa.array([f"s{index}" for index in range(rows)], pa.string()),
    }
    return pa.table({**columns, **other})


@pytest.fixture(scope="module")
def server(serve):
    return serve("x: float32[2]; k: int64; s: string; o: float64?; l: float32[]?", sound=SOUND)


@pytest.mark.parametrize("form", FORMS)
def test_what_came_in_goes_out(server, form):
    reply = server.arrow(sound_table(), form=form)
    assert (reply.status, reply.headers["content-type"]) == (200, form)
    table = reply.table
    assert table["in"].combine_chunks().field("k").to_pylist() == [0, 1, 2]
    assert [row["x"] for row in table["out"].to_pylist()] == [[0, 0.5], [1, 0.5], [2, 0.5]]
    assert table["out"][1].as_py() | {"x": None} == {"x": None, "k": 1, "s": "s1", "o": None, "l": []}


def test_the_order_of_columns_is_the_callers_own(server):
    table = sound_table(index=pa.array([7, 8, 9])).select(["index", "s", "k", "x"])
    reply = server.arrow(table)
    assert [field.name for field in reply.table.schema.field("in").type] == ["index", "s", "k", "x"]
    assert reply.table["in"][2]["index"].as_py() == 9


@pytest.mark.parametrize("form", FORMS)
def test_several_batches_are_one_request(server, form):
    table = pa.concat_tables([sound_table(2), sound_table(3), sound_table(0), sound_table(1)])
    reply = server.arrow(table, form=form)
    assert [row["k"] for row in reply.table["out"].to_pylist()] == [0, 1, 0, 1, 2, 0]


@pytest.mark.parametrize("form", FORMS)
def test_slices_are_what_they_show(server, form):
    table = sound_table(10).slice(4, 3)
    reply = server.arrow(table, form=form)
    assert [row["x"] for row in reply.table["out"].to_pylist()] == [[4, 0.5], [5, 0.5], [6, 0.5]]
    answered = server.ask(reply.body, content_type=form, accept="application/json")
    # An answer is no request: it says so rather than guess.
    assert answered.status == 400


WIDENED = {
    "narrower integers": pa.table({"x": floats([[1, 2]]), "k": pa.array([3], pa.int8()), "s": ["a"]}),
    "unsigned that fit": pa.table({"x": floats([[1, 2]]), "k": pa.array([3], pa.uint32()), "s": ["a"]}),
    "half floats": pa.table(
        {"x": pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2, np.float16)), 2), "k": [3], "s": ["a"]}
    ),
    "lists of any length": pa.table({"x": pa.array([[1, 2]], pa.list_(pa.float32())), "k": [3], "s": ["a"]}),
    "large lists": pa.table({"x": pa.array([[1, 2]], pa.large_list(pa.float32())), "k": [3], "s": ["a"]}),
    "large strings": pa.table({"x": floats([[1, 2]]), "k": [3], "s": pa.array(["a"], pa.large_string())}),
    "nulls without a type": sound_table(1, o=pa.nulls(1)),
    "floats for an optional": sound_table(1, o=pa.array([1.5], pa.float32())),
}


@pytest.mark.parametrize("case", WIDENED, ids=str)
def test_types_that_lose_nothing_are_widened(server, case):
    reply = server.arrow(WIDENED[case])
    assert reply.status == 200, reply.body
    assert set(reply.table["out"][0].as_py()) == {"x", "k", "s", "o", "l"}


REFUSED = {
    "doubles": (
        sound_table(1).set_column(0, "x", pa.array([[1, 2]], pa.list_(pa.float64(), 2))),
        "x",
        "column 'x' is float64[2], and the model takes float32[2]",
        "cast it: column.cast(pa.list_(pa.float32(), 2))",
    ),
    "another width": (
        sound_table(1).set_column(0, "x", floats([[1, 2, 3]], 3)),
        "x",
        "column 'x' is float32[3], and the model takes float32[2]",
        "cast it",
    ),
    "ragged rows": (
        sound_table(2).set_column(0, "x", pa.array([[1, 2], [3]], pa.list_(pa.float32()))),
        "x",
        "not every row is float32[2]",
        None,
    ),
    "text for a number": (sound_table(1).set_column(1, "k", pa.array(["3"])), "k", "is string, and the model", "cast"),
    "a number for text": (sound_table(1).set_column(2, "s", pa.array([3])), "s", "is int64, and the model", "cast"),
    "unsigned that may not fit": (
        sound_table(1).set_column(1, "k", pa.array([3], pa.uint64())),
        "k",
        "is uint64, and the model takes int64",
        "cast it: column.cast(pa.int64())",
    ),
    "a null": (sound_table(1).set_column(1, "k", pa.array([None], pa.int64())), "[0].k", "may not be null", "send a"),
    "a null in the middle": (
        sound_table(3).set_column(1, "k", pa.array([1, 2, None])),
        "[2].k",
        "tensor values may not be null: 'k' has a null",
        "send a int64 in every row",
    ),
    "a null in a tensor": (sound_table(1).set_column(0, "x", floats([[1, None]])), "x", "may not be null", "send a"),
    "a null tensor": (sound_table(1).set_column(0, "x", floats([None])), "[0].x", "may not be null", "send a"),
    "a null for an optional list": (
        sound_table(1, l=pa.array([None], pa.list_(pa.float32()))),
        "[0].l",
        "tensor values may not be null",
        "a list itself is never null",
    ),
    "a lacking column": (sound_table(1).drop_columns(["k"]), "[0]", "row 0 lacks the field 'k'", "send 'k': int64"),
    "no rows": (sound_table(0), None, "the request has no rows", "send at least one row"),
    "dictionaries": (
        sound_table(1).set_column(2, "s", pa.array(["a"]).dictionary_encode()),
        "s",
        "column 's' is dictionary-encoded",
        "send plain columns (column.dictionary_decode()",
    ),
    "dictionaries in a column that nobody knows": (
        sound_table(1, z=pa.StructArray.from_arrays([pa.array(["b"]).dictionary_encode()], ["a"])),
        "z",
        "column 'z' is dictionary-encoded",
        "send plain columns",
    ),
    "run ends": (
        sound_table(2, z=pa.RunEndEncodedArray.from_arrays([2], [1])),
        "z",
        "column 'z' is run-end-encoded",
        "send plain columns",
    ),
    "views": (sound_table(1, z=pa.array(["b"], pa.string_view())), "z", "column 'z' is a view", "send plain"),
    "maps": (sound_table(1, z=pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))), "z", "'z' is a map", "send"),
    "a name twice": (
        pa.table([floats([[1, 2]]), [1], [2], ["a"]], names=["x", "k", "k", "s"]),
        "k",
        "two columns are called 'k'",
        "give each column its own name",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_wrong_column_is_refused_with_its_name_and_a_remedy(server, case):
    table, path, said, remedy = REFUSED[case]
    reply = server.arrow(table)
    assert reply.status == 400, reply.body
    error = reply.json
    assert error.get("path") == path
    assert said in error["error"]
    if remedy is not None:
        assert error["fix"].startswith(remedy)
    assert server.still_answers()


def out_of_range(kind, values, dtype=np.int64):
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.array(values, dtype))])


ODD = {
    "time32": pa.array([1, 2], pa.time32("s")),
    "time64": pa.array([1, None], pa.time64("ns")),
    "null": pa.nulls(2),
    "lists of null": pa.array([[], [None]]),
    "empty structs": pa.array([{}, {}], pa.struct([])),
    "empty lists": pa.array([[], []], pa.list_(pa.float32(), 0)),
    "null lists": pa.array([None, [1.0, 2.0]], pa.list_(pa.float32(), 2)),
    "members of one name": pa.StructArray.from_arrays([pa.array([1, 2]), pa.array([3, 4])], ["a", "a"]),
    "bytes that are no text": pa.array([b"\xff", b"\x00"]),
    "wide decimals": pa.array([Decimal("1.5"), None], pa.decimal256(60, 2)),
    "a zone that nobody knows": pa.array([1, 2], pa.timestamp("us", "Nowhere/Much")),
    "one deeper down": pa.StructArray.from_arrays([pa.array([1, 2], pa.timestamp("us", "Nowhere/Much"))], ["a"]),
    "moments beyond the year 9999": out_of_range(pa.timestamp("s"), [2**62, -(2**62)]),
    "the earliest moment": out_of_range(pa.timestamp("us"), [-(2**63), 0]),
    "nanoseconds deeper down": pa.StructArray.from_arrays([out_of_range(pa.timestamp("ns"), [2**62 + 1, 1])], ["a"]),
    "days beyond the year 9999": out_of_range(pa.date32(), [2**31 - 1, -(2**31)], np.int32),
    "spans longer than Python's": out_of_range(pa.duration("s"), [2**62, -(2**62)]),
    "NaN": pa.array([np.nan, np.inf]),
    "half floats": pa.array(np.array([1, np.inf], np.float16)),
    "UUIDs": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * 2, pa.binary(16))),
    "tensors": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [2]), pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2))
    ),
}


@pytest.mark.parametrize("accept", ["application/json", FILE, STREAM])
@pytest.mark.parametrize("case", ODD, ids=str)
def test_odd_unknown_columns_do_no_harm(server, case, accept):
    for query in ("", "dataset.flatten=true"):
        reply = server.arrow(sound_table(2, odd=ODD[case]), accept=accept, query=query)
        assert reply.status == 200, reply.body
        if accept == "application/json":
            assert len(reply.json) == 2
        else:
            reply.table.validate(full=True)


def test_rows_without_a_column_are_rows_where_everything_is_optional(serve):
    server = serve("a: float32?; l: string[]?")
    for rows in (1, 2):
        table = pa.table({"x": pa.nulls(rows)}).select([])
        reply = server.arrow(table, accept="application/json")
        assert [row["in"] for row in reply.json] == [{}] * rows
        assert [row["out"] for row in reply.json] == [{"a": None, "l": []}] * rows
        assert server.arrow(table).table["out"].to_pylist() == [{"a": None, "l": []}] * rows


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_buffers_are_taken_up_to_the_limit(serve, as_ipc, form, compression):
    server = serve("k: int64", sound='[{"k": 1}]', max_body=100_000)
    small = as_ipc(pa.table({"k": pa.array(np.zeros(10_000, np.int64))}), form=form, compression=compression)
    assert server.ask(small, content_type=form).status == 200
    bomb = as_ipc(pa.table({"k": pa.array(np.zeros(1_000_000, np.int64))}), form=form, compression=compression)
    assert len(bomb) < 100_000
    reply = server.ask(bomb, content_type=form)
    assert reply.status == 413
    assert reply.json["reason"] == "too_large"
    assert reply.json["fix"] == "send the columns without compression, or fewer rows"
    assert server.still_answers()


def test_a_bomb_is_found_where_the_footer_says_it_is(serve, as_ipc):
    server = serve("k: int64", max_body=100_000)
    body = bytearray(as_ipc(pa.table({"k": pa.array(np.zeros(1_000_000, np.int64))}), compression="zstd"))
    (footer_length,) = struct.unpack_from("<i", body, len(body) - 10)
    # An end-of-stream mark behind the schema ends a reader that goes from message to message.
    schema_end = 8 + 8 + struct.unpack_from("<i", body, 12)[0]
    footer = len(body) - 10 - footer_length
    at = bytes(body).index(struct.pack("<q", schema_end), footer)
    struct.pack_into("<q", body, at, schema_end + 8)
    body[schema_end:schema_end] = b"\xff\xff\xff\xff\x00\x00\x00\x00"
    assert pa.ipc.open_file(bytes(body)).num_record_batches == 1
    assert server.ask(bytes(body), content_type=FILE).status == 413


@pytest.mark.parametrize("column", [[{"odd-name": 1}], [[{"odd-name": 1}]]], ids=["struct", "list of structs"])
def test_a_member_name_that_is_not_utf8_is_refused(server, as_ipc, column):
    body = as_ipc(sound_table(1, more=pa.array(column))).replace(b"odd-name", b"odd-\x84ame")
    reply = server.ask(body, content_type=FILE)
    assert reply.status == 400
    assert server.ask(body, content_type=FILE, accept="application/json").status == 400


def test_bytes_that_are_not_arrow_get_a_clear_error(server):
    for body in (b"ARROW1\0\0", b'[{"x": [1, 2]}]', b"[" * 100):
        error = server.ask(body, content_type=FILE).json["error"]
        assert error == "the body is not a complete Arrow IPC file or stream: it is incomplete, or has another format"


def test_values_that_take_no_bytes_are_limited(server, as_ipc):
    endless = pa.FixedSizeListArray.from_arrays(pa.nulls(2**31 - 2), 2**31 - 2)
    body = as_ipc(sound_table(1, z=endless))
    assert len(body) < 10_000
    for accept in ("application/json", FILE):
        reply = server.ask(body, content_type=FILE, accept=accept)
        assert reply.status == 413
        assert reply.json["path"] == "z"
    rows = as_ipc(pa.table({"z": pa.nulls(2_000_000)}))
    assert server.ask(rows, content_type=FILE).status == 413
    assert server.still_answers()


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_is_cut_off_anywhere_is_refused(server, as_ipc, form):
    body = as_ipc(sound_table(2), form=form)
    # A stream without its end mark is whole: it ends where the connection does.
    whole = {len(body) - 8, len(body) - 4} if form == STREAM else set()
    for length in range(0, len(body), 7):
        reply = server.ask(body[:length], content_type=form)
        if reply.status == 200:
            assert length in whole or (form == STREAM and length > len(body) - 8), length
        else:
            assert reply.status == 400, (length, reply.body)
            assert reply.json["fix"]
    assert server.still_answers()


def test_a_message_that_announces_more_than_comes_is_refused(server, as_ipc):
    for form in FORMS:
        body = as_ipc(sound_table(50), form=form)
        error = server.ask(body[: len(body) // 2], content_type=form).json
        assert error["error"].startswith("the body is not a complete Arrow IPC file or stream")
        assert error["fix"] == "write it with pyarrow.ipc.new_file or new_stream, and close the writer"


@settings(max_examples=300)
@given(data=st.data())
def test_no_damage_to_an_arrow_body_makes_the_server_fail(server, as_ipc, data):
    form = data.draw(st.sampled_from(FORMS))
    compression = data.draw(st.sampled_from([None, "lz4"]))
    accept = data.draw(st.sampled_from(["application/json", FILE]))
    table = sound_table(2, t=pa.array([1, None], pa.timestamp("us")), z=pa.array([{"a": [1]}, None]))
    body = bytearray(as_ipc(table, form=form, compression=compression))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] ^= 1 << data.draw(st.integers(0, 7))
    reply = server.ask(bytes(body), content_type=form, accept=accept)
    assert reply.status in (200, 400, 413), reply.body
    if reply.status == 200 and accept == FILE:
        reply.table.validate(full=True)
    elif reply.status == 200 or reply.status >= 400:
        assert reply.json


def test_one_format_labelled_as_another_is_refused_kindly(server, as_ipc):
    table = as_ipc(sound_table(1))
    assert server.ask(table).json["code"] == 400
    assert server.ask(SOUND.encode(), content_type=FILE).json["code"] == 400
    # Which of the two Arrow forms it is shows in the first bytes.
    assert server.ask(table, content_type=STREAM).status == 200
    assert server.ask(b"", content_type=FILE).json["error"] == "the body is empty"
