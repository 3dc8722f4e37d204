"""Packages that cannot be served: `check` and `serve` say so in the same words, and leave nothing half-made."""

import io
import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCHEMAS = ("--input-schema", "x: float32[3]", "--output-schema", "y: float32")


def refused(shell, path: object, *flags: object) -> str:
    """What both commands say, stages aside, to a package that they refuse."""

    def call(command: str) -> str:
        port = ("--http-port", "0") if command == "serve" else ()
        ended = shell.run(command, path, *flags, *port)
        assert ended.code == 1, (ended.stdout, ended.stderr)
        # Quoted from the model's log, indented, it is welcome; ours is not.
        assert not re.search(r"^Traceback", ended.stderr, re.MULTILINE)
        assert "Ready" not in ended.stdout
        _, error, text = ended.stderr.partition("error: ")
        assert error
        return text

    said = [call("check"), call("serve")]
    # What is quoted of a log may differ in numbers of lines, not in what it is about.
    assert said[0].splitlines()[0] == said[1].splitlines()[0]
    assert "\n  fix " in said[0]
    assert_nothing_half_made(shell)
    return said[0]


def assert_nothing_half_made(shell) -> None:
    packages = shell.home / "packages"
    names = [path.name for path in packages.iterdir()] if packages.exists() else []
    assert all(re.fullmatch(r"[0-9a-f]{64}|\..*", name) for name in names), names
    assert list(shell.temporary.glob("trivet-*")) == []


Package = Callable[[Any, Path], Path]


def zipped(**named: Any) -> Package:
    """A custom model, changed: `replace` pieces of its code, `files` more, `without` some."""

    def write(make, folder: Path) -> Path:
        files = make.byop_files(*named.get("replace", ())) | named.get("files", {})
        return make.zip(
            folder / "model.zip", {name: text for name, text in files.items() if name not in named.get("without", ())}
        )

    return write


def raw_zip(*members: tuple[str, bytes], **named: Any) -> Package:
    def write(make, folder: Path) -> Path:
        path = make.zip(folder / "model.zip", make.byop_files())
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = named.get("attributes", 0)
                archive.writestr(info, content)
        return path

    return write


def written(name: str, content: bytes) -> Package:
    def write(_make, folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def truncated(make, folder: Path) -> Path:
    path = make.zip(folder / "model.zip", make.byop_files())
    path.write_bytes(path.read_bytes()[:-100])
    return path


def step(code: str, **settings: Any) -> Package:
    return lambda make, folder: make.step(folder / "step", code, **settings)


SECOND_INFERENCE = "from mac.inference import Inference\nclass Another(Inference):\n    pass\n"
SECOND_BUILDER = "from mac.inference.creation import InferenceBuilder\nclass Another(InferenceBuilder):\n    pass\n"
PREDICT = "def _predict(self, input_data: InferenceData) -> InferenceData:"

CHECKING_SETTER = """    @Inference.model.setter
    def model(self, model):
        self._raise_error_if_model_is_wrong_type(model)
        self._model = model

"""

# name: (the package, how the error begins, what else is in it)
CASES: dict[str, tuple[Package, str, tuple[str, ...]]] = {
    # The file
    "nothing there": (lambda _make, folder: folder / "nowhere.zip", "File not found: ", ("nowhere.zip",)),
    "not a zip": (written("model.zip", b"this is no zip" * 100), "Not a valid ZIP file", ("does not begin",)),
    "empty file": (written("model.zip", b""), "Not a valid ZIP file", ()),
    "truncated zip": (truncated, "Not a valid ZIP file", ()),
    "not ONNX": (written("model.onnx", b"\x08\x07garbage" * 9), "", ("model.onnx",)),
    "unknown file": (written("model.bin", b"x" * 100), "", ("model.bin",)),
    "bomb": (raw_zip(("zeros.bin", bytes(64 * 2**20))), "", ("zeros.bin",)),
    "escape": (raw_zip(("../escaped.txt", b"x")), "", ("../escaped.txt",)),
    "absolute": (raw_zip(("/etc/escaped.txt", b"x")), "", ("/etc/escaped.txt",)),
    "link": (raw_zip(("link.txt", b"/etc/passwd"), attributes=0o120777 << 16), "", ("link.txt",)),
    "case clash": (raw_zip(("Custom_Inference.py", b"x = 1")), "", ("Custom_Inference.py",)),
    # Its requirements
    "no requirements": (
        zipped(without=["requirements.txt"]),
        "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file",
        ("requirements.txt",),
    ),
    "bad requirement": (
        zipped(files={"requirements.txt": "numpy\n!!what is this\n"}),
        "Could not parse user provided requirements.txt",
        ("requirements.txt:2", "!!what is this"),
    ),
    "requirement by address": (
        zipped(files={"requirements.txt": "--index-url https://example.invalid\nnumpy\n"}),
        "Could not parse user provided requirements.txt",
        ("requirements.txt:1", "--index-url"),
    ),
    "requirements that do not resolve": (
        zipped(files={"requirements.txt": "numpy<2\nnumpy>2.0\n"}),
        "Could not pip install user provided requirements.txt",
        ("you require numpy<2 and numpy>2.0",),
    ),
    # Its classes
    "no Inference": (
        zipped(replace=[("class Summing(Inference)", "class Summing")]),
        "No Inference-inherited class found in the model directory",
        ("custom_inference.py:7", "Summing"),
    ),
    "no builder": (
        zipped(replace=[("class SummingBuilder(InferenceBuilder)", "class SummingBuilder")]),
        "No InferenceBuilder-inherited class found in the model directory",
        ("custom_inference.py:15", "SummingBuilder"),
    ),
    "two Inferences": (
        zipped(files={"another.py": SECOND_INFERENCE}),
        "Multiple Inference-inherited classes found: ['Another', 'Summing'].  Only one is allowed.",
        ("another.py:2", "custom_inference.py:7"),
    ),
    "two builders": (
        zipped(files={"another.py": SECOND_BUILDER}),
        "Multiple InferenceBuilder-inherited classes found: ['Another', 'SummingBuilder'].  Only one is allowed.",
        ("another.py:2", "custom_inference.py:15"),
    ),
    "no expected_model_types": (
        zipped(replace=[("expected_model_types", "model_types")]),
        "The Inference class must contain the expected_model_types method.",
        ("custom_inference.py:7",),
    ),
    "no _predict": (
        zipped(replace=[("def _predict", "def guess")]),
        "The Inference class must contain the predict method.",
        ("custom_inference.py:7",),
    ),
    "no inference": (
        zipped(replace=[("def inference(self)", "def summing(self)")]),
        "The InferenceBuilder class must contain the inference method.",
        ("custom_inference.py:15",),
    ),
    "no create": (
        zipped(replace=[("def create", "def make")]),
        "The InferenceBuilder class must contain the create method.",
        ("custom_inference.py:15",),
    ),
    "_predict wants a frame": (
        zipped(replace=[("input_data: InferenceData)", "input_data: int)")]),
        "The Inference class's predict method may only accept a dictionary of numpy arrays.",
        ("custom_inference.py:12", "int"),
    ),
    "no source": (
        zipped(without=["custom_inference.py"]),
        "",
        (".py",),
    ),
    "syntax error": (
        zipped(replace=[("return {int}", "return {int")]),
        "No Python modules found in the model directory: model.zip",
        ("custom_inference.py:",),
    ),
    "NameError on import": (
        zipped(replace=[("class Summing(", "limit = undefined_name\n\n\nclass Summing(")]),
        "a module of model fails on import: ",
        ("NameError: name 'undefined_name' is not defined", "custom_inference.py:7"),
    ),
    "missing module": (
        zipped(replace=[("class Summing(", "import no_such_module_anywhere\n\n\nclass Summing(")]),
        "a module of model fails on import: ",
        ("ModuleNotFoundError: No module named 'no_such_module_anywhere'", "custom_inference.py:7"),
    ),
    # What it does when it is loaded
    "model of another type": (
        zipped(
            replace=[
                ("inference.model = 2", "inference.model = 'two'"),
                ("    def _predict", CHECKING_SETTER + "    def _predict"),
            ]
        ),
        "the model of model cannot be loaded: ",
        ("str", "int", "custom_inference.py:"),
    ),
    "builder raises": (
        zipped(replace=[("inference.model = 2", "inference.model = open(config.model_path / 'weights.pkl')")]),
        "the model of model cannot be loaded: ",
        ("FileNotFoundError", "weights.pkl", "custom_inference.py:22"),
    ),
    "builder gives nothing": (zipped(replace=[("        return inference\n", "        return None\n")]), "SummingBuilder.create gave None", ("Summing",)),
    "dies while it loads": (
        zipped(replace=[("inference.model = 2", "import os; print('farewell'); os._exit(7)")]),
        "the worker of model ended while it was loading the model",
        ("exit code 7", "farewell"),
    ),
    "crashes while it loads": (
        zipped(replace=[("inference.model = 2", "import ctypes; ctypes.string_at(0)")]),
        "the worker of model ended while it was loading the model",
        ("SIGSEGV",),
    ),
    # What it does with a row
    "_predict gives a number": (
        zipped(replace=[('return {"y": input_data["x"].sum(axis=1) * self.model}', "return 3")]),
        "",
        ("int",),
    ),
    "the schema lacks a field that the model reads": (
        zipped(replace=[('input_data["x"]', 'input_data["z"]')], files={"trivet.yaml": "example: [{x: [1, 2, 3]}]"}),
        "the model refuses its own example row: KeyError: 'z'",
        ("logs/model.log",),
    ),
    "the model answers another field": (zipped(replace=[('{"y":', '{"z":')]), "", ("'y'",)),
    "the model answers another type": (
        zipped(replace=[(".sum(axis=1) * self.model", ".sum(axis=1).astype('U')")]),
        "the model answered something else than it declares",
        ("y", "float32"),
    ),
    "the model answers other rows": (
        zipped(replace=[(".sum(axis=1)", ".sum(axis=1).repeat(3)")]),
        "the model answered something else than it declares",
        ("y", "3", "1"),
    ),
    # Python steps and settings
    "no process_data": (step("def process(d):\n    return d\n"), "", ("process_data",)),
    "unknown setting": (step("def process_data(d):\n    return d\n", workrs=2), "", ("workrs", "did you mean 'workers'?")),
    "example that does not fit": (
        step("def process_data(d):\n    return d\n", example=[{"x": [1, 2]}]),
        "the example rows do not fit the input schema",
        ("x", "3"),
    ),
    "refuses its own example": (
        step("def process_data(d):\n    raise ValueError('never')\n", example=[{"x": [1, 2, 3]}]),
        "the model refuses its own example row: ValueError: never",
        ("logs/step.log",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_the_reason_and_the_remedy(shell, make, tmp_path, name):
    write, beginning, more = CASES[name]
    path = write(make, tmp_path)
    said = refused(shell, path, *(() if path.is_dir() else SCHEMAS))
    assert said.startswith(beginning)
    for text in more:
        assert text in said
    assert not (tmp_path / "escaped.txt").exists()
    assert not (shell.home / "packages" / "escaped.txt").exists()


def test_a_missing_python_is_reported_with_those_found(shell, make, tmp_path):
    said = refused(shell, make.zip(tmp_path / "model.zip", make.byop_files()), *SCHEMAS, "--python", "3.77")
    assert "3.77" in said
    assert re.search(r"3\.1\d", said)


@pytest.mark.parametrize(("given", "missing"), [("--input-schema", "output"), ("--output-schema", "input")])
def test_a_custom_model_without_a_schema_is_asked_for_one(shell, make, tmp_path, given, missing):
    path = make.zip(tmp_path / "model.zip", make.byop_files())
    said = refused(shell, path, given, "x: float32[3]")
    assert said.startswith(f"a custom model needs an {missing} schema")
    assert f"--{missing}-schema" in said


def test_flags_that_do_nothing_are_refused(shell, make, tmp_path):
    said = refused(shell, make.zip(tmp_path / "model.zip", make.byop_files()), *SCHEMAS, "--tensor-fields", "a")
    assert said.startswith("tensor_fields has no effect on this model")


def test_onnx_flags_that_do_nothing_are_refused(shell, conformance):
    path = conformance / "onnx" / "ccfraud.onnx"
    assert refused(shell, path, "--workers", "2").startswith("workers has no effect on this model")
    said = refused(shell, path, "--tensor-fields", "a,b")
    assert "2" in said.splitlines()[0]
    assert "dense_input" in said


def test_an_onnx_file_that_is_cut_short_is_refused(shell, conformance, tmp_path):
    whole = (conformance / "onnx" / "ccfraud.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    assert "cut.onnx" in refused(shell, tmp_path / "cut.onnx")


def test_check_reports_an_error_as_json(shell, make, tmp_path):
    path = make.zip(tmp_path / "model.zip", {"custom_inference.py": "x = 1\n", "requirements.txt": ""})
    ended = shell.run("check", path, *SCHEMAS, "--framework", "custom", "--json")
    assert ended.code == 1
    report = json.loads(ended.stdout)
    assert report["ok"] is False
    assert report["error"]["reason"] == "no_class"
    assert report["error"]["error"].startswith("No Inference-inherited class found in the model directory")
    assert report["error"]["fix"]
    assert "Traceback" not in ended.stderr


def test_after_a_refusal_the_fixed_package_is_served(shell, make, tmp_path):
    path = make.zip(tmp_path / "model.zip", make.byop_files(("def create", "def make")))
    refused(shell, path, *SCHEMAS)
    make.zip(path, make.byop_files())
    with shell.serve(path, *SCHEMAS) as server:
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 12.0}]


def test_a_model_that_refuses_a_row_of_zeros_is_asked_with_ones(shell, make, tmp_path):
    code = """
        def process_data(d):
            if not d["x"].any():
                raise ValueError("zeros make no sense here")
            return {"y": d["x"].sum(axis=1)}
    """
    with shell.serve(make.step(tmp_path / "step", code)) as server:
        assert "warning" not in server.stderr
        assert server.is_ready()
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
        answer = server.post([{"x": [0, 0, 0]}])
        assert (answer.status_code, answer.json()["reason"]) == (500, "model_error")


def test_a_model_that_refuses_each_made_up_row_is_served_with_a_warning(shell, make, tmp_path):
    code = """
        def process_data(d):
            if (d["x"] == d["x"][:, :1]).all():
                raise ValueError("a flat row makes no sense here")
            return {"y": d["x"].sum(axis=1)}
    """
    with shell.serve(make.step(tmp_path / "step", code)) as server:
        raised = (
            "the model raised on a row of zeros, which was made up from its schema: ValueError: a flat row makes no"
        )
        assert f"warning: {raised} sense here. To fix this: " in server.stderr
        assert 'traceback: Traceback (most recent call last):\n  File "' in server.stderr
        assert server.outputs([{"x": [1, 2, 3]}]) == [{"y": 6.0}]
        assert server.is_ready()
        answer = server.post([{"x": [0, 0, 0]}])
        assert (answer.status_code, answer.json()["reason"]) == (500, "model_error")


def test_a_zip_from_another_tool_with_odd_entries_is_named(shell, make, tmp_path):
    """An encrypted entry: its flag bit is all that matters."""
    data = bytearray(make.zip(tmp_path / "model.zip", make.byop_files()).read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first = archive.infolist()[0]
    data[first.header_offset + 6] |= 1
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    (tmp_path / "model.zip").write_bytes(data)
    assert "encrypted" in refused(shell, tmp_path / "model.zip", *SCHEMAS)


def test_the_path_may_be_a_fifo_or_a_device_and_nothing_hangs(shell, tmp_path):
    subprocess.run(["mkfifo", tmp_path / "model.zip"], check=True)
    assert "model.zip" in refused(shell, tmp_path / "model.zip", *SCHEMAS)
    assert "/dev/zero" in refused(shell, "/dev/zero", *SCHEMAS)
