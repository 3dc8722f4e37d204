"""Files of Keras: what they say, the environment that they need, and why they are refused."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings, Package
from trivet.errors import BadPackage
from trivet.packaging import open_package

DENSE = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "d"}, "registered_name": None}
MODEL = {"module": "keras", "class_name": "Sequential", "config": {"layers": [DENSE]}, "registered_name": None}


def archive(release: str = "3.15.1", config: Any = MODEL) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": release}))
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", b"x")
    return made.getvalue()


def hdf5(release: str | None, *, model: bool = True) -> bytes:
    """The attributes of a file as h5py places them: a fixed part, and the text in a heap."""
    head = b"\x89HDF\r\n\x1a\n" + (b"model_config\0" if model else b"")
    if release is None:
        return head
    heap = len(head) + 16 + 24 + 8 + 16
    value = len(release).to_bytes(4, "little") + heap.to_bytes(8, "little") + b"\1\0\0\0"
    return head + b"keras_version\0\0\0" + b"\0" * 32 + value + b"GCOL" + b"\0" * 28 + release.encode() + b"\0\0"


def opened(folder: Path, files: dict[str, bytes], *, framework: Framework | None = None) -> Package:
    root = folder / "package"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    path = root / next(iter(files)) if len(files) == 1 else root
    return open_package(path, store=folder / "store", settings=ModelSettings(framework=framework))


def test_a_keras_file_gets_the_release_that_wrote_it(tmp_path: Path) -> None:
    package = opened(tmp_path, {"m.keras": archive()})
    assert package.framework is Framework.KERAS
    assert package.contents.requirements == ("tensorflow-cpu==2.21.0", "keras==3.15.1")
    assert package.contents.notes == ()


@pytest.mark.parametrize(
    ("release", "requirements"),
    [
        ("3.15.1", ("tensorflow-cpu==2.21.0", "keras==3.15.1")),
        ("2.9.0", ("tensorflow-cpu==2.9.*",)),
        ("2.6.0-tf", ("tensorflow-cpu==2.6.*",)),
        ("2.2.4-tf", ("tensorflow-cpu==2.4.*",)),
        (None, ("tensorflow-cpu==2.21.0",)),
    ],
)
def test_an_h5_file_says_its_release(tmp_path: Path, release: str | None, requirements: tuple[str, ...]) -> None:
    contents = opened(tmp_path, {"m.h5": hdf5(release)}).contents
    assert contents.requirements == requirements
    warned = any("cannot be installed here" in note for note in contents.notes)
    assert warned is (release == "2.2.4-tf")
    assert "a .keras file is safer than m.h5" in contents.notes[0]


def test_a_requirements_file_beside_it_wins(tmp_path: Path) -> None:
    package = opened(tmp_path, {"m.keras": archive(), "requirements.txt": b"tensorflow-cpu==2.20.0\n"})
    assert package.contents.requirements == ("tensorflow-cpu==2.20.0", "keras==3.15.1")


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"module": None, "class_name": "Mine", "config": {}, "registered_name": "Custom>Mine"}, "Mine"),
        ({"module": "shop.layers", "class_name": "Mine", "config": {}, "registered_name": None}, "shop.layers.Mine"),
        ({"module": "builtins", "class_name": "__lambda__", "config": {"value": "x"}}, "a lambda"),
    ],
)
def test_custom_objects_are_named_before_anything_is_built(
    tmp_path: Path, layer: dict[str, object], named: str
) -> None:
    config = {**MODEL, "config": {"layers": [DENSE, layer, layer]}}
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.keras": archive(config=config)})
    assert caught.value.what == f"'m.keras' needs custom objects, which it does not hold: {named}"
    assert caught.value.reason == "custom_objects"


@pytest.mark.parametrize(
    ("file", "data", "what"),
    [
        ("m.h5", b"", "'m.h5' is not an HDF5 file, or is cut off"),
        ("m.h5", b"hello", "'m.h5' is not an HDF5 file, or is cut off"),
        ("m.h5", hdf5(None, model=False), "'m.h5' holds no model"),
        ("m.keras", b"hello", "'m.keras' is not a file of Keras, or is damaged"),
        ("m.keras", archive()[:-30], "'m.keras' is not a file of Keras, or is damaged"),
        ("m.keras", archive(config=MODEL).replace(b"keras_version", b"keras_varsion"), "is damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, file: str, data: bytes, what: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {file: data})
    assert what in caught.value.what
    assert caught.value.reason == "no_model"


def test_a_saved_model_is_tensorflows_unless_its_owner_says_keras(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="'saved_model.pb' is not a SavedModel of TensorFlow"):
        opened(tmp_path, {"saved_model.pb": b"\xff", "fingerprint.pb": b""}, framework=Framework.KERAS)
