"""Each thing that can be wrong with an environment has an error that says what, why and how to mend it."""

import os
import socket

import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.errors import BadEnvironment

WHAT = "Could not pip install user provided requirements.txt"


def spec(*requirements: str, python: str | None = None) -> EnvironmentSpec:
    return EnvironmentSpec(requirements=requirements, python=python)


def failure(store: EnvironmentStore, wanted: EnvironmentSpec, **how: object) -> BadEnvironment:
    with pytest.raises(BadEnvironment) as caught:
        store.ensure(wanted, **how)
    return caught.value


@pytest.fixture
def indexed(root, environ, index) -> EnvironmentStore:
    return EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url})


def test_a_package_that_no_index_has(indexed):
    error = failure(indexed, spec("nobody-has-this"))
    assert error.what == WHAT
    assert "nobody-has-this was not found in the package registry" in error.why
    assert error.reason == "no_such_package"
    assert error.fix.startswith("check the package's name in requirements.txt")


def test_a_version_that_was_never_released(indexed):
    error = failure(indexed, spec("alpha==9.9"))
    assert error.what == WHAT
    assert "there is no version of alpha==9.9" in error.why
    assert error.reason == "no_such_version"


def test_requirements_that_exclude_each_other(indexed, index, make_wheel):
    make_wheel(index.folder, "beta", "1.0", requires=("alpha>=2",))
    make_wheel(index.folder, "alpha", "2.0")
    error = failure(indexed, spec("beta", "alpha<2"))
    assert "beta" in error.why
    assert "alpha" in error.why
    assert error.reason == "no_solution"
    assert error.fix.startswith("loosen the requirements that conflict in requirements.txt")


def test_a_pin_that_the_worker_cannot_use_names_the_workers_needs(root, environ, index):
    store = EnvironmentStore(
        root, environ={**environ, "PIP_INDEX_URL": index.url}, worker_requirements=("numpy>=1.17", "pyarrow>=12")
    )
    error = failure(store, spec("pyarrow<12"))
    assert error.reason == "no_solution"
    assert error.fix.endswith("the worker that runs the model adds numpy>=1.17 and pyarrow>=12")


def test_a_package_that_fits_no_python_here_says_which_there_are(store, wheels, make_wheel):
    make_wheel(wheels, "ancient", "1.0", tag="cp27-none-any")
    error = failure(store, spec("ancient"), wheels=wheels, offline=True)
    assert error.what == WHAT
    assert error.reason == "python_mismatch"
    assert "ancient" in error.why
    assert "ask for a Python that the package has files for" in error.fix


def test_a_python_that_is_not_here(store, wheels):
    error = failure(store, spec("alpha", python="3.99"), wheels=wheels)
    assert error.what == "Python 3.99 was not found"
    assert "found: 3." in error.why
    assert "uv python install 3.99" in error.fix
    assert error.reason == "python_not_found"


@pytest.mark.parametrize("text", ["three", "3", "2.7", "3.7", "3.8.1.2", "3.8; echo"])
def test_a_python_that_cannot_be_asked_for(store, wheels, text):
    error = failure(store, spec("alpha", python=text), wheels=wheels)
    assert error.reason == "bad_python_version"
    assert text in error.what


@pytest.mark.parametrize("line", ["alpha ==", "-r other.txt", "alpha\nbeta --index-url=x", "alpha @ file:///x.whl"])
def test_a_line_that_is_not_a_requirement(store, wheels, line):
    error = failure(store, spec(line), wheels=wheels)
    assert error.what == WHAT
    assert error.reason == "bad_requirement"


def test_offline_without_a_cache_names_the_package(indexed):
    error = failure(indexed, spec("alpha"), offline=True)
    assert "alpha was not found in the cache" in error.why or "numpy was not found in the cache" in error.why
    assert error.reason == "not_in_cache"
    assert error.fix.startswith("run once without --offline")


def test_a_missing_wheel_is_named_with_the_folder_it_belongs_in(store, wheels):
    error = failure(store, spec("absent"), offline=True, wheels=wheels)
    assert "absent was not found" in error.why
    assert error.reason == "not_in_wheels"
    assert str(wheels) in error.fix


def test_a_wheels_folder_that_is_not_there(store, tmp_path):
    error = failure(store, spec("alpha"), wheels=tmp_path / "nowhere")
    assert error.what == f"The wheels folder {tmp_path / 'nowhere'} was not found"
    (tmp_path / "empty").mkdir()
    assert "holds no wheel" in failure(store, spec("alpha"), wheels=tmp_path / "empty").what


def test_an_index_that_does_not_answer(root, environ):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://someone:very-secret-7@127.0.0.1:{unused.getsockname()[1]}/simple"
        error = failure(EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": url}), spec("alpha"))
    assert error.what == WHAT
    assert error.reason == "index_unreachable"
    assert "very-secret-7" not in str(error)


def test_an_index_does_not_get_the_password_of_another(root, environ, index):
    index.login = ("reader", "the right one")
    store = EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url_with_login})
    error = failure(store, spec("alpha"))
    assert error.reason in {"index_refused", "no_such_package"}
    assert "tell-nobody-81" not in f"{error} {error.__cause__}"


def test_a_login_in_pips_index_works_and_is_kept_nowhere(root, environ, index, said):
    index.login = ("reader", "tell-nobody-81")
    store = EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url_with_login})
    environment = store.ensure(spec("alpha"), report=said)
    assert "tell-nobody-81" not in environment.lock + said.text
    files = [file for file in root.rglob("*") if file.is_file() and not file.is_symlink()]
    assert files
    assert not [file for file in files if b"tell-nobody-81" in file.read_bytes()]


def test_a_new_password_leaves_the_lock_as_it_was(root, environ, index):
    first = EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url_with_login}).ensure(spec("alpha"))
    rotated = index.url_with_login.replace("tell-nobody-81", "another")
    assert EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": rotated}).ensure(spec("alpha")) == first


def test_a_file_that_changed_since_it_was_locked(root, environ, index, make_wheel, tmp_path):
    environ |= {"PIP_INDEX_URL": index.url}
    store = EnvironmentStore(root, environ=environ)
    locked = store.ensure(spec("alpha"))
    for file in (root / "environments" / locked.digest).glob("trivet-environment.json"):
        file.unlink()
    make_wheel(index.folder, "alpha", "1.0", body="print('another')\n")
    fresh = EnvironmentStore(root, environ={**environ, "UV_CACHE_DIR": str(tmp_path / "fresh-cache")})
    error = failure(fresh, spec("alpha"))
    assert error.what == WHAT
    assert error.reason == "hash_mismatch"
    assert "alpha" in error.why


def test_a_source_distribution_that_does_not_build(store, root, wheels, make_sdist):
    make_sdist(wheels, "gamma", "1.0", before_build="raise RuntimeError('no compiler for this')")
    error = failure(store, spec("gamma", python=None), offline=True, wheels=wheels)
    assert error.what == WHAT
    assert "no compiler for this" in error.why
    assert error.reason == "build_failed"
    assert not list((root / "environments").glob("*"))


def test_pips_file_with_nonsense_in_it(root, environ, wheels, tmp_path):
    config = tmp_path / "pip.conf"
    config.write_text("index-url = https://me:hunter22@example.invalid/simple\n")
    error = failure(EnvironmentStore(root, environ={**environ, "PIP_CONFIG_FILE": str(config)}), spec("alpha"))
    assert error.what == "pip's configuration cannot be read"
    assert error.path == str(config)
    assert "hunter22" not in str(error)


def test_a_root_that_cannot_be_made(environ, wheels, tmp_path):
    (tmp_path / "file").write_text("")
    error = failure(EnvironmentStore(tmp_path / "file" / "envs", environ=environ), spec("alpha"), wheels=wheels)
    assert error.what == f"The environments folder {tmp_path / 'file' / 'envs'} is not writable"
    assert error.why == os.strerror(20).lower()
    assert error.reason == "disk_failed"
