"""Models and answers that nobody on this project made: through the command and HTTP, as JSON and as Arrow."""

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

pytestmark = pytest.mark.conformance

RECORDS = "application/json; format=pandas-records"
ARROW_FILE = "application/vnd.apache.arrow.file"
ARROW_STREAM = "application/vnd.apache.arrow.stream"

CASES = (
    "onnx-ccfraud",
    "onnx-ccfraud-1001-rows",
    "onnx-house-price-gbr",
    "onnx-house-price-rf",
    "onnx-two-inputs-two-outputs",
)


def field(name: str, kind: pa.DataType, *, shape: list[int] | None = None) -> pa.Field:
    metadata = None if shape is None else {"tensor_type": json.dumps({"shape": shape}, separators=(",", ":"))}
    return pa.field(name, kind, nullable=False, metadata=metadata)


METADATA = pa.struct(
    [
        field("last_model", pa.string()),
        field("pipeline_version", pa.string()),
        field("elapsed", pa.list_(pa.field("steps", pa.uint64(), nullable=False))),
        field("dropped", pa.list_(pa.string())),
        field("partition", pa.string()),
    ]
)


@pytest.fixture(scope="module")
def cases(conformance: Path) -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads((conformance / "cases.json").read_text())}


def test_every_onnx_case_is_run(cases):
    assert {name for name, case in cases.items() if case["framework"] == "onnx"} == set(CASES)


@pytest.fixture(scope="module")
def served(conformance: Path, long_shell) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """A server for a case; cases of one file share it."""
    running: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:

        def of(case: dict[str, Any]) -> Any:
            if case["file"] not in running:
                fields = case.get("configure", {}).get("tensor_fields")
                flags = ["--tensor-fields", ",".join(fields)] if fields else []
                running[case["file"]] = stack.enter_context(long_shell.serve(conformance / case["file"], *flags))
            return running[case["file"]]

        yield of


def frame_of(case: dict[str, Any], conformance: Path) -> pd.DataFrame:
    if "records" in case["input"]:
        return pd.DataFrame(case["input"]["records"])
    return pa.ipc.open_file(conformance / case["input"]["arrow_file"]).read_all().to_pandas()


def table_of(case: dict[str, Any], conformance: Path) -> pa.Table:
    if "arrow_file" in case["input"]:
        return pa.ipc.open_file(conformance / case["input"]["arrow_file"]).read_all()
    columns = {
        name: np.array([row[name] for row in case["input"]["records"]], np.float32) for name in names_in(case, None)
    }
    return pa.table(
        {
            name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
            for name, values in columns.items()
        }
    )


def names_in(case: dict[str, Any], table: pa.Table | None) -> list[str]:
    return table.schema.names if table is not None else list(case["input"]["records"][0])


def expected_of(case: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("out."): values for name, values in case["expected"].items() if name != "rows"}


def assert_outputs(case: dict[str, Any], found: dict[str, list[list[float]]]) -> None:
    expected = expected_of(case)
    assert list(found) == sorted(expected)
    for name, values in expected.items():
        if case["rtol"] == 0:
            assert found[name] == values
        else:
            assert np.shape(found[name])[1:] == np.shape(values)[1:]
            np.testing.assert_allclose(found[name][: len(values)], values, rtol=case["rtol"])
    if "rows" in case["expected"]:
        assert len(found[name]) == case["expected"]["rows"]


@pytest.mark.parametrize("name", CASES)
def test_records_are_answered_with_records(name, cases, conformance, served):
    case, server = cases[name], served(cases[name])
    sent = frame_of(case, conformance).to_json(orient="records", double_precision=10)
    before_ms = int(time.time() * 1000) - 1
    answer = server.post(sent.encode(), headers={"Accept": RECORDS})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == RECORDS
    rows = answer.json()
    assert [row["in"] for row in rows] == json.loads(sent)
    for row in rows[:20]:
        assert list(row) == ["time", "in", "out", "anomaly", "metadata"]
        assert isinstance(row["time"], int)
        assert before_ms <= row["time"] <= time.time() * 1000 + 1
        assert row["anomaly"] == {"count": 0}
        assert list(row["metadata"]) == ["last_model", "pipeline_version", "elapsed", "dropped", "partition"]
        assert json.loads(row["metadata"]["last_model"]) == {
            "model_name": name_of(case),
            "model_sha": hashlib.sha256((conformance / case["file"]).read_bytes()).hexdigest(),
        }
        uuid.UUID(row["metadata"]["pipeline_version"])
        assert [type(part) for part in row["metadata"]["elapsed"]] == [int, int]
        assert row["metadata"]["dropped"] == []
        assert isinstance(row["metadata"]["partition"], str)
    assert_outputs(case, {name: [row["out"][name] for row in rows] for name in rows[0]["out"]})


def name_of(case: dict[str, Any]) -> str:
    return Path(case["file"]).stem.replace("_", "-")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("content", [ARROW_FILE, ARROW_STREAM])
def test_tables_are_answered_with_tables(name, content, cases, conformance, served, make):
    case, server = cases[name], served(cases[name])
    table = table_of(case, conformance)
    stream = content == ARROW_STREAM
    answer = server.post(make.arrow(table, stream=stream), content=content, headers={"Accept": content})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content
    found = (pa.ipc.open_stream if stream else pa.ipc.open_file)(answer.content).read_all()
    found.validate(full=True)
    assert found.schema.equals(schema_of(case, table), check_metadata=True), found.schema.to_string()
    assert found.num_rows == table.num_rows
    for column, values in zip(table.schema.names, found["in"].combine_chunks().flatten(), strict=True):
        assert values.to_pylist() == table[column].to_pylist()
    outputs = found["out"].combine_chunks()
    names = [outputs.type.field(index).name for index in range(outputs.type.num_fields)]
    assert_outputs(case, {name: outputs.field(name).to_pylist() for name in names})
    assert set(found["anomaly"].to_pylist()[0]) == {"count"}
    metadata = found["metadata"].to_pylist()[-1]
    assert json.loads(metadata["last_model"])["model_name"] == name_of(case)
    assert metadata["dropped"] == []
    assert len(metadata["elapsed"]) == 2


def schema_of(case: dict[str, Any], table: pa.Table) -> pa.Schema:
    """The answer's schema, as it was captured from the service that these models were served by."""
    ins = [
        field(name, pa.list_(pa.field("item", pa.float32())), shape=[table.schema.field(name).type.list_size])
        for name in table.schema.names
    ]
    outs = [
        field(name, pa.list_(pa.field("inner", pa.float32(), nullable=False)), shape=[len(values[0])])
        for name, values in sorted(expected_of(case).items())
    ]
    return pa.schema(
        [
            field("time", pa.int64()),
            field("in", pa.struct(ins)),
            field("out", pa.struct(outs)),
            field("anomaly", pa.struct([field("count", pa.uint32(), shape=[])])),
            field("metadata", METADATA),
        ]
    )


@pytest.mark.parametrize("name", CASES)
def test_each_format_is_answered_in_the_other_where_that_is_asked_for(name, cases, conformance, served, make):
    case, server = cases[name], served(cases[name])
    table = table_of(case, conformance)
    as_records = server.post(make.arrow(table), content=ARROW_FILE, headers={"Accept": RECORDS}).json()
    assert_outputs(case, {name: [row["out"][name] for row in as_records] for name in as_records[0]["out"]})
    sent = frame_of(case, conformance).to_json(orient="records").encode()
    as_table = pa.ipc.open_file(server.post(sent, headers={"Accept": ARROW_FILE}).content).read_all()
    assert_outputs(case, {name: [row[name] for row in as_table["out"].to_pylist()] for name in as_records[0]["out"]})


@pytest.mark.parametrize("query", ["?dataset[]=out", "?dataset%5B%5D=out", "?dataset[]=*&dataset.exclude[]=metadata"])
def test_parts_of_an_answer_can_be_chosen(query, cases, served):
    server = served(cases["onnx-ccfraud"])
    row = server.post(cases["onnx-ccfraud"]["input"]["records"], query=query).json()[0]
    assert list(row) == (["out"] if "=out" in query else ["time", "in", "out", "anomaly"])


def test_a_flat_answer_makes_a_data_frame_with_dotted_columns(cases, served):
    case = cases["onnx-two-inputs-two-outputs"]
    answer = served(case).post(case["input"]["records"], query="?dataset.flatten=true")
    frame = pd.DataFrame(answer.json())
    assert list(frame.columns) == [
        *("time", "in.input_1", "in.input_2", "out.output_1", "out.output_2", "anomaly.count"),
        *(f"metadata.{name}" for name in ("last_model", "pipeline_version", "elapsed", "dropped", "partition")),
    ]
    assert_outputs(case, {name: frame[f"out.{name}"].tolist() for name in ("output_1", "output_2")})
    table = served(case).post(
        case["input"]["records"], query="?dataset.flatten=true&dataset[]=out", headers={"Accept": ARROW_FILE}
    )
    assert pa.ipc.open_file(table.content).read_all().schema.names == ["out.output_1", "out.output_2"]


def test_what_is_served_says_its_name_version_and_digest(cases, conformance, served):
    server = served(cases["onnx-ccfraud"])
    model = server.get("/models").json()["models"][0]
    pipeline = server.get("/pipelines").json()["pipelines"][0]
    digest = hashlib.sha256((conformance / "onnx/ccfraud.onnx").read_bytes()).hexdigest()
    assert (model["name"], model["sha"], model["status"]) == ("ccfraud", digest, "Running")
    assert (pipeline["id"], pipeline["status"]) == ("ccfraud", "Running")
    assert server.get("/healthz").status_code == server.get("/readyz").status_code == 200
    assert 'trivet_rows_total{pipeline="ccfraud"}' in server.get("/metrics").text
    assert server.get("/openapi.json").json()["info"]["title"] == "ccfraud"
    assert "ccfraud" in server.get("/docs").text
