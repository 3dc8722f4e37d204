"""Every estimator class of scikit-learn, pickled by several releases, is followed to its last byte and expected."""

import os
import subprocess
from pathlib import Path

import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.packaging.pickles import allowed_of, read_pickle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WRITER = Path(__file__).with_name("write_sklearn_models.py")
CLASSES = 180


@pytest.mark.parametrize("release", ["1.1.3", "1.5.2", "1.9.1"])
def test_pickles_of_every_class_are_expected(release: str, shared_home: Path, tmp_path: Path) -> None:
    store = EnvironmentStore(shared_home / "envs", environ=os.environ)
    requirements = (f"scikit-learn=={release}", "joblib>=1.2", "lz4")
    environment = store.ensure(EnvironmentSpec(requirements=requirements, python="3.11"))
    done = subprocess.run(
        [str(environment.python), "-I", "-W", "ignore", str(WRITER), str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    files = sorted(tmp_path.iterdir())
    assert len([each for each in files if each.suffix == ".pkl"]) >= CLASSES, done.stdout
    allowed = allowed_of("arrays", "sklearn")
    for file in files:
        found = read_pickle(file, allowed=allowed)
        assert (file.name, found.broken, found.forbidden, found.sklearn) == (file.name, None, (), release)
        assert (found.container or "pkl") in {"pkl", file.stem}
