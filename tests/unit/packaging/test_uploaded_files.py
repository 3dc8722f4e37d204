"""Uploaded files, whose names differ from their paths, and packages that are unpacked again."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from trivet.disk.files import remove_tree
from trivet.domain.digest import Digest, digest_of_file
from trivet.domain.frameworks import Framework
from trivet.errors import BadPackage, NotFound
from trivet.packaging import find_package, open_package, unpack_again

STEP = "def process_data(input_data):\n    return input_data\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "store"
    yield folder
    remove_tree(folder)


@pytest.fixture
def step(tmp_path: Path) -> Path:
    path = tmp_path / "4b1f"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("step.py", STEP)
    return path


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "9c02"
    path.write_bytes(made.SerializeToString())
    return path


def test_the_uploaded_name_decides_the_framework(step: Path, identity: Path, store: Path) -> None:
    package = open_package(step, store=store, file_name="My Step.zip")
    assert (package.file_name, package.name, package.framework) == ("My Step.zip", "my-step", Framework.PYTHON)
    package = open_package(identity, store=store, file_name="CC.Fraud.ONNX")
    assert (package.file_name, package.name, package.framework) == ("CC.Fraud.ONNX", "cc-fraud", Framework.ONNX)
    assert package.manifest.files[0].path == "model.onnx"


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("model.tar", "'model.tar' is not a package: files of type '.tar' are not supported"),
        ("model.pt", "'model.pt' is not a model of PyTorch: it is a zip that holds step.py"),
        ("model", "'model' is not a package: the file name has no suffix"),
        ("model.onnx", "'model.onnx' is a ZIP archive"),
    ],
)
def test_errors_use_the_owners_name(step: Path, store: Path, file_name: str, text: str) -> None:
    with pytest.raises(BadPackage) as caught:
        open_package(step, store=store, file_name=file_name)
    assert caught.value.message == text
    assert "4b1f" not in str(caught.value)


def test_errors_about_a_damaged_archive_use_the_uploaded_name(tmp_path: Path, store: Path) -> None:
    (tmp_path / "77ac").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BadPackage, match="Not a valid ZIP file") as caught:
        open_package(tmp_path / "77ac", store=store, file_name="broken.zip")
    assert "77ac" not in str(caught.value)


def test_settings_beside_an_uploaded_file_are_ignored(step: Path, store: Path) -> None:
    step.with_name("trivet.yaml").write_text("model: step.zip\nname: another\n")
    assert open_package(step, store=store, file_name="step.zip").settings.name is None


def test_a_missing_file_is_reported(tmp_path: Path, store: Path) -> None:
    with pytest.raises(NotFound):
        open_package(tmp_path / "none", store=store, file_name="step.zip")


def test_a_package_in_the_store_is_found_by_its_digest(step: Path, identity: Path, store: Path) -> None:
    for path, name in [(step, "step.zip"), (identity, "m.onnx")]:
        digest = digest_of_file(path)
        assert find_package(store, digest) is None
        root = open_package(path, store=store, file_name=name).root
        assert find_package(store, digest) == root
    assert find_package(store, Digest("0" * 64)) is None


def test_a_package_with_lost_or_changed_files_can_be_unpacked_again(step: Path, store: Path) -> None:
    root = open_package(step, store=store, file_name="step.zip").root
    digest = digest_of_file(step)
    (root / "step.py").chmod(0o600)
    (root / "step.py").write_text(STEP.replace("input_data", "other_data"))
    assert find_package(store, digest) is None
    assert unpack_again(step, store=store, file_name="step.zip") == root
    assert (root / "step.py").read_text() == STEP
    root.chmod(0o700)
    (root / "step.py").unlink()
    assert find_package(store, digest) is None
    unpack_again(step, store=store, file_name="step.zip")
    assert find_package(store, digest) == root
