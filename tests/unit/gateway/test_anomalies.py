"""What validations find, in every form of an answer."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from trivet.domain.pipeline import Validation
from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Checks
from trivet.engine.checks.timed import TimedChecks
from trivet.gateway.pipelines import Pipelines

FILE = "application/vnd.apache.arrow.file"
INPUTS = parse_schema("tensor: float32[2]; age: int64?")
OUTPUTS = parse_schema("dense_1: float32[1]")
ROWS = [{"tensor": [0.95, 0], "age": 70}, {"tensor": [0.1, 0], "age": None}, {"tensor": [0.5, 0.5], "age": 66}]


def first_of_tensor(batch):
    return Batch(OUTPUTS, [np.ascontiguousarray(batch.numpy(0)[:, :1])], batch.rows)


@pytest.fixture(scope="module")
def server(make_pipeline, served_by):
    conditions = {"old": pl.col("in.age") > 65, "fraud": pl.col("out.dense_1").list.get(0) > 0.9}
    validations = [
        Validation(name=name, expression=condition.meta.serialize(format="json"))
        for name, condition in conditions.items()
    ]
    pipeline = make_pipeline(INPUTS, OUTPUTS, first_of_tensor, name="checked")
    server = served_by(Pipelines())
    server.pipelines.put(replace(pipeline, checks=TimedChecks(Checks(validations, INPUTS, OUTPUTS), timeout_s=60)))
    return server


FOUND = [
    {"count": 2, "fraud": True, "old": True},
    {"count": 0, "fraud": False, "old": False},
    {"count": 1, "fraud": False, "old": True},
]


def test_each_row_has_the_count_and_the_sorted_results_of_validations(server):
    reply = server.rows(ROWS)
    assert [row["anomaly"] for row in reply.json] == FOUND
    assert list(reply.json[0]["anomaly"]) == ["count", "fraud", "old"]
    assert [list(row) for row in reply.json] == [["time", "in", "out", "anomaly", "metadata"]] * 3
    assert server.rows(ROWS[:1]).json[0]["anomaly"] == FOUND[0]


def test_in_arrow_the_count_is_unsigned_and_results_are_booleans(server):
    table = server.rows(ROWS, accept=FILE).table
    kind = table.schema.field("anomaly").type
    assert [(field.name, field.type, field.nullable) for field in kind] == [
        ("count", pa.uint32(), False),
        ("fraud", pa.bool_(), False),
        ("old", pa.bool_(), False),
    ]
    assert table.column("anomaly").to_pylist() == FOUND


def test_flat_answers_have_a_column_for_each(server):
    query = "dataset.flatten=true&dataset[]=anomaly"
    flat = [{f"anomaly.{name}": value for name, value in row.items()} for row in FOUND]
    assert server.rows(ROWS, query=query).json == flat
    assert server.rows(ROWS, query=query, accept=FILE).table.to_pylist() == flat


@pytest.mark.parametrize("accept", ["", FILE])
def test_one_validation_can_be_asked_for_or_left_out(server, accept):
    def asked(query):
        reply = server.rows(ROWS, query=query, accept=accept)
        return reply.table.to_pylist() if accept else reply.json

    assert asked("dataset[]=anomaly.fraud") == [{"anomaly": {"fraud": row["fraud"]}} for row in FOUND]
    assert asked("dataset[]=anomaly&dataset.exclude[]=anomaly.old") == [
        {"anomaly": {"count": row["count"], "fraud": row["fraud"]}} for row in FOUND
    ]


def test_a_validation_that_is_not_there_is_refused_with_those_that_are(server):
    reply = server.rows(ROWS, query="dataset[]=anomaly.frauds")
    assert reply.status == 400
    assert reply.json["error"] == "the answer has no column 'anomaly.frauds'"
    assert reply.json["fix"] == "did you mean anomaly.fraud?"


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float32())], ids=str
)
def test_rows_in_arrow_are_judged_as_rows_in_json_are(server, kind):
    table = pa.table(
        {
            "age": pa.array([row["age"] for row in ROWS], pa.int32()),
            "tensor": pa.array([row["tensor"] for row in ROWS], kind),
        }
    )
    assert server.arrow(table).table.column("anomaly").to_pylist() == FOUND


def test_a_column_that_may_be_missing_is_null_to_validations(server):
    reply = server.rows([{"tensor": [0.95, 0]}])
    assert reply.json[0]["anomaly"] == {"count": 1, "fraud": True, "old": False}


def test_many_rows_are_judged_beside_the_event_loop_with_the_same_result(server):
    rows = ROWS * 20_000
    reply = server.rows(rows, query="dataset[]=anomaly")
    assert [row["anomaly"] for row in reply.json] == FOUND * 20_000
