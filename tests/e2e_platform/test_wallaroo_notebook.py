"""A notebook written for the Wallaroo SDK runs on a platform: nothing of it changes but where the platform is."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[2] / "compat" / "wallaroo" / "src"

NOTEBOOK = """
import json
import sys

import pandas as pd
import pyarrow as pa
import requests

import wallaroo
from wallaroo.deployment_config import DeploymentConfigBuilder
from wallaroo.framework import Framework
from wallaroo.object import EntityNotFoundError

model_file_name, step_file_name, folder = sys.argv[1:]
workspace_name, pipeline_name, model_name = "ccfraudworkspace", "ccfraudpipeline", "ccfraudmodel"

# Connect to the instance
wl = wallaroo.Client()

# Workspace
workspace = wl.get_workspace(name=workspace_name, create_if_not_exist=True)
wl.set_current_workspace(workspace)
print(wl.get_current_workspace())
assert wl.get_current_workspace().id() == workspace.id()
assert workspace_name in [each.name() for each in wl.list_workspaces()]
print(wl.list_pipelines(), wl.list_models())


def get_pipeline(name):
    try:
        return wl.pipelines_by_name(name)[0]
    except EntityNotFoundError:
        return wl.build_pipeline(name)


pipeline = get_pipeline(pipeline_name)

# Upload
model = (wl.upload_model(model_name,
                         model_file_name,
                         framework=Framework.ONNX)
                         .configure(tensor_fields=["tensor"]
                        )
        )
assert model.status() == "ready"
assert model.config().runtime() == "onnx"
print(workspace.models())
assert [each.versions()[0].version() for each in workspace.models() if each.name() == model_name] == [model.version()]

# Deploy
pipeline.clear()
pipeline.add_model_step(model)
deploy_config = wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(0.5).memory("1Gi").build()
pipeline.deploy(deployment_config=deploy_config)
assert pipeline.status()["status"] == "Running", pipeline.status()
print(pipeline.steps())

# Infer: DataFrame, Table, file, HTTP
smoke_test = pd.DataFrame.from_records([{"tensor": [1.0, 2.0]}])
result = pipeline.infer(smoke_test, timeout=15)
assert list(result.columns) == ["time", "in.tensor", "out.y", "anomaly.count"]
assert result["out.y"][0] == [3.0, 6.0]

table = pa.table({"tensor": pa.array([[1.0, 2.0], [3.0, 4.0]], type=pa.list_(pa.float32()))})
answers = pipeline.infer(table)
assert isinstance(answers, pa.Table)
assert answers["out.y"].to_pylist() == [[3.0, 6.0], [9.0, 12.0]]
assert answers.schema.field("time").type == pa.timestamp("ms")

smoke_test.to_json(f"{folder}/rows.json", orient="records")
assert pipeline.infer_from_file(f"{folder}/rows.json", dataset=["time", "out"])["out.y"][0] == [3.0, 6.0]

headers = wl.auth.auth_header()
headers["Content-Type"] = "application/json; format=pandas-records"
headers["Accept"] = "application/json; format=pandas-records"
response = requests.post(pipeline._url(), data=smoke_test.to_json(orient="records"), headers=headers, timeout=15)
assert response.json()[0]["out"] == {"y": [3.0, 6.0]}, response.text
assert pipeline.url() == pipeline._url()

# Logs
logs = pipeline.logs(limit=5)
assert list(logs.columns) == ["time", "in.tensor", "out.y", "anomaly.count"]
assert len(logs) == 5
assert pipeline.logs(limit=5, arrow=True).num_rows == 5
pipeline.export_logs(directory=f"{folder}/logs", limit=2)

# A second step in another runtime
schema = pa.schema([pa.field("x", pa.list_(pa.float32(), 2))])
step = wl.upload_model("double", step_file_name, framework=wallaroo.framework.Framework.PYTHON,
                       input_schema=schema, output_schema=schema)
assert step.status() == "ready", step.get_upload_logs()
assert step.config().runtime() == "flight"
plain = wl.get_model(model_name).configure("onnx")
plain = wl.upload_model("plain", model_file_name, Framework.ONNX)
pipeline.clear().add_model_step(step).add_model_step(plain)
config = (DeploymentConfigBuilder().cpus(0.25).memory("1Gi")
          .sidekick_cpus(step, 1).sidekick_memory(step, "1Gi").build())
pipeline.deploy(deployment_config=config)
assert pipeline.infer(pd.DataFrame({"x": [[1.0, 2.0]]}))["out.y"][0] == [6.0, 12.0]

# What there is
assert [each.name() for each in wl.list_models()] == [model_name, "double", "plain"] or len(wl.list_models()) == 3
assert [each.name() for each in wl.search_models("ccfraud")] == [model_name]
assert [each.name() for each in wl.search_pipelines("ccfraud", deployed=True)] == [pipeline_name]
assert wl.search_pipelines("ccfraud", deployed=False) == []
assert wl.model_by_name(model_name, model.version()).version() == model.version()
old = pipeline.versions()[1]
assert wl.get_pipeline(pipeline_name, version=old.name()).steps()[0]["ModelInference"]["models"][0]["name"] == model_name
assert "ccfraud" in wl.list_pipelines()._repr_html_()
assert wl.list_workspaces()._repr_html_()

# What goes wrong
for wrong in (
    lambda: wl.get_workspace("nowhere"),
    lambda: wl.get_model("nothing"),
    lambda: wl.get_model(model_name, version="1"),
    lambda: wl.get_pipeline("nobody"),
    lambda: wl.get_pipeline(pipeline_name, version="1"),
    lambda: wl.upload_model("cc_fraud", model_file_name),
    lambda: wl.upload_model("byop", model_file_name, framework=Framework.CUSTOM),
    lambda: wl.upload_model("forest", model_file_name, framework=Framework.VLLM),
    lambda: wl.build_assay("drift"),
    lambda: pipeline.publish(),
    lambda: pipeline.infer(pd.DataFrame({"nonsense": [1]})),
):
    try:
        wrong()
    except Exception as error:
        print("RAISED", type(error).__name__, str(error).splitlines()[0])
    else:
        raise AssertionError("nothing was raised")

# The same over the MLOps API
command = wl.generate_upload_model_api_command(
    base_url=wl.api_endpoint, name="uploaded", path=step_file_name, framework=Framework.PYTHON,
    input_schema=schema, output_schema=schema)
print("COMMAND", json.dumps(command))

pipeline.undeploy()
pipeline.undeploy()
print(pipeline.status())
"""
RAISED = """
EntityNotFoundError Error: Workspace with name nowhere does not exist. If you would like to create one, send in the request with `create_if_not_exist` flag set to True.
EntityNotFoundError Error: A model with the name nothing does not exist.
EntityNotFoundError Error: A model with the version 1 not found in this workspace.
EntityNotFoundError Pipeline nobody not found in this workspace.
EntityNotFoundError Pipeline version 1 not found in this workspace.
ModelUploadError Model failed to upload: [400] Bad request: 'cc_fraud' cannot be a name
ModelUploadError Model failed to upload: [400] Bad request: Not a valid ZIP file
NotThereYetError Framework.VLLM is not supported yet
NotThereYetError assays are not supported yet
NotThereYetError publishing pipelines is not supported yet
InferenceError row 0 lacks the field 'x'
"""


def test_a_notebook_runs_unchanged(platform: Any, times: Any, step_times: Any, tmp_path: Path):
    notebook = tmp_path / "notebook.py"
    notebook.write_text(NOTEBOOK)
    token = platform.headers["Authorization"].removeprefix("Bearer ")
    environ = {
        **os.environ,
        "PYTHONPATH": str(SOURCES),
        "TRIVET_URL": platform.control_url,
        "TRIVET_TOKEN": token,
    }
    ran = subprocess.run(
        [sys.executable, notebook, times(3), step_times(2), tmp_path],
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}\n{platform.log()}"
    said = ran.stdout
    assert "'name': 'ccfraudworkspace', 'id': 2, 'archived': False" in said
    assert "'models': [], 'pipelines': []}\n(no pipelines) (no models)\n" in said
    assert "Waiting for model loading - this will take up to 10.0min.\n" in said
    assert "[{'name': 'ccfraudmodel', 'versions': 1, 'owner_id': '\"\"', 'last_update_time': datetime" in said
    assert "Waiting for deployment - this will take up to 45s " in said
    assert "[{'ModelInference': {'models': [{'name': 'ccfraudmodel', 'version': '" in said
    assert said.rstrip().endswith("{'status': 'Pipeline ccfraudpipeline is not deployed'}")
    raised = [line.removeprefix("RAISED ") for line in said.splitlines() if line.startswith("RAISED ")]
    expected = RAISED.strip().splitlines()
    assert [line[: len(start)] for line, start in zip(raised, expected, strict=True)] == expected
    assert (tmp_path / "logs" / "ccfraudpipeline-1.json").read_text().count("\n") == 2
    assert token not in said
    _check_command(platform, said, token)


def _check_command(platform: Any, said: str, token: str) -> None:
    """The curl command is run with the platform's token."""
    import json
    import shlex
    import shutil

    command = json.loads(next(line for line in said.splitlines() if line.startswith("COMMAND "))[len("COMMAND ") :])
    assert "$TRIVET_TOKEN" in command
    words = [word.replace("$TRIVET_TOKEN", token) for word in shlex.split(command)]
    if shutil.which("curl") is None:
        return
    answer = subprocess.run([*words, "--silent"], capture_output=True, text=True, timeout=60, check=True).stdout
    version = json.loads(answer)["insert_models"]["returning"][0]["models"][0]["id"]
    models = platform.call("GET", "/v1/models", params={"workspace": "ccfraudworkspace"})["models"]
    assert "uploaded" in [each["name"] for each in models]
    assert isinstance(version, int)
