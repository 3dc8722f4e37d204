"""Opening a path as a package: files, zips, folders and `trivet.yaml`."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from trivet.domain.digest import digest_of_file
from trivet.domain.frameworks import ACCEPTED, Framework
from trivet.domain.package import Contents, ModelSettings, Package
from trivet.errors import BadPackage, NotFound, TooLarge
from trivet.packaging import Limits, open_package

STEP = "def process_data(input_data):\n    return input_data\n"
CUSTOM = """\
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder

class Clusters(Inference):
    expected_model_types = {int}
    def _predict(self, input_data): return input_data

class ClustersBuilder(InferenceBuilder):
    inference = Clusters
    def create(self, config): return Clusters()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "store"
    yield folder
    for root, _, _ in os.walk(folder):  # packages are read-only; pytest could not remove them
        Path(root).chmod(0o700)


def onnx_bytes() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def folder_of(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def zip_of(path: Path, files: dict[str, str | bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path, store: Path, **options: object) -> BadPackage:
    with pytest.raises(BadPackage) as caught:
        open_package(path, store=store, **options)  # type: ignore[arg-type]
    assert caught.value.fix
    return caught.value


def test_an_onnx_file_is_a_package(tmp_path: Path, store: Path) -> None:
    path = folder_of(tmp_path, {"CC Fraud.onnx": onnx_bytes()}) / "CC Fraud.onnx"
    package = open_package(path, store=store)
    assert (package.name, package.file_name, package.framework) == ("cc-fraud", "CC Fraud.onnx", Framework.ONNX)
    assert package.digest == digest_of_file(path)
    assert (package.root / package.contents.files["model"]).read_bytes() == onnx_bytes()
    assert package.root.is_relative_to(store)
    assert package.contents.requirements == ()


@pytest.mark.parametrize("top", ["", "clusters/", "another name/"])
def test_a_custom_model_is_found_in_a_zip(tmp_path: Path, store: Path, top: str) -> None:
    files = {
        f"{top}custom-inference.py": CUSTOM,
        f"{top}requirements.txt": "scikit-learn==1.2.2\n",
        f"{top}m.pkl": b"1",
    }
    path = zip_of(tmp_path / "clusters.zip", files)
    package = open_package(path, store=store)
    assert (package.name, package.framework, package.digest) == ("clusters", Framework.CUSTOM, digest_of_file(path))
    assert [each.path for each in package.manifest.files] == ["custom-inference.py", "m.pkl", "requirements.txt"]
    assert package.contents.requirements == ("scikit-learn==1.2.2",)


def test_a_custom_model_may_hold_an_onnx_file(tmp_path: Path, store: Path) -> None:
    files: dict[str, str | bytes] = {"m.py": CUSTOM, "requirements.txt": "onnxruntime\n", "net.onnx": onnx_bytes()}
    assert open_package(folder_of(tmp_path / "net", files), store=store).framework is Framework.CUSTOM


def test_a_step_is_found_in_a_folder_and_gets_pandas(tmp_path: Path, store: Path) -> None:
    package = open_package(folder_of(tmp_path / "pre_process", {"step.py": STEP}), store=store)
    assert (package.name, package.file_name, package.framework) == ("pre-process", "pre_process", Framework.PYTHON)
    assert package.contents.requirements == ("pandas",)


@pytest.mark.parametrize(
    ("text", "requirements"),
    [
        ("statsmodels\n", ("statsmodels", "pandas")),
        ("Pandas<2\n", ("Pandas<2",)),
        ("pandas-stubs\n", ("pandas-stubs", "pandas")),
    ],
)
def test_a_step_keeps_its_own_pandas(tmp_path: Path, store: Path, text: str, requirements: tuple[str, ...]) -> None:
    folder = folder_of(tmp_path / "step", {"step.py": STEP, "requirements.txt": text})
    assert open_package(folder, store=store).contents.requirements == requirements


def test_a_zip_with_one_onnx_file_and_its_weights_is_an_onnx_model(tmp_path: Path, store: Path) -> None:
    path = zip_of(tmp_path / "net.zip", {"net.onnx": onnx_bytes(), "weights.bin": b"1", "make.py": "print()\n"})
    package = open_package(path, store=store)
    assert (package.framework, package.contents) == (Framework.ONNX, Contents(files={"model": "net.onnx"}))


def test_opening_the_same_bytes_twice_makes_one_package(tmp_path: Path, store: Path) -> None:
    one = folder_of(tmp_path, {"a.onnx": onnx_bytes(), "b.onnx": onnx_bytes()})
    first, second = open_package(one / "a.onnx", store=store), open_package(one / "b.onnx", store=store)
    assert (first.digest, first.root) == (second.digest, second.root)
    assert (first.name, second.name) == ("a", "b")


def test_the_current_folder_has_a_name(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "My_Step", {"step.py": STEP})
    monkeypatch.chdir(folder)
    package = open_package(Path(), store=store)
    assert (package.name, package.file_name) == ("my-step", "My_Step")


# --- the framework


def test_an_ambiguous_package_is_refused(tmp_path: Path, store: Path) -> None:
    folder = folder_of(tmp_path / "both", {"m.py": CUSTOM, "step.py": STEP, "requirements.txt": ""})
    error = refusal(folder, store)
    assert error.what == "'both' is a custom model and a Python step at once"
    assert error.path == "m.py:4, step.py:1"
    for framework in (Framework.CUSTOM, Framework.PYTHON):
        settings = ModelSettings(framework=framework)
        assert open_package(folder, store=store, settings=settings).framework is framework


def test_a_given_framework_wins_over_a_detected_one(tmp_path: Path, store: Path) -> None:
    folder = folder_of(
        tmp_path / "step", {"step.py": STEP, "trivet.yaml": "framework: python\n", "requirements.txt": ""}
    )
    error = refusal(folder, store, settings=ModelSettings(framework=Framework.CUSTOM))
    assert error.what == "No Inference-inherited class found in the model directory"
    error = refusal(folder, store, settings=ModelSettings(framework=Framework.ONNX))
    assert error.message == "There is no .onnx file in 'step': it holds requirements.txt, step.py, trivet.yaml"


def test_an_onnx_file_is_not_a_custom_model(tmp_path: Path, store: Path) -> None:
    path = folder_of(tmp_path, {"m.onnx": onnx_bytes()}) / "m.onnx"
    error = refusal(path, store, settings=ModelSettings(framework=Framework.CUSTOM))
    assert error.what == "'m.onnx' is an ONNX model, and not a custom model"


def test_errors_about_a_single_file_use_its_name(tmp_path: Path, store: Path) -> None:
    path = folder_of(tmp_path, {"fraud.onnx": onnx_bytes()[:20]}) / "fraud.onnx"
    assert refusal(path, store).path == "fraud.onnx"


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"readme.md": "hello"}, "There is no model in 'thing'"),
        ({"train.py": "print()"}, "There is no model in 'thing'"),
        ({"m.py": "x = 1", "requirements.txt": ""}, "No Inference-inherited class found in the model directory"),
        ({"m.py": "from mac.inference import Inference"}, "No Inference-inherited class found in the model directory"),
        ({"requirements.txt": "numpy"}, "No Python modules found in the model directory: thing"),
        ({"m.py": "def :"}, "No Python modules found in the model directory: thing"),
        ({"m.py": CUSTOM}, "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file"),
        ({"a.onnx": "1", "b.onnx": "2"}, "There are 2 .onnx files in 'thing'"),
    ],
)
def test_an_unknown_package_is_refused_with_what_it_lacks(
    tmp_path: Path, store: Path, files: dict[str, str | bytes], what: str
) -> None:
    assert refusal(folder_of(tmp_path / "thing", files), store).what == what


# --- the path


def test_a_missing_path_proposes_the_nearest_name(tmp_path: Path, store: Path) -> None:
    near = folder_of(tmp_path, {"ccfraud.onnx": onnx_bytes()}) / "ccfraud.onnx"
    with pytest.raises(NotFound) as caught:
        open_package(tmp_path / "ccfroud.onnx", store=store)
    assert caught.value.fix == f"did you mean {str(near)!r}?"
    with pytest.raises(NotFound) as caught:
        open_package(tmp_path / "nowhere" / "x.onnx", store=store)
    assert caught.value.fix == f"the folder {str(tmp_path / 'nowhere')!r} does not exist either"


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        (
            "model.tflite",
            "export it to ONNX, or put it into a folder with a custom model that loads it, and give that folder",
        ),
        ("model.safetensors", "give the folder that save_pretrained wrote, with its config.json"),
        ("model.py", "put it into a folder, and give that"),
        ("model.tar.gz", "unpack it, and give the folder or a .zip of it"),
        ("trivet.yaml", "give the folder that it is in"),
        ("model", ACCEPTED),
    ],
)
def test_other_files_are_refused_with_a_fix(tmp_path: Path, store: Path, name: str, fix: str) -> None:
    error = refusal(folder_of(tmp_path, {name: "x"}) / name, store)
    assert error.what == f"{name!r} is not a package"
    assert error.fix == fix


def test_an_empty_folder_and_a_pipe_are_refused(tmp_path: Path, store: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", store).what.endswith("is empty")
    os.mkfifo(tmp_path / "pipe.onnx")
    assert refusal(tmp_path / "pipe.onnx", store).what.endswith("is neither a file nor a folder")


def test_an_impossible_path_is_an_error(tmp_path: Path, store: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / ("x" * 5000), store).what


def test_a_file_that_is_not_a_zip_is_refused(tmp_path: Path, store: Path) -> None:
    error = refusal(folder_of(tmp_path, {"m.zip": "no zip"}) / "m.zip", store)
    assert error.what.startswith("Not a valid ZIP file")


def test_limits_are_passed_on(tmp_path: Path, store: Path) -> None:
    folder = folder_of(tmp_path / "step", {"step.py": STEP, "data.bin": bytes(1000)})
    with pytest.raises(TooLarge):
        open_package(folder, store=store, limits=Limits(max_bytes=500))


# --- trivet.yaml


def settings_of(package: Package) -> tuple[str | None, str | None]:
    return package.settings.name, package.settings.python


@pytest.mark.parametrize("top", ["", "step/"])
def test_settings_inside_a_zip_are_used(tmp_path: Path, store: Path, top: str) -> None:
    files = {f"{top}step.py": STEP, f"{top}trivet.yaml": 'name: own\npython: "3.8"\n'}
    package = open_package(zip_of(tmp_path / "step.zip", files), store=store)
    assert settings_of(package) == ("own", "3.8")
    assert package.name == "step"


def test_flags_are_not_mixed_into_a_packages_own_settings(tmp_path: Path, store: Path) -> None:
    folder = folder_of(tmp_path / "step", {"step.py": STEP, "trivet.yaml": "name: own\n"})
    package = open_package(folder, store=store, settings=ModelSettings(name="flag", python="3.12"))
    assert settings_of(package) == ("own", None)


def test_settings_beside_a_file_are_used_if_they_name_it(tmp_path: Path, store: Path) -> None:
    folder_of(tmp_path, {"a.onnx": onnx_bytes(), "b.onnx": onnx_bytes(), "trivet.yaml": "model: a.onnx\nname: own\n"})
    assert settings_of(open_package(tmp_path / "a.onnx", store=store)) == ("own", None)
    assert settings_of(open_package(tmp_path / "b.onnx", store=store)) == (None, None)


def test_settings_beside_a_file_are_reported_with_their_place(tmp_path: Path, store: Path) -> None:
    folder_of(tmp_path, {"a.onnx": onnx_bytes(), "trivet.yaml": "modle: a.onnx\n"})
    error = refusal(tmp_path / "a.onnx", store)
    assert (error.path or "").startswith(str(tmp_path / "trivet.yaml"))


def test_a_folders_settings_may_name_a_zip_in_it(tmp_path: Path, store: Path) -> None:
    folder = folder_of(tmp_path / "deploy", {"trivet.yaml": 'model: step.zip\npython: "3.9"\n', "notes.md": "x"})
    path = zip_of(folder / "step.zip", {"step.py": STEP, "trivet.yaml": 'name: inner\npython: "3.8"\n'})
    package = open_package(folder, store=store)
    assert package.digest == digest_of_file(path)
    assert package.file_name == "step.zip"
    assert settings_of(package) == ("inner", "3.9")  # the outer settings win


def test_a_folders_settings_may_name_the_onnx_file_of_several(tmp_path: Path, store: Path) -> None:
    files: dict[str, str | bytes] = {"a.onnx": onnx_bytes(), "b.onnx": onnx_bytes(), "trivet.yaml": "model: b.onnx\n"}
    package = open_package(folder_of(tmp_path / "two", files), store=store)
    assert package.contents == Contents(files={"model": "b.onnx"})
    assert package.file_name == "two"


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        ("c.onnx", "did you mean 'a.onnx'?"),
        ("x.zip", "name a file beside the settings"),
        ("step.py", "remove model"),
        ("../a.onnx", ""),
    ],
)
def test_settings_that_name_another_file_are_refused(tmp_path: Path, store: Path, model: str, fix: str) -> None:
    folder = folder_of(tmp_path / "two", {"a.onnx": onnx_bytes(), "step.py": STEP, "trivet.yaml": f"model: {model}\n"})
    error = refusal(folder, store)
    assert fix in (error.fix or "")
    assert "model" in (error.path or "")


def test_unreadable_settings_are_reported(tmp_path: Path, store: Path) -> None:
    folder = folder_of(tmp_path / "step", {"step.py": STEP, "trivet.yaml": "name: é".encode("latin-1")})
    assert refusal(folder, store).what == "trivet.yaml is not UTF-8 text"


def test_a_misnamed_settings_file_is_reported(tmp_path: Path, store: Path) -> None:
    notes: list[str] = []
    folder = folder_of(tmp_path / "step", {"step.py": STEP, "trivet.yml": "name: own\n"})
    assert open_package(folder, store=store, report=notes.append).settings.name is None
    assert notes == ["trivet.yml is not read: rename it to trivet.yaml"]


def test_nothing_of_a_package_is_run(tmp_path: Path, store: Path) -> None:
    canary = tmp_path / "canary"
    run = f"open({str(canary)!r}, 'w').close()\n"
    files: dict[str, str | bytes] = {"m.py": run + CUSTOM, "requirements.txt": "", "setup.py": run, "__init__.py": run}
    open_package(folder_of(tmp_path / "m", files), store=store)
    assert not canary.exists()
