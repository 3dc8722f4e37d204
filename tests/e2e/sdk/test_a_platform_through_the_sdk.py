"""From an upload to a log, on a real platform, as notebooks do it."""

import asyncio
import io
import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import httpx
import numpy as np
import pandas as pd
import polars as pl
import psutil
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal

from trivet import AsyncClient, Client, DeploymentConfigBuilder, ModelUploadError
from trivet.errors import Conflict, Invalid, NotFound, TrivetError, Unavailable


@pytest.fixture(scope="module")
def deployed(client, negated):
    model = client.upload_model("negated", negated(gives="dense_1")).configure(tensor_fields=["tensor"])
    pipeline = client.build_pipeline("negation").add_model_step(model)
    return pipeline.deploy(deployment_config=DeploymentConfigBuilder().replica_count(1).cpus(1).memory("1Gi").build())


ROWS = pd.DataFrame({"tensor": [[1.0, 2.0], [3.0, 4.0]], "index": [7, 8]})


def test_a_model_is_ready_with_what_was_found_of_it(client, deployed):
    model = client.get_model("negated")
    assert model.status() == "ready"
    assert model.config().runtime() == "onnx"
    assert model.config().tensor_fields() == ["tensor"]
    assert model.config().output_schema().names == ["dense_1"]
    assert model.error_summary() is None
    assert [each.version() for each in model.versions()] == [model.version()]
    assert client.get_model("negated", version=model.version()).sha() == model.sha()
    assert "ready" in model.get_upload_logs().lower()


def test_a_frame_gives_a_frame_of_the_references_columns(deployed):
    found = deployed.infer(ROWS)
    assert list(found.columns) == ["time", "in.tensor", "in.index", "out.dense_1", "anomaly.count"]
    assert found["time"].dtype == "datetime64[ms]"
    assert found["out.dense_1"].to_list() == [[-1.0, -2.0], [-3.0, -4.0]]
    assert found["in.tensor"].to_list() == ROWS["tensor"].to_list()
    assert found["in.index"].to_list() == [7, 8]
    assert found["anomaly.count"].to_list() == [0, 0]


def test_a_table_gives_a_table_of_the_references_types(deployed):
    values = pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))
    found = deployed.infer(pa.table({"tensor": values}))
    assert found.schema.to_string() == (
        "time: timestamp[ms]\n"
        "in.tensor: list<item: float>\n"
        "  child 0, item: float\n"
        "out.dense_1: list<inner: float not null> not null\n"
        "  child 0, inner: float not null\n"
        "anomaly.count: uint32 not null"
    )
    assert found["out.dense_1"].to_pylist() == [[-1.0, -2.0]]


def test_records_and_numpys_values_do_as_well(deployed):
    [found] = deployed.infer([{"tensor": np.array([1, 2], np.float32)}])
    assert found["out.dense_1"] == [-1.0, -2.0]


def test_an_answer_keeps_the_index_so_that_it_can_be_a_column(deployed):
    frame = ROWS.set_index(pd.Index(["b", "a"])).sort_index()
    frame["pred"] = deployed.infer(frame)["out.dense_1"]
    assert frame["pred"].to_dict() == {"a": [-3.0, -4.0], "b": [-1.0, -2.0]}
    found = asyncio.run(deployed.parallel_infer(frame[["tensor"]]))
    assert found["out.dense_1"].to_dict() == frame["pred"].to_dict()


def test_one_bad_row_does_not_lose_the_others(deployed):
    rows = [[1.0, 2.0], [3.0], [5.0, 6.0]]
    frame = pd.DataFrame({"tensor": rows, "k": [7, 8, 9]}, index=["a", "b", "c"])
    with pytest.raises(Invalid) as raised:
        deployed.infer(frame)
    assert raised.value.path == "[1].tensor"
    found = deployed.infer(frame, on_error="null")
    frame["pred"] = found["out.dense_1"]
    assert frame["pred"].to_dict() == {"a": [-1.0, -2.0], "b": None, "c": [-5.0, -6.0]}
    errors = [f"error.{name}" for name in ("message", "reason", "path", "fix")]
    assert list(found.columns) == ["time", "in.tensor", "in.k", "out.dense_1", "anomaly.count", *errors]
    assert found["error.path"].dropna().to_dict() == {"b": "[1].tensor"}
    good, bad = deployed.infer(frame[["tensor", "k"]], on_error="split")
    assert list(good.columns) == list(deployed.infer(frame.loc[["a"], ["tensor", "k"]]).columns)
    assert (list(good.index), list(bad.index)) == (["a", "c"], ["b"])
    assert list(bad.columns) == ["time", "in.tensor", "in.k", *errors]
    assert bad["error.message"].item() == "expected 2 values, got 1"


def test_errors_of_rows_have_the_form_of_what_was_sent(deployed):
    table = pa.table({"tensor": pa.array([[1.0, 2.0], [3.0], [5.0, 6.0]], pa.list_(pa.float32()))})
    good, bad = deployed.infer(table, on_error="split")
    assert good.schema == deployed.infer(table.slice(0, 1)).schema
    assert (good.num_rows, bad["error.path"].to_pylist()) == (2, ["[1].tensor"])
    assert deployed.infer(table, on_error="null")["out.dense_1"].to_pylist() == [[-1.0, -2.0], None, [-5.0, -6.0]]
    polars = pl.DataFrame({"tensor": [[1.0, 2.0], [3.0]]})
    assert deployed.infer(polars, on_error="null")["out.dense_1"].to_list() == [[-1.0, -2.0], None]
    good, bad = deployed.infer([{"tensor": [1, 2]}, {"tensor": "no"}], on_error="split")
    assert [row["out.dense_1"] for row in good] == [[-1.0, -2.0]]
    assert [(row["in.tensor"], row["error.path"]) for row in bad] == [("no", "[1].tensor")]
    good, bad = deployed.infer(pd.DataFrame({"tensor": [[1.0]]}), on_error="split")
    assert (len(good), list(good["out.dense_1"]), len(bad)) == (0, [], 1)
    with pytest.raises(Invalid, match="on_error is 'ignore'"):
        deployed.infer(table, on_error="ignore")


def test_polars_frames_series_and_arrays_are_rows_too(deployed):
    frame = pl.DataFrame({"z": ["u"], "tensor": [[1.0, 2.0]], "a": [1]})
    found = deployed.infer(frame)
    assert found.columns == ["time", "in.z", "in.tensor", "in.a", "out.dense_1", "anomaly.count"]
    assert found["out.dense_1"].to_list() == [[-1.0, -2.0]]
    assert deployed.infer(frame["tensor"])["out.dense_1"].to_list() == [[-1.0, -2.0]]
    assert deployed.infer(ROWS["tensor"])["out.dense_1"].to_list() == [[-1.0, -2.0], [-3.0, -4.0]]
    assert deployed.infer(ROWS.iloc[1])["out.dense_1"].to_dict() == {1: [-3.0, -4.0]}
    assert deployed.infer(np.array([[1, 2], [3, 4]]))["out.dense_1"].to_list() == [[-1.0, -2.0], [-3.0, -4.0]]


def test_a_pipeline_survives_pickling(deployed):
    again = pickle.loads(pickle.dumps(deployed))
    assert again.infer(ROWS)["out.dense_1"].to_list() == [[-1.0, -2.0], [-3.0, -4.0]]
    again._client.close()


def test_parts_are_chosen_as_in_the_reference(deployed):
    assert list(deployed.infer(ROWS, dataset=["out.dense_1"]).columns) == ["out.dense_1"]
    assert list(deployed.infer(ROWS, dataset_exclude=["in", "time"]).columns) == ["out.dense_1", "anomaly.count"]
    [last] = {
        json.loads(each)["model_name"] for each in deployed.infer(ROWS, dataset=["metadata"])["metadata.last_model"]
    }
    assert last == "negated"


def test_a_file_decides_by_its_name(deployed, tmp_path):
    ROWS.to_json(tmp_path / "rows.df.json", orient="records")
    table = pa.table({"tensor": pa.array([[5.0, 6.0]], pa.list_(pa.float32(), 2))})
    with pa.ipc.new_file(str(tmp_path / "rows.arrow"), table.schema) as writer:
        writer.write_table(table)
    assert isinstance(deployed.infer_from_file(tmp_path / "rows.df.json"), pd.DataFrame)
    assert deployed.infer_from_file(tmp_path / "rows.arrow")["out.dense_1"].to_pylist() == [[-5.0, -6.0]]


def test_many_at_once_come_back_in_their_order(deployed):
    frame = pd.DataFrame({"tensor": [[float(n), 0.0] for n in range(20)]})
    found = asyncio.run(deployed.parallel_infer(frame, num_parallel=4, retries=1))
    assert [value for value, _ in found["out.dense_1"]] == [-float(n) for n in range(20)]
    lists = asyncio.run(deployed.parallel_infer([frame.iloc[:3], frame.iloc[3:5]]))
    assert [len(each) for each in lists] == [3, 2]
    with pytest.raises(Invalid):
        asyncio.run(deployed.parallel_infer([frame, pd.DataFrame({"tensor": ["no", "numbers"]})]))


def test_requests_at_once_answer_rows_that_fail_as_one_request_does(deployed):
    frame = pd.DataFrame({"tensor": [[1.0, 2.0], [3.0], [5.0, 6.0]]}, index=["a", "b", "c"])

    def at_once(rows, on_error):
        return asyncio.run(deployed.parallel_infer(rows, on_error=on_error))

    assert_frame_equal(
        *(each.drop(columns="time") for each in (at_once(frame, "null"), deployed.infer(frame, on_error="null")))
    )
    for parallel, alone in zip(at_once(frame, "split"), deployed.infer(frame, on_error="split"), strict=True):
        assert_frame_equal(parallel.drop(columns="time"), alone.drop(columns="time"))
    with pytest.raises(Invalid) as raised:
        at_once(frame, "raise")
    assert raised.value.path == "[1].tensor"
    table = pa.table({"tensor": pa.array(frame["tensor"].to_list(), pa.list_(pa.float32()))})
    assert at_once(table, "null")["error.path"].to_pylist() == [None, "[1].tensor", None]
    good, bad = at_once(table, "split")
    assert (good["out.dense_1"].to_pylist(), bad["error.path"].to_pylist()) == (
        [[-1.0, -2.0], [-5.0, -6.0]],
        ["[1].tensor"],
    )
    polars = at_once(pl.from_pandas(frame), "null")
    assert polars["error.path"].to_list() == [None, "[1].tensor", None]
    assert polars["out.dense_1"].to_list() == [[-1.0, -2.0], None, [-5.0, -6.0]]
    good, bad = at_once(pl.from_pandas(frame[1:2]), "split")
    assert (good.height, bad["error.path"].to_list()) == (0, ["[0].tensor"])
    [(good, bad)] = at_once([frame], "split")
    assert (list(good.index), list(bad["error.path"])) == (["a", "c"], ["[1].tensor"])


def test_a_client_of_the_callers_own_is_used(deployed):
    async def story():
        async with httpx.AsyncClient() as http:
            good, bad = await deployed.async_infer([{"tensor": [1.0]}, {"tensor": [1.0, 2.0]}], http, on_error="split")
            return await deployed.async_infer(ROWS, http, retries=2), good, bad

    found, good, bad = asyncio.run(story())
    assert (len(found), good[0]["out.dense_1"], bad[0]["error.path"]) == (2, [-1.0, -2.0], "[0].tensor")


def test_rows_that_do_not_fit_say_where(deployed):
    with pytest.raises(Invalid) as caught:
        deployed.infer([{"tensor": [1.0, 2.0]}, {"tensor": [1.0, "x"]}])
    assert "1" in (caught.value.path or "")
    with pytest.raises(Invalid):
        deployed.infer(ROWS, dataset=["nonsense"])


def test_status_steps_and_addresses_are_the_references(client, deployed):
    status = deployed.status()
    assert status["status"] == "Running"
    [engine] = status["engines"]
    assert engine["pipeline_statuses"]["pipelines"][0]["id"] == "negation"
    assert engine["model_statuses"]["models"][0]["name"] == "negated"
    assert deployed.steps() == deployed.versions()[0].steps()
    assert deployed.url() == deployed._url()
    answered = httpx.post(deployed.url(), json=[{"tensor": [1.0, 2.0]}], headers=client.auth_header())
    assert answered.status_code == 200
    assert "negation" in [each.name() for each in client.list_pipelines()]


def test_logs_come_newest_first_and_are_exported(deployed, tmp_path):
    for value in (100.0, 101.0, 102.0):
        deployed.infer([{"tensor": [value, 0.0]}])
    newest = deployed.logs(limit=3)
    assert [row[0] for row in newest["out.dense_1"]] == [-102.0, -101.0, -100.0]
    assert deployed.logs(limit=1, arrow=True).schema.field("out.dense_1").type.value_type == pa.float32()
    deployed.export_logs(tmp_path, file_prefix="log", limit=2, dataset=["out"])
    lines = (tmp_path / "log-1.json").read_text().splitlines()
    assert [json.loads(line)["out.dense_1"][0] for line in lines] == [-102.0, -101.0]


def test_validations_are_counted_and_kept_with_the_version(client, negated):
    model = client.upload_model("checked", negated(gives="dense_1")).configure(tensor_fields=["tensor"])
    pipeline = client.build_pipeline("checked").add_model_step(model)
    pipeline.add_validations(low=pl.col("out.dense_1").list.get(0) < -2.0, odd=pl.col("in.tensor").list.get(1) > 3.0)
    found = pipeline.deploy().infer(ROWS)
    assert found[["anomaly.count", "anomaly.low", "anomaly.odd"]].to_dict("list") == {
        "anomaly.count": [0, 2], "anomaly.low": [False, True], "anomaly.odd": [False, True],
    }  # fmt: skip
    assert [list(step) for step in client.get_pipeline("checked").steps()] == [["ModelInference"], ["Check"]]
    pipeline.undeploy()


def test_an_earlier_version_is_deployed_again(client, negated):
    first = client.upload_model("swap-a", negated(gives="a"))
    second = client.upload_model("swap-b", negated(gives="b"))
    pipeline = client.build_pipeline("swap").add_model_step(first).deploy()
    earlier = pipeline.versions()[0].name()
    pipeline.replace_with_model_step(0, second).deploy()
    assert "out.b" in pipeline.infer([{"x": [1.0, 2.0]}])[0]
    again = client.get_pipeline("swap", version=earlier).deploy()
    assert "out.a" in again.infer([{"x": [1.0, 2.0]}])[0]
    assert len(again.versions()) == 4
    with pytest.raises(Conflict, match="swap"):
        client.delete_model("swap-a")
    again.undeploy()
    assert again.status() == {"status": "Pipeline swap is not deployed"}
    with pytest.raises(NotFound):
        again.infer([{"x": [1.0, 2.0]}])


def test_a_failed_load_prints_the_references_text(client, tmp_path, capsys):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("model.py", "print('no requirements')")
    (tmp_path / "byop.zip").write_bytes(content.getvalue())
    schema = pa.schema([pa.field("x", pa.float32())])
    model = client.upload_model("byop", tmp_path / "byop.zip", "custom", input_schema=schema, output_schema=schema)
    assert model.status() == "error"
    said = "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file"
    assert said in model.error_summary()
    told = capsys.readouterr().err
    assert said in told
    assert f"  fix {model.document()['fault']['fix']}\n" in told
    assert "'status': 'error'" in repr(model)
    assert said in model.get_upload_logs()
    with pytest.raises(Conflict, match="error") as caught:
        client.build_pipeline("never").add_model_step(model).deploy()
    assert "upload a corrected one" in caught.value.fix


def test_uploads_that_are_refused_say_why_in_the_references_words(client, tmp_path, negated):
    (tmp_path / "byop.zip").write_bytes(b"no zip at all" * 10)
    with pytest.raises(ModelUploadError, match=r"Model failed to upload: \[400\] Bad request: Not a valid ZIP file"):
        client.upload_model("byop", tmp_path / "byop.zip", "custom")
    with pytest.raises(ModelUploadError) as caught:
        client.upload_model("CC Fraud_v2", negated())
    assert "cc-fraud-v2" in caught.value.fix
    with pytest.raises(ModelUploadError, match="did you mean 'onnx'"):
        client.upload_model("fraud", negated(), "onxx")
    with pytest.raises(Invalid, match="input_schema"):
        client.upload_model("fraud", negated(), input_schema={"a": 1})


def test_missing_things_have_the_references_error_texts(client):
    with pytest.raises(
        NotFound, match=r"Error: Workspace with name nowhere does not exist. If you would like to create one"
    ):
        client.get_workspace("nowhere")
    with pytest.raises(NotFound, match=r"Error: A model with the name nothing does not exist."):
        client.get_model("nothing")
    with pytest.raises(NotFound, match=r"Pipeline nothing not found in this workspace."):
        client.get_pipeline("nothing")
    with pytest.raises(NotFound):
        client.get_pipeline("a/../../b?c#d")


def test_the_advice_to_create_a_workspace_is_given_once(client):
    with pytest.raises(NotFound) as caught:
        client.get_workspace("defualt")
    assert str(caught.value).count("create_if_not_exist") == 1
    assert caught.value.fix == "did you mean 'default'?"
    with pytest.raises(NotFound) as caught:
        client.get_workspace("nothing-like-it")
    assert caught.value.fix is None


def test_a_log_of_no_rows_has_its_columns(deployed):
    deployed.infer(ROWS)
    assert len(deployed.logs(limit=1)) == 1
    none = deployed.logs(limit=0)
    assert len(none) == 0
    assert list(none.columns) == list(deployed.logs(limit=1).columns)
    assert deployed.logs(limit=0, arrow=True).num_rows == 0


def test_lists_are_tables_in_a_notebook_and_a_model_has_its_schemas(client, deployed):
    del deployed
    [model, *_] = client.list_models()
    assert model.name() in client.list_models()._repr_html_()
    assert client.list_pipelines()[0].name() in client.list_pipelines()._repr_html_()
    assert "default" in client.list_workspaces()._repr_html_()
    assert model.input_schema.names
    assert model.output_schema == model.config().output_schema()


def test_a_pipeline_in_a_notebook_has_its_live_version_and_address(client, negated):
    model = client.upload_model("negated-live", negated(gives="live"))
    pipeline = client.build_pipeline("live").add_model_step(model)
    assert "<td>live version</td><td>None</td>" in pipeline._repr_html_()
    pipeline.deploy()
    pipeline.deploy()
    version = pipeline.versions()[0]
    page = pipeline._repr_html_()
    assert f"<td>live version</td><td>{version.number}</td>" in page
    assert f"<td>address</td><td>{pipeline.url()}</td>" in page
    assert f"<td>number</td><td>{version.number}</td>" in version._repr_html_()
    pipeline.undeploy()


def test_each_workspace_has_its_own(client, negated):
    before = client.get_current_workspace()
    other = client.set_current_workspace(client.get_workspace("other-team", create_if_not_exist=True))
    try:
        assert client.get_workspace("other-team", create_if_not_exist=True).id() == other.id()
        client.upload_model("mine", negated(), convert_wait=False).wait()
        assert [each["name"] for each in other.models()] == ["mine"]
        assert other.pipelines() == []
        assert "mine" not in {each["name"] for each in before.models()}
        assert "other-team" in other._repr_html_()
    finally:
        client.set_current_workspace(before)
    assert {each.name() for each in client.list_workspaces()} == {"default", "other-team"}


def test_without_the_right_token_no_information_is_given(client):
    with Client(client.url, token="not-the-right-one-0123456789") as stranger, pytest.raises(TrivetError) as caught:
        stranger.list_models()
    assert caught.value.reason == "unauthorized"


def test_a_program_with_an_event_loop_does_all_the_same(client, negated):
    async def story():
        token = client.auth_header()["Authorization"].removeprefix("Bearer ")
        async with AsyncClient(client.url, token=token) as here:
            model = await (await here.upload_model("async", negated(), "onnx")).configure(tensor_fields=["tensor"])
            assert await model.status() == "ready"
            pipeline = (await here.build_pipeline("async")).add_model_step(model)
            await pipeline.deploy()
            found = await pipeline.infer(ROWS)
            logs = await pipeline.logs(limit=10)
            assert (await pipeline.status())["status"] == "Running"
            assert (await here.get_model("async", version=model.version())).sha() == model.sha()
            assert "async" in [each.name() for each in await here.list_models()]
            assert "async" in [each.name() for each in await here.list_pipelines()]
            with pytest.raises(Conflict):
                await here.delete_model("async")
            await pipeline.undeploy()
            await here.delete_pipeline("async")
            await here.delete_model("async")
            with pytest.raises(NotFound):
                await here.get_model("async")
            return found, logs

    found, logs = asyncio.run(story())
    assert found["out.y"].to_list() == [[-1.0, -2.0], [-3.0, -4.0]]
    assert logs["out.y"].to_list() == [[-1.0, -2.0], [-3.0, -4.0]]


KILLED = """
import os, signal
from trivet import Client
with Client.local(quiet=True) as client:
    print(client.url, client.platform()["home"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_platform_of_a_program_that_is_killed_ends_too():
    program = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=120, check=False)
    assert program.returncode == -signal.SIGKILL, program.stderr
    url, home = program.stdout.split()
    deadline = time.monotonic() + 60
    while any(
        home in process.info["cmdline"] for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with Client(url, token="t") as late, pytest.raises(Unavailable):
        late.list_models()
    shutil.rmtree(home, ignore_errors=True)


def test_a_platform_of_ones_own_is_gone_after_its_block():
    with Client.local(quiet=True) as client:
        home = client.platform()["home"]
    with Client(client.url, token="t") as late, pytest.raises(Unavailable):
        late.list_models()
    import pathlib

    assert not pathlib.Path(home).exists()


def test_arguments_go_by_the_names_that_notebooks_use(deployed, tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('[{"tensor": [1.0, 2.0]}]')
    frames = [
        deployed.infer_from_file(path),
        deployed.infer_from_file(path=path, dataset_separator=None),
        deployed.infer_from_file(filename=str(path)),
    ]
    assert [list(frame["out.dense_1"][0]) for frame in frames] == [[-1.0, -2.0]] * 3
    rows = [{"tensor": [1.0, 2.0]}]
    answers = [asyncio.run(deployed.parallel_infer(**{name: [rows, rows]})) for name in ("tensor", "tensor_list")]
    assert [[each[0]["out.dense_1"] for each in answer] for answer in answers] == [[[-1.0, -2.0]] * 2] * 2
    with pytest.raises(Invalid, match="path is missing"):
        deployed.infer_from_file()
    assert deployed.logs(dataset="out", limit=1).columns.tolist() == ["out.dense_1"]
