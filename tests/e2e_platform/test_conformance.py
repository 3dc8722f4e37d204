"""Models and answers that nobody on this project made: through a platform, whoever asks, whatever comes before the model."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
import requests
from onnx import TensorProto, helper

from trivet import Client, Framework

pytestmark = pytest.mark.conformance

RECORDS = "application/json; format=pandas-records"
ARROW_FILE = "application/vnd.apache.arrow.file"
CASES = (
    "onnx-ccfraud",
    "onnx-ccfraud-1001-rows",
    "onnx-house-price-gbr",
    "onnx-house-price-rf",
    "onnx-two-inputs-two-outputs",
)
SHAPES = ("alone", "renamed", "stepped")
SAME = """
from mac.types import InferenceData


def process_data(input_data: InferenceData) -> InferenceData:
    return dict(input_data)
"""


@pytest.fixture(scope="module")
def cases(conformance: Path) -> dict[str, dict[str, Any]]:
    """The cases of ONNX models; `table` holds what is sent."""
    found = {}
    for case in json.loads((conformance / "cases.json").read_text()):
        if case["framework"] == "onnx":
            found[case["id"]] = {**case, "path": conformance / case["file"], "table": table_of(case, conformance)}
    return found


def table_of(case: dict[str, Any], conformance: Path) -> pa.Table:
    if "arrow_file" in case["input"]:
        return pa.ipc.open_file(conformance / case["input"]["arrow_file"]).read_all()
    rows = case["input"]["records"]
    columns = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}
    return pa.table(
        {
            name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
            for name, values in columns.items()
        }
    )


def frame_of(case: dict[str, Any]) -> pd.DataFrame:
    rows = case["input"].get("records")
    return case["table"].to_pandas() if rows is None else pd.DataFrame(rows)


def name_of(case: dict[str, Any]) -> str:
    return case["path"].stem.replace("_", "-")


def as_sent(shape: str, name: str) -> str:
    """The step that renames takes other names."""
    return f"sent-{name}" if shape == "renamed" else name


def write_rename(path: Path, widths: dict[str, int]) -> Path:
    """An ONNX file that answers `sent-x` as `x`."""

    def value(name: str, width: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])

    graph = helper.make_graph(
        name="rename",
        inputs=[value(f"sent-{name}", width) for name, width in widths.items()],
        outputs=[value(name, width) for name, width in widths.items()],
        nodes=[helper.make_node("Identity", [f"sent-{name}"], [name]) for name in widths],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """What the platform's environment says of its database."""
    if request.param == "sqlite":
        return {}
    return {"TRIVET_DATABASE_URL": request.getfixturevalue("postgres_server").new_database()}


@pytest.fixture(scope="module")
def platform(database: dict[str, str], start_platform: Callable[..., Any]) -> Iterator[Any]:
    """A platform on that database with every model in three pipelines: by itself, after an ONNX file that renames its
    inputs, and after a Python step.
    """
    with start_platform(**database) as running:
        yield running


@pytest.fixture(scope="module")
def client(
    platform: Any, cases: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Its client, once everything is deployed."""
    with platform.client() as client:
        deploy_all(platform, client, cases, tmp_path_factory.mktemp("models"))
        yield client


def deploy_all(platform: Any, client: Client, cases: dict[str, dict[str, Any]], folder: Path) -> None:
    (folder / "same").mkdir()
    (folder / "same" / "same.py").write_text(SAME)
    (folder / "same" / "requirements.txt").write_text("")
    waiting = []
    models = {name_of(case): case for case in cases.values()}
    for number, (name, case) in enumerate(models.items()):
        model = UPLOADS[number % len(UPLOADS)](platform, client, name, case["path"])
        fields = case.get("configure", {}).get("tensor_fields")
        schema = case["table"].schema
        rename = write_rename(folder / f"{name}.onnx", {field.name: field.type.list_size for field in schema})
        firsts = {
            "renamed": client.upload_model(f"{name}-rename", rename, convert_wait=False),
            "stepped": client.upload_model(
                f"{name}-same",
                folder / "same",
                Framework.PYTHON,
                input_schema=schema.remove_metadata(),
                output_schema=schema.remove_metadata(),
                convert_wait=False,
            ),
        }
        for shape in SHAPES:
            pipeline = client.build_pipeline(f"{name}-{shape}")
            if shape in firsts:
                pipeline.add_model_step(firsts[shape].wait())
            pipeline.add_model_step(model.configure(tensor_fields=fields) if fields else model)
            waiting.append(pipeline.deploy(wait_for_status=False))
    for pipeline in waiting:
        pipeline.wait_until_running()


def upload_by_sdk(_platform: Any, client: Client, name: str, path: Path) -> Any:
    return client.upload_model(name, path, Framework.ONNX)


def upload_by_rest(platform: Any, client: Client, name: str, path: Path) -> Any:
    assert platform.upload(name, path)["status"] == "ready"
    return client.get_model(name)


def upload_by_command(platform: Any, client: Client, name: str, path: Path) -> Any:
    ran = platform.trivet("upload", name, path)
    assert ran.returncode == 0, ran.stderr
    return client.get_model(name)


UPLOADS = (upload_by_sdk, upload_by_rest, upload_by_command)


def assert_answer(case: dict[str, Any], found: dict[str, list[Any]], *, rows: int) -> None:
    expected = {name: values for name, values in case["expected"].items() if name != "rows"}
    assert sorted(found) == sorted(expected)
    for name, values in expected.items():
        assert len(found[name]) == rows
        assert np.shape(found[name])[1:] == np.shape(values)[1:]
        np.testing.assert_allclose(found[name][: len(values)], values, rtol=case["rtol"])


def test_every_onnx_case_is_run(cases):
    assert sorted(cases) == sorted(CASES)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_the_sdk_answers_a_frame_with_a_frame(client, cases, name, shape):
    case = cases[name]
    sent = frame_of(case).rename(columns=lambda column: as_sent(shape, column))
    found = client.get_pipeline(f"{name_of(case)}-{shape}").infer(sent)
    outs = sorted(each for each in case["expected"] if each != "rows")
    assert list(found.columns) == ["time", *(f"in.{each}" for each in sorted(sent)), *outs, "anomaly.count"]
    assert found["time"].dtype == "datetime64[ms]"
    assert_answer(case, {each: found[each].to_list() for each in outs}, rows=len(sent))
    for column in sent:
        for row, values in zip(found[f"in.{column}"], sent[column], strict=True):
            assert row == pytest.approx(list(values), abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_the_sdk_answers_a_table_with_a_table(client, cases, name, shape):
    case = cases[name]
    sent = case["table"].rename_columns([as_sent(shape, each) for each in case["table"].column_names])
    found = client.get_pipeline(f"{name_of(case)}-{shape}").infer(sent)
    found.validate(full=True)
    outs = sorted(each for each in case["expected"] if each != "rows")
    floats, inners = pa.list_(pa.float32()), pa.list_(pa.field("inner", pa.float32(), nullable=False))
    assert found.schema.equals(
        pa.schema(
            [
                pa.field("time", pa.timestamp("ms")),
                # The stepped pipeline begins with a package, whose table has no nulls.
                *(pa.field(f"in.{each}", floats, nullable=shape != "stepped") for each in sorted(sent.column_names)),
                *(pa.field(each, inners, nullable=False) for each in outs),
                pa.field("anomaly.count", pa.uint32(), nullable=False),
            ]
        )
    ), found.schema.to_string()
    assert_answer(case, {each: found[each].to_pylist() for each in outs}, rows=sent.num_rows)
    for column in sent.column_names:
        assert found[f"in.{column}"].to_pylist() == sent[column].to_pylist()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_the_address_answers_records_with_records(platform, client, cases, name, shape):
    case = cases[name]
    sent = frame_of(case).rename(columns=lambda column: as_sent(shape, column)).to_json(orient="records")
    pipeline = client.get_pipeline(f"{name_of(case)}-{shape}")
    answer = requests.post(pipeline.url(), data=sent, headers={"Content-Type": RECORDS, "Accept": RECORDS}, timeout=30)
    assert answer.status_code == 200, answer.text
    rows = answer.json()
    assert [row["in"] for row in rows] == json.loads(sent)
    assert list(rows[0]) == ["time", "in", "out", "anomaly", "metadata"]
    assert json.loads(rows[0]["metadata"]["last_model"])["model_name"] == name_of(case)
    assert rows[0]["metadata"]["pipeline_version"] == pipeline.versions()[0].name()
    assert_answer(case, {f"out.{each}": [row["out"][each] for row in rows] for each in rows[0]["out"]}, rows=len(rows))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_the_address_in_a_cluster_answers_arrow_with_arrow(platform, client, cases, name, shape):
    case = cases[name]
    table = case["table"].rename_columns([as_sent(shape, each) for each in case["table"].column_names])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    answer = requests.post(
        f"{platform.infer_url}/pipelines/{name_of(case)}-{shape}",
        data=sink.getvalue().to_pybytes(),
        headers={"Content-Type": ARROW_FILE, "Accept": ARROW_FILE},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    found = pa.ipc.open_file(answer.content).read_all()
    assert found.schema.names == ["time", "in", "out", "anomaly", "metadata"]
    assert found["in"].combine_chunks().to_pylist() == table.to_pylist()
    outputs = found["out"].to_pylist()
    assert_answer(case, {f"out.{each}": [row[each] for row in outputs] for each in outputs[0]}, rows=table.num_rows)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_the_command_answers_files_of_both_kinds(platform, client, cases, name, shape, tmp_path):
    case = cases[name]
    if "arrow_file" in case["input"]:
        table = case["table"].rename_columns([as_sent(shape, each) for each in case["table"].column_names])
        with pa.ipc.new_file(str(tmp_path / "rows.arrow"), table.schema) as writer:
            writer.write_table(table)
        words, rows = (tmp_path / "rows.arrow", "--out", tmp_path / "answer.arrow"), table.num_rows
    else:
        sent = frame_of(case).rename(columns=lambda column: as_sent(shape, column))
        sent.to_json(tmp_path / "rows.json", orient="records", double_precision=15)
        words, rows = (tmp_path / "rows.json",), len(sent)
    ran = platform.trivet("infer", f"{name_of(case)}-{shape}", *words, "--dataset", "out")
    assert ran.returncode == 0, ran.stderr
    if (tmp_path / "answer.arrow").exists():
        found = pa.ipc.open_file(tmp_path / "answer.arrow").read_all().to_pydict()
    else:
        records = json.loads(ran.stdout)
        found = {each: [record[each] for record in records] for each in records[0]}
    assert_answer(case, found, rows=rows)


def test_what_was_answered_is_in_the_log(client, cases):
    case = cases["onnx-ccfraud"]
    pipeline = client.get_pipeline("ccfraud-alone")
    pipeline.infer(frame_of(case))
    logged = pipeline.logs(limit=2)
    expected = case["expected"]["out.dense_1"]
    np.testing.assert_allclose(logged["out.dense_1"].to_list(), expected, rtol=case["rtol"])


def test_all_of_it_is_deployed_again_after_a_restart(platform, client, cases):
    """What is deployed is in the database, not in a process."""
    platform.kill_role("supervisor")
    platform.kill_role("control")
    platform.kill_role("gateway")
    case = cases["onnx-two-inputs-two-outputs"]
    for shape in SHAPES:
        client.get_pipeline(f"multi-io-{shape}").wait_until_running()
        sent = frame_of(case).rename(columns=lambda column, shape=shape: as_sent(shape, column))
        found = client.get_pipeline(f"multi-io-{shape}").infer(sent)
        outs = [each for each in found if each.startswith("out.")]
        assert_answer(case, {each: found[each].to_list() for each in outs}, rows=len(sent))
