"""Custom models and Python steps, in the shapes in which authors pack them, from the path to a pandas DataFrame."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

RECORDS = "application/json; format=pandas-records"
ARROW_FILE = "application/vnd.apache.arrow.file"
PROJECT = Path(__file__).resolve().parents[2]

# A linear model whose weights lie in an .npz file, read by a module beside it, in a file whose name is no identifier.
LINEAR = {
    "linear-inference.py": """
        import pathlib

        from mac.config.inference import CustomInferenceConfig
        from mac.inference import Inference
        from mac.inference.creation import InferenceBuilder
        from mac.types import InferenceData

        from helper import load, score

        class Linear(Inference):
            @property
            def expected_model_types(self):
                return {dict}

            @Inference.model.setter
            def model(self, model):
                self._raise_error_if_model_is_wrong_type(model)
                self._model = model

            def _predict(self, input_data: InferenceData) -> InferenceData:
                self._raise_error_if_model_is_not_assigned()
                features = input_data.pop("features")
                features *= 1  # writable
                scores = score(features, self.model)
                return {"score": scores, "label": (scores > 0).astype("int64"), "names": input_data["name"]}

        class LinearBuilder(InferenceBuilder):
            @property
            def inference(self) -> Linear:
                return Linear()

            def create(self, config: CustomInferenceConfig) -> Linear:
                inference = self.inference
                inference.model = load(config.model_path / "artifacts" / "weights.npz")
                return inference
    """,
    "helper.py": """
        import numpy as np

        def load(path):
            with np.load(path) as arrays:
                return dict(arrays)

        def score(features, model):
            return features @ model["w"] + model["b"]
    """,
    "requirements.txt": "# nothing but numpy, which is always there\n",
}
SCHEMAS = (
    *("--input-schema", "features: float32[4]; name: string"),
    *("--output-schema", "score: float32; label: int64; names: string"),
)
W = np.array([1.0, -2.0, 0.5, 4.0], np.float32)
B = np.float32(-1)


def linear_files() -> dict[str, str | bytes]:
    weights = io.BytesIO()
    np.savez(weights, w=W, b=B)
    return {**LINEAR, "artifacts/weights.npz": weights.getvalue()}


@pytest.fixture(scope="module")
def linear(long_shell, make):
    """A zip with one top folder and what macOS adds to it."""
    files = {f"My model/{name}": content for name, content in linear_files().items()}
    rubbish = {
        "__MACOSX/My model/._helper.py": b"\0\5\x16\7",
        "My model/.DS_Store": b"\0",
        "My model/__pycache__/helper.cpython-38.pyc": b"x",
    }
    path = make.zip(long_shell.folder / "linear_model.zip", files | rubbish)
    with long_shell.serve(path, *SCHEMAS) as server:
        yield server


def rows(count: int) -> tuple[pd.DataFrame, np.ndarray]:
    features = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
    frame = pd.DataFrame({"features": features.tolist(), "name": [f"row {index} ≠ ü" for index in range(count)]})
    return frame, features @ W + B


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_a_data_frame_goes_in_and_one_comes_out(linear, count):
    frame, scores = rows(count)
    answer = linear.post(frame.to_json(orient="records", double_precision=15).encode())
    assert answer.status_code == 200
    nested = pd.DataFrame(answer.json())
    out = pd.DataFrame(nested["out"].tolist())
    np.testing.assert_allclose(out["score"].to_numpy(np.float32), scores, rtol=1e-5, atol=1e-6)
    assert out["label"].tolist() == (out["score"] > 0).astype(int).tolist()
    assert out["names"].tolist() == frame["name"].tolist()
    assert pd.DataFrame(nested["in"].tolist())["name"].tolist() == frame["name"].tolist()


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_a_table_goes_in_and_one_comes_out(linear, make, count):
    frame, scores = rows(count)
    schema = pa.schema({"features": pa.list_(pa.float32(), 4), "name": pa.string()})
    answer = linear.post(make.arrow(pa.Table.from_pandas(frame, schema=schema)), content=ARROW_FILE)
    found = pa.ipc.open_file(answer.content).read_all()
    out = found["out"].combine_chunks()
    assert out.field("score").type == pa.float32()
    np.testing.assert_allclose(out.field("score").to_numpy(), scores, rtol=1e-5, atol=1e-6)
    assert out.field("names").to_pylist() == frame["name"].tolist()


def test_the_model_is_known_by_a_name_made_from_its_file(linear):
    model = linear.get("/models").json()["models"][0]
    assert (model["name"], model["framework"], model["runtime"]) == ("linear-model", "custom", "isolated")


def test_a_folder_answers_what_its_zip_answers(shell, make, linear, tmp_path):
    folder = make.folder(tmp_path / "linear", linear_files())
    frame, _ = rows(3)
    sent = json.loads(frame.to_json(orient="records"))
    with shell.serve(folder, *SCHEMAS) as server:
        assert server.outputs(sent) == linear.outputs(sent)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*LINEAR, "artifacts"])


def test_a_flat_zip_works_too(shell, make, linear, tmp_path):
    path = make.zip(tmp_path / "flat.zip", linear_files())
    checked = shell.run("check", path, *SCHEMAS, "--json")
    assert checked.code == 0, checked.stderr
    assert json.loads(checked.stdout)["ok"] is True


def test_packages_with_a_helper_of_the_same_name_never_meet(shell, make, tmp_path):
    code = "import helper\ndef process_data(d):\n    return {'y': d['x'].sum(axis=1) + helper.HERE}\n"
    servers = []
    for number in (100, 200):
        files = make.step_files(code, settings={"name": "step"}) | {"helper.py": f"HERE = {number}"}
        servers.append(make.folder(tmp_path / str(number), files))
    with shell.serve(servers[0]) as first, shell.serve(servers[1]) as second:
        assert first.outputs([{"x": [1, 2, 3]}]) == [{"y": 106.0}]
        assert second.outputs([{"x": [1, 2, 3]}]) == [{"y": 206.0}]


def test_a_step_may_import_wallaroo_and_finds_its_folder(shell, make, tmp_path):
    code = """
        import os, pathlib
        import pandas as pd
        import wallaroo
        from mac.types import InferenceData
        from resources import more

        FACTOR = float((pathlib.Path(__file__).parent / "factor.txt").read_text())

        def process_data(input_data: InferenceData) -> InferenceData:
            frame = pd.DataFrame({"total": [row.sum() for row in input_data["x"]]})
            return (frame["total"] * FACTOR + more.MORE).to_frame("y")
    """
    settings = {"input_schema": "x: float64[]", "output_schema": "y: float64", "example": [{"x": [1, 2]}]}
    files = make.step_files(code, settings=settings, file="pre-process_step.py")
    make.folder(tmp_path / "my_step", files | {"factor.txt": "10", "resources/more.py": "MORE = 1"})
    with shell.serve(tmp_path / "my_step") as server:
        assert server.outputs([{"x": [1.0, 2.0]}, {"x": []}, {"x": [0.5]}]) == [{"y": 31.0}, {"y": 1.0}, {"y": 6.0}]
        answer = server.post(
            make.arrow(pa.table({"x": pa.array([[1.0], [2.0, 3.0]])}), stream=True),
            content="application/vnd.apache.arrow.stream",
        )
        assert pa.ipc.open_stream(answer.content).read_all()["out"].to_pylist() == [{"y": 11.0}, {"y": 51.0}]


def test_inputs_that_are_optional_may_be_left_out(shell, make, tmp_path):
    example = PROJECT / "examples" / "optional_inputs"
    files = {f"optional/{path.name}": path.read_bytes() for path in example.iterdir() if path.is_file()}
    path = make.zip(tmp_path / "optional.zip", files)
    inputs = "input_1: float32[]; input_2: float32[]?; multiply_factor: int32?"
    with shell.serve(path, "--input-schema", inputs, "--output-schema", "output: float32[]") as server:
        for row, expected in (
            ({"input_1": [1, 2], "input_2": [3, 4], "multiply_factor": 2}, [8.0, 12.0]),
            ({"input_1": [1, 2], "input_2": [], "multiply_factor": None}, [1.0, 2.0]),
            ({"input_1": [1, 2], "multiply_factor": 3}, [3.0, 6.0]),
            ({"input_1": [1, 2]}, [1.0, 2.0]),
        ):
            assert server.outputs([row]) == [{"output": expected}], row
        for row, path in (({"input_2": [1]}, "input_1"), ({"input_1": [1], "input_2": None}, "input_2")):
            refused = server.post([row])
            assert refused.status_code == 400
            assert path in refused.json()["error"]


def test_a_zip_with_settings_in_it_needs_no_flags(shell, make, tmp_path):
    settings = {"name": "twice", "input_schema": {"x": "float32[3]"}, "output_schema": {"y": "float32"}}
    files = make.byop_files(**{"trivet.yaml": json.dumps(settings)})
    with shell.serve(make.zip(tmp_path / "any.zip", files)) as server:
        assert server.get("/models").json()["models"][0]["name"] == "twice"
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 12.0}]


def test_columns_that_the_model_does_not_know_come_back_as_they_went_in(linear, make):
    row = {"index": 9007199254740993, "features": [0, 0, 0, 0], "name": "n", "note": {"a": [None, 1.5]}}
    answer = linear.post([row])
    assert answer.status_code == 200
    assert answer.json()[0]["in"] == row


def test_compressed_bodies_are_taken(linear):
    import gzip

    import zstandard

    frame, _ = rows(50)
    body = frame.to_json(orient="records").encode()
    plain = [row["out"] for row in linear.post(body).json()]
    for encoding, packed in (("gzip", gzip.compress(body)), ("zstd", zstandard.compress(body))):
        answer = linear.post(packed, headers={"Content-Encoding": encoding})
        assert [row["out"] for row in answer.json()] == plain


def test_the_tests_in_settings_are_run_by_check(shell, make, tmp_path):
    right = {"name": "ones", "rows": [{"x": [1, 1, 1]}], "expect": [{"y": 3.0}]}
    wrong = {"name": "twos", "rows": [{"x": [2, 2, 2]}], "expect": [{"y": 7.0}]}
    passing = shell.run("check", make.step(tmp_path / "passing", tests=[right]))
    assert (passing.code, "ok   test: ones: passed" in passing.stdout) == (0, True)
    failing = shell.run("check", make.step(tmp_path / "failing", tests=[right, wrong]))
    assert failing.code == 1
    assert "ok   test: ones: passed" in failing.stdout
    assert "FAIL test: twos:" in failing.stdout
    assert "6" in failing.stdout.partition("twos")[2]
    assert "7" in failing.stdout.partition("twos")[2]


def test_check_says_what_it_found(shell, make, tmp_path):
    checked = shell.run("check", make.step(tmp_path / "step"), "--json")
    assert (checked.code, shell.run("check", tmp_path / "step").code) == (0, 0)
    report = json.loads(checked.stdout)
    assert report["ok"] is True
    steps = {step["step"]: step["detail"] for step in report["steps"]}
    assert steps["takes"] == "x: float32[3]"
    assert steps["answers"] == "y: float32"
    assert steps["answered"] == "a row of zeros"
    assert "python model 'step'" in steps["package"]


def test_check_fails_if_the_model_answers_no_made_up_row(shell, make, tmp_path):
    code = "def process_data(d):\n    raise ValueError('no such customer')\n"
    checked = shell.run("check", make.step(tmp_path / "step", code))
    assert checked.code == 1
    assert "FAIL answered: no: the model raised on a row of zeros, which was made up from its schema" in checked.stdout
    assert "ValueError: no such customer. To fix this: fix the model, or give it an example row" in checked.stdout
    assert "raise ValueError('no such customer')" in checked.stderr
    assert "the package loads, but did not answer a row" in checked.stderr


def test_the_package_in_the_store_is_not_changed_by_the_model(shell, make, tmp_path):
    code = """
        import pathlib
        HERE = pathlib.Path(__file__).parent
        def process_data(d):
            pathlib.Path("written-by-the-model.txt").write_text("in its own working folder")
            return {"y": d["x"].sum(axis=1)}
    """
    with shell.serve(make.step(tmp_path / "step", code)) as server:
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
        names = {path.name for path in shell.home.glob("packages/*/files/**/*") if path.is_file()}
        assert names == {"step.py", "trivet.yaml"}
    shutil.rmtree(tmp_path / "step")
    assert zipfile.is_zipfile(tmp_path / "step") is False
