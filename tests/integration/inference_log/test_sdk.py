"""Logs as users have them: through the client, in files, and over HTTP, from a whole platform."""

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import requests
from onnx import TensorProto, helper, numpy_helper, save

from trivet import Client
from trivet.sdk import operations

COLUMNS = ["time", "in.x", "out.y", "anomaly.count"]
MORE = "Warning: There are more logs available. Please set a larger limit or request a file using export_logs."
MORE_TO_EXPORT = "Warning: There are more logs available. Please set a larger limit to export more data."


@pytest.fixture(scope="module")
def times(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`times(3)` is an ONNX file: `x` float32[2] in, `y` float32[2] out, three times as large."""
    folder = tmp_path_factory.mktemp("models")

    def make(factor: float, *, takes: str = "x", gives: str = "y") -> Path:
        path = folder / f"times-{factor:g}-{takes}-{gives}.onnx"
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2]) for name in (takes, gives)]
        graph = helper.make_graph(
            [helper.make_node("Mul", [takes, "factor"], [gives])],
            "times",
            ends[:1],
            ends[1:],
            [numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")],
        )
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
        return path

    return make


@pytest.fixture
def client(platform: Any) -> Iterator[Client]:
    with platform.client() as made:
        yield made


@pytest.fixture
def loud(platform: Any) -> Iterator[Client]:
    """One that says what a user is to know."""
    with Client(platform.control_url, token=(platform.home / "token").read_text().strip()) as made:
        yield made


@pytest.fixture
def deployed(client: Client, times: Callable[..., Path]) -> Callable[..., Any]:
    """`deployed()` is a pipeline that answers; `deployed(pipeline, 3)` has it answer with another model."""

    def make(pipeline: Any = None, factor: float = 2, **ends: str) -> Any:
        version = client.upload_model(f"model-{uuid4().hex[:6]}", times(factor, **ends), framework="onnx")
        pipeline = pipeline or client.build_pipeline(f"p-{uuid4().hex[:6]}")
        pipeline.clear().add_model_step(version)
        return pipeline.deploy()

    return make


def rows_of(first: int, count: int, *, name: str = "x") -> pd.DataFrame:
    return pd.DataFrame({name: [[float(number), 0.5] for number in range(first, first + count)]})


def firsts(column: Any) -> list[int]:
    return [int(row[0]) for row in column]


def test_the_newest_come_first_as_a_frame_and_as_a_table(deployed: Callable[..., Any]) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 3))
    answered = pipeline.infer(rows_of(3, 2))
    logs = pipeline.logs()
    assert list(logs.columns) == COLUMNS == list(answered.columns)
    # Rows of one request stay in their order.
    assert firsts(logs["in.x"]) == [3, 4, 0, 1, 2]
    assert logs["out.y"][0] == [6.0, 1.0]
    assert logs["time"][0] == answered["time"][0]
    table = pipeline.logs(arrow=True)
    assert table.column_names == COLUMNS
    assert table.schema.field("time").type == pa.timestamp("ms")
    assert firsts(table["in.x"].to_pylist()) == [3, 4, 0, 1, 2]


def test_a_limit_and_the_warning_that_there_is_more(
    deployed: Callable[..., Any], loud: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 150))
    seen = loud.get_pipeline(pipeline.name())
    capsys.readouterr()
    assert len(seen.logs()) == 100
    assert capsys.readouterr().out.strip() == MORE
    assert firsts(seen.logs(limit=149)["in.x"])[-1] == 148
    assert capsys.readouterr().out.strip() == MORE
    assert len(seen.logs(limit=150)) == 150
    assert len(seen.logs(limit=10_000)) == 150
    assert capsys.readouterr().out == ""


def test_between_two_moments_in_order_of_time_and_parts_of_it(deployed: Callable[..., Any]) -> None:
    pipeline = deployed()
    moments = [datetime.now(UTC) - timedelta(seconds=1)]
    for first in (0, 10, 20):
        answered = pipeline.infer(rows_of(first, 10))
        moments.append(answered["time"][0].to_pydatetime().replace(tzinfo=UTC))
    found = pipeline.logs(start_datetime=moments[2], end_datetime=moments[3])
    assert firsts(found["in.x"]) == list(range(10, 30))
    found = pipeline.logs(start_datetime=moments[0], end_datetime=moments[1], dataset=["time", "out.y"])
    assert list(found.columns) == ["time", "out.y"]
    assert firsts(found["out.y"]) == list(range(0, 20, 2))
    found = pipeline.logs(dataset=["*"], dataset_exclude=["in"], limit=1)
    assert list(found.columns) == ["time", "out.y", "anomaly.count"]
    found = pipeline.logs(dataset=["metadata"], limit=1)
    assert sorted(found.columns) == [
        f"metadata.{name}" for name in ("dropped", "elapsed", "last_model", "partition", "pipeline_version")
    ]
    assert found["metadata.pipeline_version"][0] == pipeline.versions()[0].name()
    with pytest.raises(Exception, match="required together"):
        pipeline.logs(start_datetime=moments[0])
    with pytest.raises(Exception, match="cannot be combined"):
        pipeline.logs(dataset=["*", "metadata.elapsed"])


def test_the_log_stays_after_an_undeploy_and_goes_on_after_the_next_deploy(deployed: Callable[..., Any]) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 3))
    pipeline.undeploy()
    assert firsts(pipeline.logs()["in.x"]) == [0, 1, 2]
    pipeline.deploy()
    assert firsts(pipeline.logs()["in.x"]) == [0, 1, 2]
    pipeline.infer(rows_of(3, 1))
    deployed(pipeline, 5)
    pipeline.infer(rows_of(4, 1))
    logs = pipeline.logs(dataset=["in", "out", "metadata.pipeline_version"])
    assert firsts(logs["in.x"]) == [4, 3, 0, 1, 2]
    assert firsts(logs["out.y"]) == [20, 6, 0, 2, 4]
    versions = [each.name() for each in pipeline.versions()]
    found = list(logs["metadata.pipeline_version"])
    assert len(set(found)) == 3
    assert set(found) <= set(versions)


def test_pipelines_of_one_name_in_two_workspaces_do_not_mix(
    deployed: Callable[..., Any], client: Client, times: Callable[..., Path]
) -> None:
    pipeline, other = deployed(), deployed()
    client.set_current_workspace(client.create_workspace(f"w-{uuid4().hex[:6]}"))
    version = client.upload_model("model", times(2), framework="onnx")
    same = client.build_pipeline(pipeline.name())
    same.add_model_step(version).deploy()
    for number, each in enumerate((pipeline, other, same)):
        each.infer(rows_of(number * 10, 2))
    assert [firsts(each.logs()["in.x"]) for each in (pipeline, other, same)] == [[0, 1], [10, 11], [20, 21]]


def test_other_columns_end_a_page_and_the_status_says_so(
    deployed: Callable[..., Any], loud: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 3))
    deployed(pipeline, 2, takes="a", gives="b")
    pipeline.infer(rows_of(3, 2, name="a"))
    seen = loud.get_pipeline(pipeline.name())
    capsys.readouterr()
    logs = seen.logs()
    assert list(logs.columns) == ["time", "in.a", "out.b", "anomaly.count"]
    assert firsts(logs["in.a"]) == [3, 4]
    assert capsys.readouterr().out.startswith(
        "Pipeline log schema has changed over the logs requested 2 newest records retrieved successfully, "
        f"newest record seen was at {logs['time'][0]}"
    )


def test_they_are_exported_as_lines_of_json_a_file_for_each_schema(
    deployed: Callable[..., Any], loud: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 120))
    deployed(pipeline, 2, takes="a", gives="b")
    pipeline.infer(rows_of(120, 2, name="a"))
    seen = loud.get_pipeline(pipeline.name())
    capsys.readouterr()
    seen.export_logs(directory=tmp_path / "json")
    first, second = sorted((tmp_path / "json").iterdir())
    assert [first.name, second.name] == [f"{pipeline.name()}-1.json", f"{pipeline.name()}-2.json"]
    newest = [json.loads(line) for line in first.read_text().splitlines()]
    assert [int(each["in.a"][0]) for each in newest] == [120, 121]
    rest = [json.loads(line) for line in second.read_text().splitlines()]
    assert [int(each["in.x"][0]) for each in rest] == list(range(120))
    assert list(rest[0]) == COLUMNS
    frame = pd.read_json(second, lines=True)
    assert len(frame) == 120
    assert capsys.readouterr().out == ""
    seen.export_logs(directory=tmp_path / "some", file_prefix="mine", limit=50, dataset=["time", "out"])
    assert [path.name for path in sorted((tmp_path / "some").iterdir())] == ["mine-1.json", "mine-2.json"]
    assert capsys.readouterr().out.strip() == MORE_TO_EXPORT


def test_they_are_exported_as_arrow_and_cut_at_a_size(
    deployed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = deployed()
    sent = pa.table({"x": pa.array([[float(number), math.nan] for number in range(5000)], pa.list_(pa.float32(), 2))})
    start = datetime.now(UTC) - timedelta(seconds=1)
    pipeline.infer(sent)
    monkeypatch.chdir(tmp_path)
    pipeline.export_logs(arrow=True)
    (path,) = (tmp_path / "logs").iterdir()
    assert path.name == f"{pipeline.name()}-1.arrow"
    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    assert table.column_names == COLUMNS
    assert table.schema == pipeline.logs(limit=1, arrow=True).schema
    assert firsts(table["in.x"].to_pylist()) == list(range(5000))
    assert math.isnan(table["out.y"][0].as_py()[1])
    pipeline.export_logs(
        directory="parts",
        arrow=True,
        data_size_limit="40KB",
        start_datetime=start,
        end_datetime=datetime.now(UTC) + timedelta(seconds=5),
    )
    parts = sorted((tmp_path / "parts").iterdir(), key=lambda each: int(each.stem.rpartition("-")[2]))
    assert len(parts) > 1
    tables = []
    for each in parts:
        with pa.ipc.open_file(each) as file:
            tables.append(file.read_all())
    assert firsts(pa.concat_tables(tables)["in.x"].to_pylist()) == list(range(5000))


def test_pages_over_http_have_a_cursor_until_all_is_there(
    deployed: Callable[..., Any], platform: Any, client: Client
) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 25))
    url = f"{platform.control_url}/v1/api/pipelines/get_logs"
    body = {"pipeline_name": pipeline.name(), "workspace_id": client.get_current_workspace().id(), "page_size": 10}
    headers = {"Authorization": f"Bearer {(platform.home / 'token').read_text().strip()}"}
    found: list[int] = []
    said = []
    cursor = None
    while True:
        asked = {**body, "order": "Asc", **({"cursor": cursor} if cursor else {})}
        reply = requests.post(url, json=asked, headers=headers, timeout=30)
        assert reply.status_code == 200, reply.text
        found += [int(each["in"]["x"][0]) for each in reply.json()]
        said.append(reply.headers["x-iteration-status"])
        cursor = reply.headers.get("x-iteration-cursor")
        if cursor is None:
            break
    assert found == list(range(25))
    assert said == ["RecordLimited", "RecordLimited", "All"]
    accept = {**headers, "Accept": "application/vnd.apache.arrow.file"}
    reply = requests.post(url, json=body, headers=accept, timeout=30)
    with pa.ipc.open_file(reply.content) as file:
        assert firsts(pc.struct_field(file.read_all()["in"], "x").to_pylist()) == list(range(24, 14, -1))
    for wrong in ("nonsense", "Wy0xLCAwXQ==", "WzFlMzAwLCAwXQ==", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OSwgMF0="):
        reply = requests.post(url, json={**body, "cursor": wrong}, headers=headers, timeout=30)
        assert reply.status_code in {400, 422}, (wrong, reply.status_code, reply.text)


def test_a_pipeline_without_requests_or_deployments_has_an_empty_log(
    deployed: Callable[..., Any], client: Client, tmp_path: Path
) -> None:
    for pipeline, columns in ((deployed(), COLUMNS), (client.build_pipeline(f"p-{uuid4().hex[:6]}"), ["time"])):
        assert len(pipeline.logs()) == 0
        assert list(pipeline.logs().columns) == columns
        assert pipeline.logs(arrow=True).num_rows == 0
        pipeline.export_logs(directory=tmp_path / pipeline.name())


def test_a_range_without_rows_has_the_columns_and_parts_of_the_pipeline(deployed: Callable[..., Any]) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 2))
    full = pipeline.logs(limit=1, arrow=True)
    before = datetime(2020, 1, 1, tzinfo=UTC)
    none = pipeline.logs(start_datetime=before, end_datetime=before, arrow=True)
    assert none.num_rows == 0
    assert none.schema == full.schema
    none = pipeline.logs(start_datetime=before, end_datetime=before, dataset=["out", "metadata.partition"])
    assert list(none.columns) == ["out.y", "metadata.partition"]


def test_numbers_of_32_bits_are_read_as_they_were_sent(deployed: Callable[..., Any], tmp_path: Path) -> None:
    pipeline = deployed()
    pipeline.infer(pd.DataFrame({"x": [[0.1, 3.3]]}))
    assert pipeline.logs()["in.x"][0] == [0.1, 3.3]
    pipeline.export_logs(directory=tmp_path, file_prefix="log")
    assert json.loads((tmp_path / "log-1.json").read_text())["in.x"] == [0.1, 3.3]


def test_pages_of_a_request_go_on_in_the_order_of_its_rows(deployed: Callable[..., Any], client: Client) -> None:
    pipeline = deployed()
    pipeline.infer(rows_of(0, 5))
    pipeline.infer(rows_of(5, 5))
    for reverses, expected in ((False, [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]), (True, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0])):
        found: list[int] = []
        cursor = None
        while len(found) < 10:
            table, _, cursor = client.run(
                operations.logs(
                    pipeline.name(), workspace=pipeline.workspace, limit=3, start=None, end=None, dataset=None,
                    exclude=None, reverses_rows=reverses, cursor=cursor,
                )
            )  # fmt: skip
            found += firsts(table["in.x"].to_pylist())
        assert found == expected
