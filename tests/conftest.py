"""What every suite may ask for: the documents and cases beside a checkout, homes for Trivet, and interpreters."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


def beside_checkout(name: str, *, override: str) -> Path:
    """A folder that lies beside the checkout, not in it: without it CI fails and everyone else skips."""
    folder = Path(os.environ.get(override) or PROJECT.parent / "shared" / name)
    if folder.is_dir():
        return folder.resolve()
    message = f"there is no folder {folder}; name one with {override}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def conformance() -> Path:
    """Models and data that nobody on this project made, with the answers that are known for them."""
    return beside_checkout("conformance", override="TRIVET_CONFORMANCE")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The documents that this project implements."""
    return beside_checkout("reference", override="TRIVET_REFERENCE")


@pytest.fixture(scope="session")
def shared_home() -> Path:
    """A home that outlives the run, so that environments are built once: two runs may use it at the same time."""
    home = Path(os.environ.get("TRIVET_TEST_HOME") or PROJECT / ".cache" / "test-home")
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()


@pytest.fixture
def free_home(tmp_path: Path, shared_home: Path) -> Iterator[Path]:
    """A fresh home that nobody else sees, but for its environments, which are the shared ones."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (shared_home / "envs").mkdir(exist_ok=True)
    (home / "envs").symlink_to(shared_home / "envs", target_is_directory=True)
    yield home
    make_removable(home)


def make_removable(folder: Path) -> None:
    """Packages are kept read-only; pytest could not remove them."""
    for root, _, _ in os.walk(folder, followlinks=False):
        if not Path(root).is_symlink():
            Path(root).chmod(0o700)


@pytest.fixture(scope="session")
def interpreter() -> Callable[[str], Path]:
    """`interpreter("3.8")` is a Python of that minor version that runs; where there is none the test is skipped."""
    found: dict[str, Path | None] = {}

    def find(version: str) -> Path:
        if version not in found:
            found[version] = next((path for path in candidates(version) if runs(path, version)), None)
        path = found[version]
        if path is None:
            pytest.skip(f"no Python {version} that runs: on PATH, in uv's store, or in pyenv's versions")
        return path

    return find


def candidates(version: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    pyenvs = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    # With another HOME pyenv is still where its shims are.
    pyenvs += [Path(folder).parent for folder in os.get_exec_path() if Path(folder).name == "shims"]
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    for pyenv in pyenvs:
        yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python3"), reverse=True)
    yield from sorted((data / "uv" / "python").glob(f"cpython-{version}.*/bin/python3"), reverse=True)


def runs(path: Path, version: str) -> bool:
    """A pyenv shim lies on PATH for versions that are not switched on; only running it tells."""
    command = [str(path), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return False
    return said.returncode == 0 and said.stdout.strip() == version
