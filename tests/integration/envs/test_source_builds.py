"""Code of packages that runs while an environment is built has the rights of a worker."""

import ast
import json
import os
from pathlib import Path

import psutil
import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.envs import Confined, EnvironmentStore
from trivet.errors import BadEnvironment
from trivet_worker.sandbox import landlock_abi

ABI = landlock_abi()
needs_landlock = pytest.mark.skipif(ABI < 2, reason="this kernel's Landlock forbids to move files between folders")
GAMMA = EnvironmentSpec(requirements=("gamma",))
# Code of a build finds the environment that is built beside its cache.
NOTES = """
space = next((each for each in pathlib.Path.cwd().parents if each.name == "space"), None)
notes = None if space is None else space / "environment/notes"
"""
TRIES = (
    NOTES
    + """
import json
found = []
for code in {codes!r}:
    try:
        exec(code, {{}})
        found.append("done")
    except BaseException as error:
        found.append(type(error).__name__)
if notes is not None and notes.parent.exists():
    notes.write_text(json.dumps(found))
"""
)


def notes_of(environment):
    return (environment.python.parents[1] / "notes").read_text()


@needs_landlock
def test_code_that_builds_a_package_sees_no_secret_of_ours(root, environ, wheels, make_sdist):
    make_sdist(wheels, "gamma", "1.0", before_build=NOTES + "notes.write_text(repr(dict(os.environ)))")
    environ |= {"CLOUD_SECRET_KEY": "hush", "CC": "cc"}
    environment = EnvironmentStore(root, environ=environ).ensure(GAMMA, offline=True, wheels=wheels)
    variables = ast.literal_eval(notes_of(environment))
    assert variables["CC"] == "cc"
    assert "CLOUD_SECRET_KEY" not in variables


@needs_landlock
@pytest.mark.parametrize("known", [True, False])
def test_a_build_opens_no_files_but_its_own(tmp_path, environ, wheels, make_sdist, known):
    home, cache = tmp_path / "home", Path(environ["UV_CACHE_DIR"])
    for name in ("token", "blobs/one", "envs/environments/other/lib/x.py"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("secret")
    cache.mkdir()
    secrets = [path for path in home.rglob("*") if path.is_file()]
    codes = [
        *(f"open({str(path)!r}).read()" for path in secrets),
        *(f"open({str(path)!r}, 'a').write('x')" for path in secrets),
        f"open({str(cache / 'made')!r}, 'w')",
        f"open({str(wheels / 'made')!r}, 'w')",
        f"import os; os.unlink({str(wheels / 'alpha-1.0-py3-none-any.whl')!r})",
        "open('/tmp/trivet-made', 'w')",
        f"open('/proc/{os.getpid()}/environ', 'rb').read()",
        *([f"import os; os.kill({os.getpid()}, 0)"] if ABI >= 6 else []),
    ]
    make_sdist(wheels, "gamma", "1.0", before_build=TRIES.format(codes=codes), known=known)
    store = EnvironmentStore(home / "envs", environ=environ, confined=Confined(hidden=home))
    environment = store.ensure(GAMMA, offline=True, wheels=wheels)
    assert json.loads(notes_of(environment)) == ["PermissionError"] * len(codes)
    folder = environment.python.parents[1]
    assert {path.lstat().st_uid for path in folder.rglob("*")} == {os.getuid()}
    assert (folder / "lib").is_dir()
    assert not (cache / "made").exists()


@needs_landlock
def test_what_a_build_started_ends_with_it(root, environ, wheels, make_sdist):
    starts = NOTES + (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True, stdin=subprocess.DEVNULL, "
        "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "notes.write_text(str(child.pid))"
    )
    make_sdist(wheels, "gamma", "1.0", before_build=starts)
    environment = EnvironmentStore(root, environ=environ).ensure(GAMMA, offline=True, wheels=wheels)
    assert not psutil.pid_exists(int(notes_of(environment)))


@needs_landlock
def test_modules_of_an_environment_that_is_tried_open_no_files_but_its_own(store, wheels, make_wheel, tmp_path):
    made = tmp_path / "made"
    make_wheel(wheels, "numpy", "1.26.1", body=f"open({str(made)!r}, 'w')")
    with pytest.raises(BadEnvironment) as caught:
        store.ensure(EnvironmentSpec(requirements=("numpy==1.26.1",)), offline=True, wheels=wheels)
    assert "PermissionError" in str(caught.value)
    assert not made.exists()


def test_without_the_sandbox_builds_have_the_users_rights(root, environ, wheels, make_sdist, tmp_path):
    seen = tmp_path / "seen"
    make_sdist(wheels, "gamma", "1.0", before_build=f"pathlib.Path({str(seen)!r}).write_text('built')")
    store = EnvironmentStore(root, environ=environ, confined=Confined(mode="off"))
    environment = store.ensure(GAMMA, offline=True, wheels=wheels)
    assert seen.read_text() == "built"
    assert environment.python.exists()


def test_a_refused_source_build_is_an_error_with_its_fix(root, environ, wheels, make_sdist, tmp_path):
    seen = tmp_path / "seen"
    make_sdist(wheels, "gamma", "1.0", before_build=f"pathlib.Path({str(seen)!r}).write_text('built')")
    store = EnvironmentStore(root, environ=environ, source_builds=False)
    with pytest.raises(BadEnvironment) as caught:
        store.ensure(EnvironmentSpec(requirements=("gamma",)), offline=True, wheels=wheels)
    assert caught.value.reason == "source_builds_refused"
    assert "TRIVET_SOURCE_BUILDS=true" in str(caught.value)
    assert not seen.exists()
