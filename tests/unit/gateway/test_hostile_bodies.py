"""Small bodies that stand for very much: each is refused or answered, and holds at most a hundred times of its size."""

import gzip
import json
import zlib

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from trivet_tests.hostile.bodies import FILE, JSON, STREAM, encoded, ipc
from trivet_tests.hostile.corpus import entries
from trivet_tests.hostile.entry import Hostile, within_bounds

SCHEMA = "x: bool; wide: float32[1000]?"


def ask_within_bounds(server, body: bytes, hostile: Hostile) -> int:
    with within_bounds(hostile, size=len(body)):
        return server.ask(body, **hostile.about).status


@pytest.fixture(scope="module")
def server(serve):
    return serve(SCHEMA, sound='[{"x": true}]', max_body=32 * 2**20)


@pytest.mark.parametrize("hostile", entries("arrow", "json", "compressed"), ids=str)
def test_a_hostile_body_is_answered_within_its_bounds(server, hostile):
    assert ask_within_bounds(server, hostile.make(), hostile) == hostile.outcome
    assert server.still_answers()


def generated(kind, make, **about) -> Hostile:
    return Hostile(kind=kind, name="generated", make=make, outcome=0, about=about)


@st.composite
def arrow_bodies(draw: st.DrawFn) -> Hostile:
    rows = draw(st.sampled_from([1, 7, 1000, 20_000, 300_000]))
    kinds = st.sampled_from([pa.bool_(), pa.int8(), pa.float64(), pa.null(), pa.struct([])])
    columns = {"x": np.zeros(rows, bool)}
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(kinds)
        values = pa.Array.from_buffers(kind, rows, [None]) if kind == pa.struct([]) else pa.array(np.zeros(rows, bool))
        if kind != pa.struct([]):
            values = pa.nulls(rows, kind) if pa.types.is_null(kind) else values.cast(pa.int8()).cast(kind)
        columns[draw(st.text("ab", min_size=1, max_size=3)) * draw(st.sampled_from([1, 300]))] = values
    stream = draw(st.booleans())
    body = ipc(pa.table(columns), compression=draw(st.sampled_from([None, "zstd", "lz4"])), stream=stream)
    squeezed = draw(st.booleans())
    return generated(
        "arrow",
        lambda: gzip.compress(body) if squeezed else body,
        content_type=STREAM if stream else FILE,
        accept=draw(st.sampled_from([JSON, FILE])),
        **(encoded("gzip") if squeezed else {}),
    )


@st.composite
def json_bodies(draw: st.DrawFn) -> Hostile:
    row = {
        "x": draw(st.booleans()),
        draw(st.text(max_size=5)): draw(st.sampled_from([None, 0, [], {}, "a" * 99, [[]]])),
    }
    if draw(st.booleans()):
        row["wide"] = [0] * 1000
    body = json.dumps([row] * draw(st.sampled_from([1, 50, 4000]))).encode()
    squeezed = draw(st.sampled_from(["", "gzip", "deflate", "zstd"]))
    squeeze = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[squeezed]
    accept = draw(st.sampled_from([JSON, FILE]))
    return generated("json", lambda: squeeze(body), content_type=JSON, accept=accept, **encoded(squeezed))


@seed(20_261_129)
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(hostile=st.one_of(arrow_bodies(), json_bodies()))
def test_no_request_holds_more_than_a_hundred_times_its_body(server, hostile):
    assert ask_within_bounds(server, hostile.make(), hostile) in (200, 400, 413)
