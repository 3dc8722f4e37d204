"""Each numpy that has wheels for a Python gets a pyarrow that works with it: the worker needs both.

The table was made by trying: each pair was installed from the package index, the newest pyarrow first, until the worker's
own calls of pyarrow worked. Only one pair failed, pyarrow 26 with numpy 1, which the known-bad pairs keep apart.
"""

import os
import shutil
from pathlib import Path

import pytest
from packaging.version import Version

from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.envs.interpreters import find_interpreters
from trivet.envs.known_bad import avoid, pins_of
from trivet.envs.uv_calls import uv_program

# The numpy releases with wheels, from the oldest to the newest, by the newest pyarrow that works with them.
WORKS: dict[str, dict[str, tuple[str, str]]] = {
    "3.8": {"17.0.0": ("1.17.5", "1.24.4")},
    "3.9": {"21.0.0": ("1.19.5", "2.0.2")},
    "3.10": {"25.0.1": ("1.21.6", "2.2.6")},
    "3.11": {"25.0.1": ("1.23.5", "1.26.4"), "26.0.1": ("2.0.0", "2.4.6")},
    "3.12": {"25.0.1": ("1.26.0", "1.26.4"), "26.0.1": ("2.0.0", "2.4.6")},
    "3.13": {"26.0.1": ("2.1.0", "2.4.6")},
}
ROWS = [(python, pyarrow, numpy) for python, rows in WORKS.items() for pyarrow, both in rows.items() for numpy in both]


@pytest.mark.parametrize(("python", "pyarrow", "numpy"), ROWS)
def test_the_known_bad_pairs_leave_what_works_alone(python, pyarrow, numpy):
    assert avoid({"numpy": numpy, "pyarrow": pyarrow}) == ()


@pytest.mark.parametrize(("python", "numpy"), [(p, n) for p, a, n in ROWS if a == "25.0.1" and p != "3.10"])
def test_the_known_bad_pairs_keep_pyarrow_26_from_numpy_1(python, numpy):
    (pair,) = avoid({"numpy": numpy, "pyarrow": "26.0.1"})
    assert pair.constraint == "pyarrow<26"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("python", "pyarrow", "numpy"), ROWS)
def test_an_environment_holds_a_numpy_and_a_pyarrow_that_work(python, pyarrow, numpy, tmp_path: Path):
    minor = tuple(map(int, python.split(".")))
    if not any(found.minor == minor for found in find_interpreters(os.environ, uv=uv_program())):
        pytest.skip(f"no Python {python} on PATH, in uv's store or among pyenv's versions")
    store = EnvironmentStore(tmp_path / "envs", environ=os.environ)
    try:
        # A build imports both.
        pins = pins_of(store.ensure(EnvironmentSpec(requirements=(f"numpy=={numpy}",), python=python)).lock)
    finally:
        # All of them together have gigabytes.
        shutil.rmtree(tmp_path / "envs", ignore_errors=True)
    assert pins["numpy"] == numpy
    # Releases that are newer than the table may work too.
    assert Version(pins["pyarrow"]) >= Version(pyarrow)
