"""Large JSON bodies are read and written in pieces, which changes nothing but how long Python's lock is held."""

import json

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Anomalies
from trivet.errors import Invalid
from trivet.gateway.answer import Answer
from trivet.gateway.formats.dataset import parse_selection
from trivet.gateway.formats.json_pieces import PIECE_BYTES, row_groups
from trivet.gateway.formats.records import LARGE, RecordsDecoder
from trivet.gateway.formats.records_out import ROWS_AT_ONCE, RecordsWriter
from trivet.gateway.formats.stamp import Stamp

decode = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
TEXTS = st.sampled_from(['},{"', "} , {", "}", "{", '"', "\\", "[", "]", ",", "é", "word"])
VALUES = st.recursive(
    st.none() | st.integers() | st.lists(TEXTS, max_size=4).map("".join),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
ROWS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=12)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@given(rows=ROWS, separators=SPACES, piece_bytes=st.integers(1, 200))
def test_pieces_hold_the_rows_of_the_whole(rows, separators, piece_bytes):
    body = f" {json.dumps(rows, separators=separators)} ".encode()
    assert [row for group in row_groups(body, decode, piece_bytes=piece_bytes) for row in group] == decode(body)


@given(
    rows=ROWS,
    at=st.floats(0, 1),
    put=st.sampled_from(["", ",", "]", "[", "{", "}", '"', "x", ",,", "}{", "[{}],"]),
    piece_bytes=st.integers(1, 60),
)
def test_no_piece_of_a_damaged_body_makes_it_valid(rows, at, put, piece_bytes):
    text = json.dumps(rows)
    body = (text[: int(at * len(text))] + put + text[int(at * len(text)) + 1 :]).encode()
    try:
        whole = decode(body)
    except msgspec.DecodeError:
        with pytest.raises(msgspec.DecodeError):
            list(row_groups(body, decode, piece_bytes=piece_bytes))
    else:
        assert [row for group in row_groups(body, decode, piece_bytes=piece_bytes) for row in group] == whole


def test_no_text_that_is_read_at_once_is_long():
    read = []

    def recording(text):
        read.append(len(text))
        return decode(text)

    rows = [{"name": f"number {number}, with }} and {{", "value": number} for number in range(40_000)]
    body = json.dumps(rows).encode()
    assert len(body) > 10 * PIECE_BYTES
    assert sum(len(group) for group in row_groups(body, recording)) == len(rows)
    assert max(read) < 2 * PIECE_BYTES + 200


@pytest.mark.parametrize("more", [{}, {"extra": "}, {"}, {"maybe": None}], ids=["strict", "lenient", "nulls"])
def test_a_large_body_becomes_what_its_rows_say(more):
    schema = pa.schema(
        [
            pa.field("text", pa.string()),
            pa.field("pair", pa.list_(pa.float32(), 2)),
            pa.field("number", pa.int64()),
            *([pa.field("maybe", pa.float64())] if "maybe" in more else []),
        ]
    )
    rows = [{"text": f"}}, {{{n}", "pair": [n, 0.5], "number": n, **more} for n in range(30_000)]
    body = json.dumps(rows).encode()
    assert len(body) > LARGE
    inputs = RecordsDecoder(schema).decode(body)
    assert inputs.batch.rows == len(rows)
    assert inputs.batch.arrow(0).to_pylist() == [row["text"] for row in rows]
    assert np.array_equal(inputs.batch.numpy(1), np.array([row["pair"] for row in rows], np.float32))
    assert inputs.batch.arrow(2).to_pylist() == list(range(30_000))
    assert [json.loads(text) for text in inputs.texts()[::4999]] == rows[::4999]


def test_an_error_in_a_large_body_names_its_row():
    rows = [{"number": number} for number in range(50_000)]
    rows[49_998]["number"] = "x"
    with pytest.raises(Invalid) as refused:
        RecordsDecoder(pa.schema([pa.field("number", pa.int64())])).decode(json.dumps(rows).encode())
    assert refused.value.path == "[49998].number"


@pytest.mark.parametrize(
    "query", [b"", b"dataset[]=out", b"dataset[]=*&dataset.flatten=true", b"dataset[]=in.extra&dataset[]=out.y"]
)
@pytest.mark.parametrize("more", [{}, {"extra": [1, "}"]}], ids=["plain", "more"])
def test_many_rows_are_written_as_a_few_are(query, more):
    inputs, outputs = (
        pa.schema([("x", pa.float64())]),
        pa.schema([("y", pa.list_(pa.float32(), 2)), ("t", pa.string())]),
    )
    writer = RecordsWriter(parse_selection(query), outputs, Stamp("{}", "version", "here"), ["check"])

    def written(numbers):
        batch = Batch(
            outputs,
            [np.array([[n, 0.5] for n in numbers], np.float32), pa.array([f"}}{n}" for n in numbers])],
            len(numbers),
        )
        sent = RecordsDecoder(inputs).decode(json.dumps([{"x": n / 2, **more} for n in numbers]).encode())
        wrong = np.array([n % 3 == 0 for n in numbers])
        anomalies = Anomalies(count=wrong.astype(np.uint32), columns={"check": wrong})
        return json.loads(bytes(writer.write(Answer(sent, batch, 1, (2, 3), anomalies))))

    numbers = range(2 * ROWS_AT_ONCE + 5)
    assert written(numbers) == [row for start in numbers[::1000] for row in written(numbers[start : start + 1000])]
