"""The reference's image clustering, its code unchanged, with a network and a KMeans of its author's own.

The author trains where the package will run: in the environment that Trivet builds for the same requirements. What the
service says of images is compared with what the author's process said of them.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.envs.interpreters import find_interpreters
from trivet.envs.uv_calls import uv_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TRIVET = Path(sys.executable).with_name("trivet")
PROJECT = Path(__file__).resolve().parents[3]
EXAMPLE = PROJECT / "examples" / "vgg_clustering"
SCHEMAS = ("--input-schema", "images: int64[32,32,3]", "--output-schema", "predictions: int64")
ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Work:
    """What an author hands over, and `labels`: the groups that the author's own process found for `images`."""

    package: Path
    images: np.ndarray
    labels: list[int]

    @property
    def records(self):
        return [{"images": image.tolist()} for image in self.images]

    @property
    def table(self):
        """The images as the reference declares them: three fixed-size lists in one another."""
        kind = pa.list_(pa.list_(pa.list_(pa.int64(), 3), 32), 32)
        return pa.table({"images": pa.array(self.images.tolist(), kind)})


@pytest.fixture(scope="module")
def code(document):
    return document.excerpt(
        '"""This module features an example implementation of a custom Inference and its',
        '        with open(file_path.as_posix(), "rb") as fp:\n            model = pickle.load(fp)\n        return model',
    )


@pytest.fixture(scope="module")
def pins(document):
    """The reference's requirements.txt."""
    return document.excerpt("tensorflow==2.8.0", "scikit-learn==1.2.2")


@pytest.fixture(scope="module")
def build(shared_home: Path) -> Callable[[str, str], Environment]:
    store = EnvironmentStore(shared_home / "envs", environ=os.environ)
    return lambda pins, python: store.ensure(EnvironmentSpec(requirements=tuple(pins.split()), python=python))


@pytest.fixture(scope="module")
def author(code: str, build, write_zip, tmp_path_factory) -> Callable[[str, str], Work]:
    """`author(pins, "3.8")` trains in the environment that the pins ask for, and zips what the reference says to zip."""

    def work(pins: str, python: str) -> Work:
        folder = tmp_path_factory.mktemp("author")
        requirements = folder / "requirements.txt"
        requirements.write_text(pins)
        subprocess.run(
            [
                build(pins, python).python, "-I", "-W", "ignore", EXAMPLE / "make_model.py", folder / "made",
                "--requirements", requirements, "--rows", str(ROWS),
            ],
            env={"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
            check=True, timeout=600, capture_output=True,
        )  # fmt: skip
        made = folder / "made"
        package = write_zip(
            folder / "vgg_clustering.zip",
            top="vgg_clustering",
            files={
                "feature_extractor.h5": (made / "feature_extractor.h5").read_bytes(),
                "kmeans.pkl": (made / "kmeans.pkl").read_bytes(),
                "custom_inference.py": code,
                "requirements.txt": pins,
            },
        )
        images = np.array([row["images"] for row in json.loads((made / "rows.json").read_text())])
        return Work(package=package, images=images, labels=json.loads((made / "labels.json").read_text()))

    return work


@pytest.fixture(scope="module")
def pinned(author, pins, interpreter) -> Work:
    interpreter("3.8")
    return author(pins, "3.8")


def assert_same_labels(service, work, rows_of):
    """However the rows come: all at once, or each from a caller of its own at the same time; as JSON or Arrow, asked for as JSON or Arrow."""
    assert sorted(set(work.labels)) == [0, 1, 2, 3]
    assert [row["out"] for row in service.records(work.records)] == [{"predictions": label} for label in work.labels]
    for body in (work.table, work.records):
        for accept in ("application/vnd.apache.arrow.file", "application/vnd.apache.arrow.stream"):
            table = service.table(body, accept=accept)
            assert table.schema.field("out").type.field("predictions").type == pa.int64()
            assert rows_of(table, "predictions") == work.labels
    with ThreadPoolExecutor(len(work.records)) as callers:
        alone = list(callers.map(lambda row: service.records([row])[0]["out"]["predictions"], work.records))
    assert alone == work.labels


def test_the_code_is_the_references_own(code, pins):
    assert code.startswith('"""This module features')
    assert "class ImageClustering(Inference):" in code
    assert "class ImageClusteringBuilder(InferenceBuilder):" in code
    assert pins == "tensorflow==2.8.0\nscikit-learn==1.2.2\n"


def test_its_pins_on_python_3_8_give_the_labels_of_the_authors_own_process(pinned, served, rows_of):
    with served(pinned.package, "--python", "3.8", *SCHEMAS) as service:
        assert_same_labels(service, pinned, rows_of)
        assert "Python 3.8." in service.stderr
        assert "protobuf<3.21 was added" in service.stderr


def test_by_default_a_python_with_builds_of_the_pins_is_chosen(pinned, served, rows_of):
    with served(pinned.package, *SCHEMAS) as service:
        assert_same_labels(service, pinned, rows_of)
        (chosen,) = [line for line in service.stderr.splitlines() if "was chosen in place of" in line]
        assert chosen.startswith(("note: Python 3.8.", "note: Python 3.9.", "note: Python 3.10."))
        assert "tensorflow==2.8.0 has no wheels" in chosen


def zip_member(package: Path, name: str) -> bytes:
    with zipfile.ZipFile(package) as archive:
        return archive.read(f"vgg_clustering/{name}")


@pytest.fixture(scope="module")
def newest() -> str:
    """The newest Python here that the current pins have wheels for."""
    here = {found.minor for found in find_interpreters(os.environ, uv=uv_program())}
    usable = [minor for minor in ((3, 13), (3, 12)) if minor in here]
    if not usable:
        pytest.skip("no Python 3.13 or 3.12 that runs: on PATH, in uv's store, or in pyenv's versions")
    return ".".join(map(str, usable[0]))


def test_current_versions_on_the_newest_python_give_the_authors_labels(author, newest, served, rows_of):
    work = author((EXAMPLE / "requirements-current.txt").read_text(), newest)
    with served(work.package, "--python", newest, *SCHEMAS) as service:
        assert_same_labels(service, work, rows_of)
        assert f"Python {newest}." in service.stderr


def test_a_model_of_another_type_is_refused_with_both_types(pinned, code, pins, *, write_zip, home, tmp_path):
    """The reference's setter raises where the pickle holds something else than the KMeans that it declares."""
    package = write_zip(
        tmp_path / "vgg_clustering.zip",
        top="vgg_clustering",
        files={
            "feature_extractor.h5": zip_member(pinned.package, "feature_extractor.h5"),
            # The pickle of an empty dict.
            "kmeans.pkl": b"}.",
            "custom_inference.py": code,
            "requirements.txt": pins,
        },
    )
    said = subprocess.run(
        [TRIVET, "check", package, "--python", "3.8", *SCHEMAS],
        env=os.environ | {"TRIVET_HOME": str(home)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert said.returncode == 1
    assert "KMeans" in said.stderr
    assert "dict" in said.stderr
    assert "custom_inference.py:" in said.stderr
