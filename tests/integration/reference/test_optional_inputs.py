"""The reference's three inputs, two of them optional: a required list, an optional list, an optional factor.

The document shows tables and answers, and no code: `examples/optional_inputs` is a model that answers so. Its schemas are
the document's, written by pyarrow, where a field is nullable unless it says otherwise.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "optional_inputs"

INPUTS = pa.schema(
    [
        pa.field("input_1", pa.list_(pa.float32()), nullable=False),
        pa.field("input_2", pa.list_(pa.float32())),
        pa.field("multiply_factor", pa.int32()),
    ]
)
OUTPUTS = pa.schema([pa.field("output", pa.list_(pa.float32()))])

FIRST = [[1.0, 2.0], [3.0, 4.0]]
EVERYTHING = {"input_1": FIRST, "input_2": [[5.0, 6.0], [7.0, 8.0]], "multiply_factor": [2, 3]}
EMPTY_LISTS = {"input_1": FIRST, "input_2": [[], []], "multiply_factor": [2, 3]}
NOTHING_OPTIONAL = {"input_1": FIRST, "input_2": [[], []], "multiply_factor": [None, None]}
LISTS_OF_NULLS = {"input_1": FIRST, "input_2": [[None], [None, None]], "multiply_factor": [None, 3]}

DOCUMENTED = pytest.mark.parametrize(
    ("columns", "output"),
    [
        pytest.param(EVERYTHING, [[12.0, 16.0], [30.0, 36.0]], id="all values"),
        pytest.param(EMPTY_LISTS, [[2.0, 4.0], [9.0, 12.0]], id="empty lists"),
        pytest.param(NOTHING_OPTIONAL, FIRST, id="empty lists and no factors"),
        pytest.param(LISTS_OF_NULLS, [[1.0, 2.0], [9.0, 12.0]], id="lists of nulls"),
    ],
)


def test_an_answer_says_that_its_inputs_are_those_of_a_package(service):
    assert service.table(pa.table(EVERYTHING, schema=INPUTS)).schema.metadata == {b"trivet.inputs": b"not null"}


def records(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def service(served, write_schema, write_zip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("optional")
    package = write_zip(
        folder / "optional_inputs.zip",
        top="optional_inputs",
        files={name: (EXAMPLE / name).read_text() for name in ("custom_inference.py", "requirements.txt")},
    )
    schemas = (
        "--input-schema", write_schema(folder / "input.arrow", INPUTS),
        "--output-schema", write_schema(folder / "output.arrow", OUTPUTS),
    )  # fmt: skip
    with served(package, *schemas) as running:
        yield running


@DOCUMENTED
def test_a_table_gets_the_documented_answers(service, rows_of, columns, output):
    answer = service.table(pa.table(columns, schema=INPUTS))
    assert rows_of(answer, "output") == output
    inputs = answer.column("in").to_pylist()
    assert inputs == records(columns)


@DOCUMENTED
def test_records_get_the_documented_answers(service, columns, output):
    answer = service.records(records(columns))
    assert [row["out"]["output"] for row in answer] == output
    assert [row["in"] for row in answer] == records(columns)
    assert [row["anomaly"] for row in answer] == [{"count": 0}] * 2


@DOCUMENTED
def test_a_data_frame_gets_the_documented_answers(service, columns, output):
    """As pandas writes it: a column with both numbers and None is one of floats, and goes out as 3.0 and null."""
    text = pd.DataFrame(columns).to_json(orient="records")
    answer = service.records(pd.io.json.ujson_loads(text))
    assert [row["out"]["output"] for row in answer] == output


@DOCUMENTED
def test_each_row_alone_gets_the_same_answer(service, columns, output):
    alone = [service.records([row])[0]["out"]["output"] for row in records(columns)]
    assert alone == output


def test_optional_fields_may_be_left_out(service, rows_of):
    assert [row["out"]["output"] for row in service.records([{"input_1": [1.0, 2.0]}])] == [[1.0, 2.0]]
    assert rows_of(service.table(pa.table({"input_1": FIRST}, schema=pa.schema([INPUTS.field(0)]))), "output") == FIRST


def test_rows_with_and_without_optional_values_share_a_request(service):
    rows = [
        {"input_1": [1.0, 2.0], "input_2": [5.0, 6.0], "multiply_factor": 2},
        {"input_1": [3.0, 4.0, 5.0], "input_2": [], "multiply_factor": None},
        {"input_1": [7.0]},
        {"input_1": [], "multiply_factor": 4},
    ]
    assert [row["out"]["output"] for row in service.records(rows)] == [[12.0, 16.0], [3.0, 4.0, 5.0], [7.0], []]


def test_a_column_of_none_without_a_schema_is_accepted(service, rows_of):
    """pyarrow types such a column as null; the document says to name the schema, which is then not needed."""
    table = pa.table({"input_1": pa.array(FIRST, pa.list_(pa.float32())), "multiply_factor": [None, None]})
    assert table.schema.field("multiply_factor").type == pa.null()
    assert rows_of(service.table(table), "output") == FIRST


def test_a_list_column_of_nothing_but_empty_lists_needs_its_schema(service):
    """As the document says. The answer names the type."""
    said = service.refusal(pa.table({"input_1": pa.array(FIRST, pa.list_(pa.float32())), "input_2": [[], []]}))
    assert said["path"] == "input_2"
    assert "float32[]" in said["error"]
    assert "pa.list_(pa.float32())" in said["fix"]


def without(name, value):
    return {**EVERYTHING, name: value}


def nullable(columns):
    """A table whose own schema forbids nothing."""
    return pa.table(columns, schema=pa.schema([field.with_nullable(True) for field in INPUTS]))


REFUSED = pytest.mark.parametrize(
    ("columns", "path", "fix"),
    [
        pytest.param(
            without("input_1", [[1.0, 2.0], None]), "[1].input_1", "only a field declared nullable", id="required list"
        ),
        pytest.param(
            without("input_1", [[1.0, None], [3.0, 4.0]]), "input_1", "only a field declared nullable",
            id="item of the required list",
        ),
        pytest.param(
            without("input_2", [None, [7.0, 8.0]]), "[0].input_2", "send an empty list []", id="optional list itself"
        ),
    ],
)  # fmt: skip


@REFUSED
def test_a_null_where_none_may_be_is_refused_in_json(service, columns, path, fix):
    said = service.refusal(records(columns))
    assert (said["code"], said["status"], said["source"]) == (400, "error", "engine")
    assert said["error"].startswith("tensor values may not be null")
    assert path in said["path"]
    assert fix in said["fix"]
    assert service.records(records(EVERYTHING))[0]["out"] == {"output": [12.0, 16.0]}


@REFUSED
def test_a_null_where_none_may_be_is_refused_in_arrow(service, columns, path, fix):
    said = service.refusal(nullable(columns))
    assert said["error"].startswith("tensor values may not be null")
    assert path in said["path"]
    assert fix in said["fix"]


def test_the_required_list_cannot_be_left_out(service):
    said = service.refusal([{"input_2": [1.0], "multiply_factor": 2}])
    assert "input_1" in said["error"]


@pytest.mark.parametrize("wrong", [2.5, "two", True, 2**31])
def test_a_factor_that_is_not_an_int32_is_an_error_and_not_null(service, wrong):
    said = service.refusal([{"input_1": [1.0]}, {"input_1": [1.0], "multiply_factor": wrong}])
    assert said["path"] == "[1].multiply_factor"
    assert "int32" in said["error"] or "integer" in said["error"]
