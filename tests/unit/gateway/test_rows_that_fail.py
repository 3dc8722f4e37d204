"""`on_error=null`: rows that fail have an error of their own beside the others' answers; and errors that name their row."""

from dataclasses import replace

import polars as pl
import pyarrow as pa
import pytest

from trivet.domain.pipeline import Validation
from trivet.engine.batch import Batch
from trivet.engine.checks.checks import Checks
from trivet.engine.checks.timed import TimedChecks
from trivet.errors import Invalid, ModelFailed, Unavailable

FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
BY_ROW = "on_error=null"
SOUND = '[{"k": 1, "s": "a"}]'
BAD, WORSE = 13, 14


def tenfold(batch: Batch) -> Batch:
    """Answers `10 k`; raises for some numbers, and remembers nothing."""
    values = batch.numpy(0)
    if (values == BAD).any():
        raise ModelFailed("ValueError: unlucky", reason="model_error")
    if (values == WORSE).any():
        raise Unavailable("the worker ended while it held this request")
    return Batch(pa.schema([pa.field("y", pa.int64(), nullable=False)]), [values * 10], batch.rows)


@pytest.fixture
def server(serve):
    return serve("k: int64; s: string", "y: int64", tenfold, sound=SOUND)


def rows_of(*numbers):
    return [{"k": number, "s": "a"} for number in numbers]


def test_rows_that_fail_have_errors_beside_the_others(server):
    rows = [*rows_of(1, BAD, 3), {"k": "four", "s": "a"}, {"k": 5}, *rows_of(6)]
    reply = server.rows(rows, query=BY_ROW)
    assert reply.status == 200
    answers = reply.json
    assert [row["in"] for row in answers] == rows
    assert [row["out"] for row in answers] == [{"y": y} for y in (10, None, 30, None, None, 60)]
    assert [row["anomaly"] for row in answers] == [{"count": count} for count in (0, None, 0, None, None, 0)]
    assert len({row["time"] for row in answers}) == 1
    assert [row["error"] for row in answers] == [
        None,
        {"message": "ValueError: unlucky", "reason": "model_error", "path": "[1]", "fix": None},
        None,
        {
            "message": "expected int64, got a string",
            "reason": "invalid_input",
            "path": "[3].k",
            "fix": "send a int64",
        },
        {
            "message": "row 4 lacks the field 's'",
            "reason": "invalid_input",
            "path": "[4]",
            "fix": "send 's': string in every row",
        },
        None,
    ]
    # The others are answered as without the rows that failed.
    assert [row["out"] for row in server.rows(rows_of(1, 3, 6)).json] == [{"y": 10}, {"y": 30}, {"y": 60}]


def test_rows_that_do_not_fail_are_answered_as_ever(server):
    plain, by_row = (server.rows(rows_of(1, 2), query=query).json for query in ("", BY_ROW))
    for row in by_row:
        assert row.pop("error") is None
    for row in (*plain, *by_row):
        row.pop("time")
        row.pop("metadata")
    assert by_row == plain
    assert [row["error"] for row in server.rows(rows_of(BAD, BAD), query=BY_ROW).json] != [None, None]


@pytest.mark.parametrize("flat", [False, True], ids=["nested", "flat"])
@pytest.mark.parametrize("form", [FILE, STREAM], ids=["file", "stream"])
def test_arrow_has_the_same_rows_and_errors(server, form, flat):
    sent = pa.table({"s": ["a", "b", None, "d"], "k": pa.array([1, BAD, 3, 4], pa.int64()), "more": [True] * 4})
    reply = server.arrow(sent, form=form, query=BY_ROW + "&dataset.flatten=true" * flat)
    assert (reply.status, reply.headers["content-type"]) == (200, form)
    rows = reply.table.to_pylist()
    if flat:
        assert reply.table.column_names == [
            *("time", "in.s", "in.k", "in.more", "out.y", "anomaly.count"),
            *(f"metadata.{name}" for name in ("last_model", "pipeline_version", "elapsed", "dropped", "partition")),
            *(f"error.{name}" for name in ("message", "reason", "path", "fix")),
        ]
        assert [row["out.y"] for row in rows] == [10, None, None, 40]
        assert [row["in.s"] for row in rows] == ["a", "b", None, "d"]
        assert [row["error.path"] for row in rows] == [None, "[1]", "[2].s", None]
    else:
        assert [row["in"] for row in rows] == sent.to_pylist()
        assert [row["out"] for row in rows] == [{"y": 10}, None, None, {"y": 40}]
        assert [row["error"] and row["error"]["path"] for row in rows] == [None, "[1]", "[2].s", None]
    assert reply.table.schema.field("time").nullable is False


def test_all_rows_may_fail_in_json_and_arrow(server):
    answers = server.rows(rows_of(BAD, BAD), query=BY_ROW + "&dataset.flatten=true").json
    assert [row["out.y"] for row in answers] == [None, None]
    assert [row["error.message"] for row in answers] == ["ValueError: unlucky"] * 2
    table = server.arrow(pa.table({"k": [BAD, BAD], "s": ["a", "b"]}), query=BY_ROW).table
    assert table["out"].to_pylist() == [None, None]
    assert [row["message"] for row in table["error"].to_pylist()] == ["ValueError: unlucky"] * 2


def test_what_is_wrong_with_all_rows_is_an_error_of_the_request(server):
    assert server.ask(b"[1, 2", query=BY_ROW).json["reason"] == "invalid_input"
    assert server.ask(b"[]", query=BY_ROW).json["error"] == "the request has no rows"
    assert server.ask(b"{}", query=BY_ROW).status == 400
    reply = server.arrow(pa.table({"k": ["a", "b"], "s": ["a", "b"]}), query=BY_ROW)
    assert (reply.status, reply.json["path"]) == (400, "k")
    assert server.rows(rows_of(1, WORSE, 3), query=BY_ROW).status == 503
    crossed = server.ask(SOUND.encode(), query=BY_ROW, accept=FILE)
    assert (crossed.status, crossed.json["error"]) == (406, "with on_error=null the answer has the request's format")
    odd = server.ask(SOUND.encode(), query="on_error=split")
    assert (odd.status, odd.json["error"]) == (400, "on_error is 'split'")
    assert server.ask(SOUND.encode(), query="on_error=raise").status == 200


def test_rows_that_are_not_objects_or_not_text_fail_alone(server):
    body = b'[{"k":1,"s":"a"}, 5, null, {"k":2,"s":"\xff"}, {"k":3,"s":"c"}]'
    answers = server.ask(body, query=BY_ROW).json
    assert [row["out"]["y"] for row in answers] == [10, None, None, None, 30]
    assert [row["in"] for row in answers] == [{"k": 1, "s": "a"}, 5, None, None, {"k": 3, "s": "c"}]
    flat = server.ask(body, query=BY_ROW + "&dataset.flatten=true&dataset[]=in.s&dataset[]=out").json
    assert [row.get("in.s") for row in flat] == ["a", None, None, None, "c"]


def test_rows_with_other_columns_than_those_before_them_fail(server):
    rows = [*rows_of(1, BAD), {"k": 2, "s": "a", "more": 1}, *rows_of(3)]
    answers = server.rows(rows, query=BY_ROW).json
    assert [row["out"]["y"] for row in answers] == [10, None, None, 30]
    assert answers[2]["error"]["path"] == "[2]"
    assert answers[2]["error"]["message"].startswith("row 2 has the field 'more', and row 0 does not")


def test_many_rows_of_which_few_fail_take_few_calls(server):
    numbers = list(range(1000, 2000))
    numbers[3] = numbers[700] = BAD
    answers = server.rows(rows_of(*numbers), query=BY_ROW).json
    assert [index for index, row in enumerate(answers) if row["error"]] == [3, 700]
    assert [row["out"]["y"] for row in answers[4:700]] == [10 * number for number in numbers[4:700]]
    assert server.runner.calls <= 2 * 2 * 10


def test_an_error_names_its_row_without_being_asked_to(server):
    reply = server.rows(rows_of(1, 2, BAD, 4, BAD))
    assert (reply.status, reply.json["error"], reply.json["path"]) == (500, "ValueError: unlucky", "[2]")
    assert server.runner.calls <= 4
    assert "path" not in server.rows(rows_of(BAD)).json
    assert server.arrow(pa.table({"k": [BAD, 2], "s": ["a", "b"]})).json["path"] == "[0]"


def test_a_call_that_only_fails_as_a_whole_names_no_row(serve):
    def alone(batch: Batch) -> Batch:
        if batch.rows > 1:
            raise Invalid("one row at a time", reason="refused_by_model")
        return batch

    server = serve("k: int64", "k: int64", alone, sound='[{"k": 1}]')
    assert "path" not in server.rows([{"k": 1}, {"k": 2}, {"k": 3}]).json
    assert [row["out"]["k"] for row in server.rows([{"k": 1}, {"k": 2}, {"k": 3}], query=BY_ROW).json] == [1, 2, 3]


class FussyChecks(TimedChecks):
    """Validations that cannot be evaluated for large outputs."""

    def evaluate(self, inputs, outputs, *, started_ns):
        if (outputs.numpy(0) > 500).any():
            raise ModelFailed("failed to evaluate the validations", reason="validation_failed")
        return super().evaluate(inputs, outputs, started_ns=started_ns)


def test_rows_whose_validations_fail_have_errors(serve, pipeline_around):
    expression = (pl.col("out.y") > 100).meta.serialize(format="json")
    server = serve("k: int64; s: string", "y: int64", tenfold, sound=SOUND)
    runner = server.runner
    checks = FussyChecks(
        Checks([Validation(name="large", expression=expression)], runner.input_schema, runner.output_schema),
        timeout_s=60.0,
    )
    server.pipelines.put(replace(pipeline_around(runner, name="model"), checks=checks))
    answers = server.rows(rows_of(1, 100, 12, BAD, 11), query=BY_ROW).json
    assert [row["anomaly"] for row in answers] == [
        {"count": count, "large": large}
        for count, large in ((0, False), (None, None), (1, True), (None, None), (1, True))
    ]
    assert [row["out"]["y"] for row in answers] == [10, None, 120, None, 110]
    assert [row["error"] and row["error"]["reason"] for row in answers] == [
        *(None, "validation_failed", None, "model_error", None)
    ]
    reply = server.rows(rows_of(1, 2, 100))
    assert (reply.json["reason"], reply.json["path"]) == ("validation_failed", "[2]")
