"""Environments with real frameworks in them: built once, kept in the shared home."""

import os
import subprocess
from pathlib import Path

import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.envs.interpreters import find_interpreters
from trivet.envs.known_bad import pins_of
from trivet.envs.pip_config import read_pip_config
from trivet.envs.uv_calls import uv_program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def store(shared_home: Path) -> EnvironmentStore:
    return EnvironmentStore(shared_home / "envs", environ=os.environ)


def need(minor: tuple[int, int]) -> None:
    if not any(found.minor == minor for found in find_interpreters(os.environ, uv=uv_program())):
        pytest.skip(f"no Python {minor[0]}.{minor[1]} on PATH, in uv's store or among pyenv's versions")


def answer(environment: Environment, code: str) -> str:
    said = subprocess.run(
        [str(environment.python), "-I", "-W", "ignore", "-c", code],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", "PATH": os.environ["PATH"]},
    )
    assert said.returncode == 0, said.stderr[-2000:]
    return said.stdout.strip()


def test_the_pins_of_the_reference_build_and_import_on_python_3_8(store):
    need((3, 8))
    spec = EnvironmentSpec(requirements=("tensorflow==2.8.0", "scikit-learn==1.2.2"), python="3.8")
    environment = store.ensure(spec)
    assert environment.python_version.startswith("3.8.")
    assert any(note.startswith("tensorflow 2.8.0 does not work with protobuf") for note in environment.notes)
    code = "import tensorflow, sklearn, pyarrow, pyarrow.flight; print(tensorflow.__version__, sklearn.__version__)"
    assert answer(environment, code) == "2.8.0 1.2.2"


def test_an_older_scikit_learn_gets_numpy_and_pyarrow_that_work_with_it(store):
    need((3, 11))
    environment = store.ensure(EnvironmentSpec(requirements=("scikit-learn==1.2.2",), python="3.11"))
    code = """
import numpy, pyarrow, sklearn.cluster
labels = sklearn.cluster.KMeans(2, n_init=1).fit(numpy.array([[0.0], [0.1], [9.0], [9.1]])).labels_
print(pyarrow.array(labels == labels[0]).to_pylist())
"""
    assert answer(environment, code) == "[True, True, False, False]"


def test_a_wheel_among_pips_links_is_taken_before_the_indexs_larger_build(store):
    links = read_pip_config(os.environ).find_links
    folders = [Path(link) for link in links if "://" not in link]
    wheels = [wheel for folder in folders for wheel in folder.glob("torch-*+cpu-cp311-*.whl")]
    if not wheels:
        pytest.skip("pip's find-links hold no CPU build of torch for Python 3.11")
    need((3, 11))
    version = wheels[0].name.split("-")[1].removesuffix("+cpu")
    environment = store.ensure(EnvironmentSpec(requirements=(f"torch=={version}",), python="3.11"))
    pins = pins_of(environment.lock)
    assert pins["torch"] == f"{version}+cpu"
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]
    assert answer(environment, "import torch; print(torch.ones(2).numpy().sum())") == "2.0"
