"""Files of scikit-learn: what they are, the environment that they need, and why they are refused."""

import json
import zipfile
from pathlib import Path

import pytest

from trivet.domain.frameworks import Framework
from trivet.domain.package import ModelSettings
from trivet.errors import BadPackage
from trivet_tests.packaged import opened
from trivet_tests.pickled import CONTAINERS, called, named, pickled, text

MODEL = named("sklearn.linear_model._base", "LinearRegression") + b")\x81"
HONEST = pickled(MODEL, b"}", text("_sklearn_version"), text("1.5.2"), b"sb")
SYSTEM = pickled(MODEL, b"}", text("a"), called("os", "system", text("echo")), b"sb")
SKOPS = {"content": {"content": {"_sklearn_version": {"__class__": "str", "content": '"1.9.1"'}}}}


def skops(folder: Path, document: object) -> bytes:
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(document))
    return path.read_bytes()


@pytest.mark.parametrize("name", ["m.pkl", "m.PICKLE", "m.joblib"])
@pytest.mark.parametrize("container", ["plain", "zlib", "lz4"])
def test_its_release_is_that_of_the_file(tmp_path: Path, name: str, container: str) -> None:
    package = opened(tmp_path, {name: CONTAINERS[container](HONEST)})
    assert package.framework is Framework.SKLEARN
    assert package.contents.requirements == (
        "scikit-learn==1.5.2",
        "joblib>=1.2",
        *(["lz4"] if container == "lz4" else []),
        "pandas",
    )
    assert package.contents.notes == (
        f"a .skops file is safer than {name}: skops.io.dump(model, 'model.skops') writes one",
    )


def test_a_skops_file_says_its_release_too(tmp_path: Path) -> None:
    package = opened(tmp_path, {"m.skops": skops(tmp_path, SKOPS)})
    assert package.framework is Framework.SKLEARN
    assert package.contents.requirements == ("scikit-learn==1.9.1", "skops", "pandas")
    assert package.contents.notes == ()


def test_what_a_requirements_file_names_counts(tmp_path: Path) -> None:
    files = {"m.pkl": HONEST, "requirements.txt": b"scikit-learn>=1.5\nscipy<1.14\n"}
    package = opened(tmp_path, files, lone=False)
    assert package.framework is Framework.SKLEARN
    assert package.contents.requirements == ("scikit-learn>=1.5", "scipy<1.14", "joblib>=1.2", "pandas")


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_that_runs_other_code_is_refused_with_its_name(tmp_path: Path, container: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {"m.joblib": CONTAINERS[container](SYSTEM)})
    error = caught.value
    assert (error.what, error.why, error.reason) == (
        "'m.joblib' would run code that a model of sklearn does not need",
        "loading it calls or names os.system",
        "forbidden_pickle",
    )


def test_a_trusted_file_passes_and_says_what_it_would_run(tmp_path: Path) -> None:
    package = opened(tmp_path, {"m.joblib": SYSTEM + b"\x00"}, settings=ModelSettings(trust=True))
    assert package.contents.requirements == ("scikit-learn", "joblib>=1.2", "pandas")
    assert package.contents.notes[:2] == (
        "m.joblib is trusted: loading it calls or names os.system",
        "m.joblib is trusted, although it cannot be checked to its end: opcode 0x00 is not expected there at byte 81",
    )


@pytest.mark.parametrize(
    ("name", "data", "what", "why"),
    [
        ("m.pkl", HONEST[:-1], "'m.pkl' is not a pickle that can be checked", "the file is cut off at byte 79"),
        ("m.pkl", pickled(b"N"), "'m.pkl' is not a model of scikit-learn", "no estimator of scikit-learn is in it"),
        ("m.skops", b"PK", "'m.skops' is not a skops file", "File is not a zip file"),
    ],
    ids=["cut off", "no model", "no zip"],
)
def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path, name: str, data: bytes, what: str, why: str) -> None:
    with pytest.raises(BadPackage) as caught:
        opened(tmp_path, {name: data})
    assert (caught.value.what, caught.value.why) == (what, why)


def test_a_skops_file_without_a_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="'m.skops' is not a model of scikit-learn"):
        opened(tmp_path, {"m.skops": skops(tmp_path, {})})


def test_a_framework_that_the_file_contradicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPackage, match="'m.pkl' is a scikit-learn model, and not an ONNX model"):
        opened(tmp_path, {"m.pkl": HONEST}, settings=ModelSettings(framework=Framework.ONNX))
