"""What is put together before the platform hears of it: configurations, steps, zips, exported logs, addresses."""

import contextlib
import json
import sys
import zipfile

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trivet
from trivet import Client, DeploymentConfigBuilder
from trivet.control.use_cases.schemas import read_schema
from trivet.domain.frameworks import Framework
from trivet.errors import Invalid, NotFound, Unsupported
from trivet.sdk.calls import Reply, checked
from trivet.sdk.connecting import find_token, find_url
from trivet.sdk.lists import ModelVersionList, PipelineList, PipelineVersionList, WorkspaceList
from trivet.sdk.log_files import LogFiles, read_size
from trivet.sdk.model import ModelState
from trivet.sdk.operations import schema_text
from trivet.sdk.packing import as_file, guess_framework
from trivet.sdk.pipeline_state import PipelineState, PipelineVersion
from trivet.sdk.steps import Steps

NOW = "2024-07-22T20:45:56+00:00"
VERSION = {
    "id": 3, "uuid": "11d9", "name": "ccfraud", "workspace_id": 7, "workspace": "fraud", "number": 1, "sha": "bc85",
    "file_name": "ccfraud.onnx", "framework": "onnx", "arch": "x86", "accel": "none", "status": "ready",
    "error_summary": None, "runtime": "onnx", "config": None, "created_at": NOW, "updated_at": NOW,
}  # fmt: skip
MODEL = ModelState(VERSION)


def pipeline(*versions, deployed=None):
    made = [{"id": 1, "uuid": uuid, "number": 1, "steps": steps, "created_at": NOW} for uuid, steps in versions]
    about = {"id": 2, "name": "p", "workspace_id": 7, "workspace": "fraud", "created_at": NOW, "updated_at": NOW}
    return {**about, "deployed": deployed, "versions": made}


def test_a_configuration_is_the_references():
    built = DeploymentConfigBuilder().replica_count(2).cpus(1).memory("1Gi").sidekick_cpus(MODEL, 2)
    built = (
        built.sidekick_memory(MODEL, "8Gi").sidekick_env(MODEL, {"K": 1}).deployment_label("wallaroo.ai/a: b").build()
    )
    limits = {"cpu": 1, "memory": "1Gi"}
    aside = {"cpu": 2, "memory": "8Gi"}
    assert built == {
        "engine": {"replicas": 2, "cpu": 1, "resources": {"limits": limits, "requests": limits}},
        "enginelb": {},
        "engineAux": {
            "images": {
                "ccfraud-3": {
                    "resources": {"limits": aside, "requests": aside},
                    "env": [{"name": "K", "value": "1"}],
                }
            }
        },
        "node_selector": {"wallaroo.ai/a": "b"},
    }


def test_a_configuration_that_was_built_does_not_change_with_its_builder():
    builder = DeploymentConfigBuilder().cpus(1)
    first = builder.build()
    builder.cpus(4)
    assert first["engine"]["cpu"] == 1
    assert first["engine"]["resources"]["limits"]["cpu"] == 1


def test_what_one_machine_does_not_have_is_refused():
    with pytest.raises(Unsupported, match="GPUs for models that run in the gateway are not supported yet"):
        DeploymentConfigBuilder().gpus(1)
    with pytest.raises(Unsupported, match="autoscaling"):
        DeploymentConfigBuilder().replica_autoscale_min_max(minimum=0, maximum=3)


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda builder: builder.cpus(-1), "-1 cpus"),
        (lambda builder: builder.cpus(True), "True cpus"),
        (lambda builder: builder.cpus("2"), "'2' cpus"),
        (lambda builder: builder.cpus(float("nan")), "nan cpus"),
        (lambda builder: builder.memory("lots"), "'lots' is not an amount of memory"),
        (lambda builder: builder.memory(1.5), "'1.5' is not an amount of memory"),
        (lambda builder: builder.memory(None), "'None' is not an amount of memory"),
        (lambda builder: builder.replica_count(0), "0 replicas"),
        (lambda builder: builder.replica_count(1.0), "1.0 replicas"),
        (lambda builder: builder.sidekick_cpus(MODEL, 0), "0 cpus"),
        (lambda builder: builder.sidekick_gpus(MODEL, -1), "-1 GPUs"),
        (lambda builder: builder.sidekick_gpus(MODEL, 0.5), "0.5 GPUs"),
        (lambda builder: builder.sidekick_memory(MODEL, "-1Gi"), "'-1Gi' is not an amount of memory"),
    ],
)
def test_an_amount_that_cannot_be_is_refused_where_it_is_given(build, what):
    builder = DeploymentConfigBuilder()
    before = builder.build()
    with pytest.raises(Invalid) as caught:
        build(builder)
    assert caught.value.what == what
    assert caught.value.fix
    after = builder.build()
    assert after["engine"] == before["engine"]


def test_gpus_of_a_worker_are_a_limit_of_its_resources():
    built = DeploymentConfigBuilder().sidekick_gpus(MODEL, 2).build()
    (image,) = built["engineAux"]["images"].values()
    assert image == {"resources": {"limits": {"gpu": 2}, "requests": {"gpu": 2}}}
    assert DeploymentConfigBuilder().sidekick_gpus(MODEL, 0).build()["engineAux"]["images"] == {}


def test_a_sidekick_is_named_by_a_model_version():
    with pytest.raises(Invalid, match="is not a model version"):
        DeploymentConfigBuilder().sidekick_cpus("ccfraud", 1)


def test_a_model_version_is_shown_as_the_reference_shows_it():
    assert str(MODEL) == (
        "{'name': 'ccfraud', 'version': '11d9', 'file_name': 'ccfraud.onnx', 'image_path': None, 'arch': 'x86', "
        "'accel': 'none', 'last_update_time': datetime.datetime(2024, 7, 22, 20, 45, 56, tzinfo=datetime.timezone.utc)}"
    )
    page = MODEL._repr_html_()
    for cell in (
        "Name",
        "Number",
        "Framework",
        "Input Schema",
        "SHA",
        "Error Summary",
        "Image Path",
        "2024-22-Jul 20:45:56",
        "Workspace name",
    ):
        assert f"<td>{cell}</td>" in page


def test_a_printed_model_version_has_its_status_and_error():
    assert repr(MODEL).endswith(", 'status': 'ready'}")
    failed = ModelState({**VERSION, "status": "error", "error_summary": "Not a valid ONNX file"})
    assert repr(failed).endswith(", 'status': 'error', 'error_summary': 'Not a valid ONNX file'}")


def test_a_printed_model_version_has_its_number_framework_and_schemas():
    text = schema_text(pa.schema([pa.field("x", pa.list_(pa.float32(), 2), nullable=False)]))
    shown = repr(ModelState({**VERSION, "input_schema": text, "number": 3}))
    assert "'number': 3, 'framework': 'onnx', 'input_schema': 'x: float32[2]', 'output_schema': None" in shown


def test_what_a_notebook_shows_is_escaped():
    page = ModelState({**VERSION, "error_summary": "<script>alert(1)</script>"})._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<td>&lt;b&gt;</td>" in Client("http://127.0.0.1:9", workspace="<b>")._repr_html_()


def test_a_printed_configuration_is_what_it_builds():
    builder = DeploymentConfigBuilder().replica_count(2)
    assert repr(builder) == f"DeploymentConfigBuilder({builder.build()})"


def test_a_model_version_says_what_goes_in_and_comes_out():
    schema, configured = pa.schema([pa.field("x", pa.float32())]), pa.schema([pa.field("y", pa.int64())])
    text, other = schema_text(schema), schema_text(configured)
    model = ModelState({**VERSION, "input_schema": text, "output_schema": text})
    assert (model.input_schema, model.output_schema) == (schema, schema)
    model = ModelState(model.document(), {"id": 1, "input_schema": other, "output_schema": None})
    assert (model.input_schema, model.output_schema) == (configured, schema)
    assert MODEL.input_schema is None


def test_lists_are_tables_in_a_notebook_with_a_text_when_empty():
    models = ModelVersionList([MODEL])
    assert "<th>Status</th>" in models._repr_html_()
    assert "<td>ready</td>" in models._repr_html_()
    assert repr(models) == repr([MODEL])
    pipelines = PipelineList([PipelineState(pipeline(("v1", [])))])
    assert "<td>v1</td>" in pipelines._repr_html_()
    version = {"id": 3, "uuid": "v1", "number": 2, "created_at": "2025-05-21T17:41:25+00:00", "steps": []}
    page = PipelineVersionList([PipelineVersion("<p>", version)])._repr_html_()
    assert "<th>number</th><th>version</th><th>created</th><th>steps</th>" in page
    assert "<td>&lt;p&gt;</td><td>2</td><td>v1</td>" in page
    assert [str(kind()) for kind in (ModelVersionList, PipelineList, PipelineVersionList, WorkspaceList)] == [
        "(no model versions)", "(no pipelines)", "(no pipeline versions)", "(no workspaces)",
    ]  # fmt: skip


@pytest.mark.parametrize("schema", [{"a": 1}, [("a", "int64")], 5])
def test_an_invalid_schema_is_refused_with_examples(schema):
    with pytest.raises(Invalid, match="is not a schema: it is a (dict|list|int)") as caught:
        schema_text(schema, path="input_schema")
    assert caught.value.path == "input_schema"
    assert "pa.schema([pa.field('x', pa.float32())])" in caught.value.fix
    assert "'x: float32[2]; label: string'" in caught.value.fix
    assert schema_text("x: float32[2]; label: string") == "x: float32[2]; label: string"


def test_the_examples_of_schemas_in_errors_are_schemas():
    assert read_schema(schema_text("x: float32[2]; label: string"), which="input").names == ["x", "label"]
    assert read_schema(schema_text(pa.schema([pa.field("x", pa.float32())])), which="input").names == ["x"]


@pytest.mark.parametrize(
    ("name", "what", "fix"),
    [
        ("m.TFLITE", "m.TFLITE is a file that TensorFlow wrote", "custom model"),
        ("m.py", "one Python file", "put it into a folder"),
        ("m.ipynb", "a notebook", "as a .py file"),
        ("m.tar", "an archive", "unpack it"),
        ("m.zip", "called a zip", "zip the package again"),
        ("m.xyz", "does not say what wrote it", "give framework="),
    ],
)
def test_an_unknown_file_is_refused_with_a_fix(tmp_path, name, what, fix):
    (tmp_path / name).write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(Invalid) as caught:
        guess_framework(tmp_path / name)
    assert what in caught.value.what
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("files", "framework"),
    [
        (["model.onnx"], Framework.ONNX),
        (["model.joblib"], Framework.SKLEARN),
        (["model.joblib", "requirements.txt"], Framework.SKLEARN),
        (["model.onnx", "trivet.yaml"], Framework.ONNX),
        (["model.onnx", "custom_inference.py"], Framework.CUSTOM),
        (["lib/model.onnx"], Framework.CUSTOM),
        (["step.py", "model.onnx"], Framework.PYTHON),
        (["lib/step.py"], Framework.PYTHON),
    ],
)
def test_a_zip_and_its_folder_are_of_one_framework(tmp_path, files, framework):
    folder = tmp_path / "package"
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        for name in files:
            text = "def process_data(input_data):\n" if name.endswith("step.py") else ""
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
            archive.writestr(name, text)
    assert guess_framework(folder) is framework
    assert guess_framework(tmp_path / "package.zip") is framework


def test_a_pytorch_file_is_not_a_zipped_package_although_it_is_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"")
    assert guess_framework(tmp_path / "m.pt") is Framework.PYTORCH


def test_errors_that_are_raised_are_those_that_can_be_caught_by_name():
    import trivet.errors

    assert trivet.errors.ModelUploadError is trivet.ModelUploadError
    assert checked_error(401) is trivet.errors.Unauthorized


def checked_error(status):
    with pytest.raises(trivet.TrivetError) as caught:
        checked(Reply(status=status))
    return caught.type


def test_what_a_model_says_cannot_break_out_of_a_page():
    page = ModelState({**VERSION, "error_summary": "<script>alert(1)</script>"})._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_steps_are_local_until_a_deploy_and_have_the_references_form():
    made = PipelineState(pipeline(("v1", []))).add_model_step(MODEL)
    made.add_validations(fraud=pl.col("out.dense_1").list.get(0) > 0.9)
    model, check = made.steps()
    assert model == {"ModelInference": {"models": [{"name": "ccfraud", "version": "11d9", "sha": "bc85"}]}}
    [tree] = check["Check"]["tree"]
    expression, name = json.loads(tree)["Alias"]
    assert name == "fraud"
    assert "BinaryExpr" in expression


def test_steps_are_replaced_and_removed_by_their_place():
    other = ModelState({**VERSION, "name": "challenger", "uuid": "22"})
    made = PipelineState(pipeline(("v1", [MODEL.step(), MODEL.step()])))
    assert [each["ModelInference"]["models"][0]["name"] for each in made.replace_with_model_step(1, other).steps()] == [
        "ccfraud", "challenger",
    ]  # fmt: skip
    assert len(made.remove_step(0).steps()) == 1
    with pytest.raises(Invalid, match="step 1 does not exist"):
        made.remove_step(1)
    assert made.clear().steps() == []


def test_an_earlier_version_gives_its_steps_back():
    document = pipeline(("v2", []), ("v1", [MODEL.step()]))
    assert PipelineState(document).steps() == []
    assert len(PipelineState(document, version="v1").steps()) == 1
    with pytest.raises(NotFound, match="Pipeline version v3 not found in this workspace."):
        PipelineState(document, version="v3")


@pytest.mark.parametrize(("deployed", "shown"), [(None, "(none)"), (True, "True"), (False, "False")])
def test_a_pipeline_is_shown_with_its_versions_and_its_first_step(deployed, shown):
    made = PipelineState(pipeline(("v2", [MODEL.step()]), ("v1", []), deployed=deployed))
    page = made._repr_html_()
    for cell in (shown, "v2, v1", "ccfraud", "fraud"):
        assert f"<td>{cell}</td>" in page


def test_the_name_count_is_ignored_with_a_warning():
    steps = Steps([])
    with pytest.warns(UserWarning, match="`count` is reserved"):
        steps.add_validations({"count": pl.col("out.x") > 0})
    assert steps.documents == []


def test_an_invalid_expression_is_refused():
    with pytest.raises(Invalid, match="'fraud' is not a polars expression"):
        Steps([]).add_validations({"fraud": True})
    with pytest.raises(Invalid, match="is not a model version"):
        Steps([]).add_model("ccfraud")


def test_a_folder_is_the_same_zip_every_time(tmp_path):
    folder = tmp_path / "byop"
    (folder / "sub").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    for name in ("model.py", "sub/z.txt", "__pycache__/model.pyc", ".DS_Store"):
        (folder / name).write_text(name)
    found = []
    for _ in range(2):
        with as_file(folder) as (path, name):
            assert name == "byop.zip"
            found.append(path.read_bytes())
            names = zipfile.ZipFile(path).namelist()
        (folder / "model.py").touch()
        assert not path.exists()
    assert names == ["model.py", "sub/z.txt"]
    assert found[0] == found[1]


def test_a_path_without_a_model_is_not_found(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match="has no files"), as_file(tmp_path / "empty"):
        pass
    with pytest.raises(NotFound, match="file not found"), as_file(tmp_path / "none.onnx"):
        pass


@pytest.mark.parametrize(
    ("text", "size"),
    [("100MB", 10**8), ("1.5 KiB", 1536), ("7", 7), ("0B", 1), ("2gb", 2 * 10**9), (" 3 MiB ", 3 << 20)],
)
def test_a_size_is_read(text, size):
    assert read_size(text) == size


@given(st.text())
def test_an_invalid_size_is_refused(text):
    with contextlib.suppress(Invalid):
        assert read_size(text) >= 1


def rows(count, **columns):
    return pa.table(
        {"time": pa.array(range(count), pa.timestamp("ms")), **{name: [each] * count for name, each in columns.items()}}
    )


@pytest.mark.parametrize("arrow", [False, True])
def test_a_log_of_one_schema_is_one_file_however_many_pages_it_came_in(tmp_path, arrow):
    with LogFiles(tmp_path / "logs", prefix="p", most_bytes=10**8, arrow=arrow) as files:
        for _ in range(3):
            files.write(rows(2500, **{"out.x": 1.5}))
    [path] = (tmp_path / "logs").iterdir()
    if arrow:
        assert path.name == "p-1.arrow"
        assert pa.ipc.open_file(path).read_all().num_rows == 7500
    else:
        assert path.name == "p-1.json"
        lines = path.read_text().splitlines()
        assert len(lines) == 7500
        assert json.loads(lines[1]) == {"time": 1, "out.x": 1.5}


def test_another_schema_and_a_full_file_begin_another_file(tmp_path):
    with LogFiles(tmp_path, prefix="p", most_bytes=40_000, arrow=False) as files:
        files.write(rows(3000, **{"out.x": 1.5}))
        files.write(rows(1, **{"out.y": 1.5}))
    sizes = [len((tmp_path / f"p-{number}.json").read_text().splitlines()) for number in (1, 2, 3)]
    assert sum(sizes) == 3001
    assert sizes[-1] == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_no_rows_make_no_file(tmp_path):
    with LogFiles(tmp_path / "logs", prefix="p", most_bytes=1, arrow=True) as files:
        files.write(rows(0, **{"out.x": 1.5}))
    assert not (tmp_path / "logs").exists()


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No platform is known of."""
    for name in ("TRIVET_URL", "TRIVET_TOKEN", "TRIVET_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_arguments_come_before_the_environment_and_that_before_the_home(nowhere, monkeypatch):
    assert find_url(None) == "http://127.0.0.1:8000"
    assert find_token(None) is None
    home = nowhere / ".trivet"
    (home / "run").mkdir(parents=True)
    (home / "token").write_text("of-the-home\n")
    (home / "run" / "platform.json").write_text('{"control_url": "http://127.0.0.1:9000"}')
    assert (find_url(None), find_token(None)) == ("http://127.0.0.1:9000", "of-the-home")
    monkeypatch.setenv("TRIVET_URL", "https://trivet.example/")
    monkeypatch.setenv("TRIVET_TOKEN", "of-the-environment")
    assert (find_url(None), find_token(None)) == ("https://trivet.example", "of-the-environment")
    assert (find_url("http://[::1]:8000/"), find_token("mine")) == ("http://[::1]:8000", "mine")


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://x:99999", "http://x:no", "http://[x"])
def test_an_invalid_address_is_refused_before_anything_is_sent(nowhere, url):
    with pytest.raises(Invalid, match="is not the address of a platform"):
        find_url(url)


@pytest.mark.parametrize("token", ["se\ncret", "se cret", "sécret"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(nowhere, token):
    with pytest.raises(Invalid) as caught:
        find_token(token)
    assert "cret" not in str(caught.value)


def test_everything_that_is_promised_can_be_imported():
    for name in trivet.__all__:
        assert getattr(trivet, name) is not None
    assert set(dir(trivet)) == set(trivet.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Cleint'"):
        _ = trivet.Cleint


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert trivet.__version__ == version("trivet")


def test_importing_trivet_imports_nothing_else_of_it():
    import subprocess

    code = (
        "import sys, trivet; print([n for n in sys.modules if n.startswith(('trivet.', 'httpx', 'pandas', 'pyarrow'))])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "[]"


def test_a_file_is_looked_at_before_it_is_much_too_large(tmp_path):
    table = pa.table({"x": pa.array(range(4000), pa.int64())})
    with LogFiles(tmp_path / "logs", prefix="p", most_bytes=read_size("10KB"), arrow=False) as files:
        files.write(table)
    sizes = sorted(path.stat().st_size for path in (tmp_path / "logs").iterdir())
    assert len(sizes) > 2
    assert sizes[-1] < 15_000


def test_a_size_may_be_a_number():
    assert read_size(10**6) == read_size("1MB") == 10**6
