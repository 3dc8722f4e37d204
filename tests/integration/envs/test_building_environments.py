"""What `ensure` makes, with real uv, real interpreters, and wheels written by hand."""

import os
import resource
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from trivet.disk.files import remove_tree
from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs import Confined, EnvironmentStore
from trivet.envs.interpreters import OWN_MINOR, find_interpreters
from trivet.envs.uv_calls import uv_program
from trivet.errors import BadEnvironment

ALPHA = EnvironmentSpec(requirements=("alpha",))


def answer(environment: Environment, code: str) -> str:
    command = [str(environment.python), "-I", "-c", code]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.strip()


def test_an_environment_holds_what_was_asked_for_and_what_the_worker_needs(store, wheels, said):
    environment = store.ensure(ALPHA, offline=True, wheels=wheels, report=said)
    assert answer(environment, "import alpha, numpy, pyarrow; print(alpha.VERSION, numpy.VERSION)") == "1.0 1.26.0"
    assert environment.python_version == answer(environment, "import platform; print(platform.python_version())")
    assert environment.python_version.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert environment.notes == ()
    assert "alpha==1.0" in environment.lock
    assert environment.lock.count("--hash=sha256:") == 3
    assert ("installing", "3 packages", 0, 3) in said.lines
    assert {stage for stage, *_ in said.lines} == {"resolving", "installing"}


def test_its_modules_are_compiled_beforehand(store, wheels):
    environment = store.ensure(ALPHA, offline=True, wheels=wheels)
    assert answer(environment, "import alpha, os; print(os.path.exists(alpha.__cached__))") == "True"


def test_a_second_call_starts_no_process_and_says_nothing(store, wheels, said):
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = store.ensure(ALPHA, offline=True, wheels=wheels, report=said)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert second == first
    assert said.lines == []
    assert (after.ru_minflt, after.ru_utime) == (before.ru_minflt, before.ru_utime)


def test_another_store_on_the_same_folder_finds_it(store, root, environ, wheels, said):
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    again = EnvironmentStore(root, environ=environ).ensure(ALPHA, offline=True, wheels=wheels, report=said)
    assert again == first
    assert said.lines == []


def test_specs_that_lock_to_the_same_share_one_environment(store, wheels):
    one = store.ensure(ALPHA, offline=True, wheels=wheels)
    other = store.ensure(EnvironmentSpec(requirements=("alpha>=1", "numpy")), offline=True, wheels=wheels)
    assert other.digest == one.digest
    assert len(store.list()) == 1


def test_a_wheel_built_again_under_its_old_name_makes_another_environment(store, wheels, make_wheel):
    old = store.ensure(ALPHA, offline=True, wheels=wheels)
    make_wheel(wheels, "alpha", "1.0", body="VERSION = 'rebuilt'\n")
    new = store.ensure(ALPHA, offline=True, wheels=wheels)
    assert new.digest != old.digest
    assert answer(new, "import alpha; print(alpha.VERSION)") == "rebuilt"
    assert answer(old, "import alpha; print(alpha.VERSION)") == "1.0"


def test_nothing_of_the_making_stays_behind(store, root, wheels):
    store.ensure(ALPHA, offline=True, wheels=wheels)
    assert [path.name for path in (root / "tmp").iterdir()] == [".sweep"]


def test_files_of_a_project_around_the_store_change_nothing(tmp_path, environ, wheels):
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    (project / "uv.toml").write_text("this is = no toml [")
    (project / "pyproject.toml").write_text("[tool.uv]\nindex-url = 'http://127.0.0.1:9/simple'\nno-such-key = 1\n")
    del environ["UV_NO_CONFIG"]
    store = EnvironmentStore(project / "deep" / "envs", environ=environ)
    assert store.ensure(ALPHA, offline=True, wheels=wheels).python.exists()


def test_an_environment_whose_interpreter_was_removed_is_built_again(store, wheels):
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    first.python.unlink()
    first.python.symlink_to("/nowhere/python")
    second = store.ensure(ALPHA, offline=True, wheels=wheels)
    assert second.digest == first.digest
    assert answer(second, "import alpha; print(alpha.VERSION)") == "1.0"


def test_an_environment_that_was_removed_under_its_users_is_built_again(store, root, wheels):
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    with store.in_use(first):
        remove_tree(root / "environments")
        second = store.ensure(ALPHA, offline=True, wheels=wheels)
        assert second.digest == first.digest
        assert answer(second, "import alpha; print(alpha.VERSION)") == "1.0"
        assert store.prune() == []


def test_a_worker_requirement_that_does_not_import_fails_the_build(store, root, wheels, make_wheel):
    make_wheel(wheels, "pyarrow", "17.0.0", body="raise ImportError('built for another world')\n")
    with pytest.raises(BadEnvironment) as caught:
        store.ensure(ALPHA, offline=True, wheels=wheels)
    assert caught.value.what == "The environment was built, but numpy and pyarrow cannot be imported in it"
    assert caught.value.why == "ImportError: built for another world"
    assert not list((root / "environments").glob("*"))


def test_pips_settings_reach_uv(root, environ, wheels):
    environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    environment = EnvironmentStore(root, environ=environ).ensure(ALPHA)
    assert answer(environment, "import alpha; print(alpha.VERSION)") == "1.0"


def test_the_best_version_over_all_of_pips_indexes_is_taken(root, environ, index, make_wheel, tmp_path):
    make_wheel(tmp_path / "more", "alpha", "2.0")
    # An index of its own folder: the extra one comes first, and has the older release only.
    environ |= {"PIP_INDEX_URL": index.url, "PIP_FIND_LINKS": str(tmp_path / "more")}
    environment = EnvironmentStore(root, environ=environ).ensure(ALPHA)
    assert "alpha==2.0" in environment.lock


def test_releases_after_a_day_are_left_out(root, environ, index, make_wheel):
    make_wheel(index.folder, "alpha", "2.0")
    index.uploaded = {
        "alpha-1.0-py3-none-any.whl": "2023-05-01T23:30:00Z",
        "alpha-2.0-py3-none-any.whl": "2023-05-02T00:30:00Z",
    }
    # The day is one of UTC, whatever the time zone here.
    store = EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url, "TZ": "Pacific/Kiritimati"})
    dated = EnvironmentSpec(requirements=("alpha",), resolve_as_of=date(2023, 5, 1))
    assert "alpha==1.0" in store.ensure(dated).lock
    assert "alpha==2.0" in store.ensure(ALPHA).lock


def test_a_lock_stays_when_the_index_moves_on(root, environ, index, make_wheel):
    store = EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url})
    first = store.ensure(ALPHA)
    make_wheel(index.folder, "alpha", "2.0")
    assert store.ensure(ALPHA) == first
    store.prune()
    assert "alpha==2.0" in store.ensure(ALPHA).lock


def test_what_was_fetched_once_is_built_again_without_a_network(root, environ, index):
    store = EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url})
    first = store.ensure(ALPHA)
    store.prune()
    (index.folder / "alpha-1.0-py3-none-any.whl").unlink()
    index.login = ("nobody", "gets in")
    assert store.ensure(ALPHA, offline=True).digest == first.digest


def test_a_wanted_python_is_used(store, wheels, environ):
    others = [found for found in find_interpreters(environ, uv=uv_program()) if found.minor != OWN_MINOR]
    if not others:
        pytest.skip("there is only one Python here")
    minor = ".".join(map(str, others[0].minor))
    environment = store.ensure(EnvironmentSpec(requirements=("alpha",), python=minor), offline=True, wheels=wheels)
    assert environment.python_version.startswith(f"{minor}.")
    assert answer(environment, "import sys, alpha; print('%d.%d' % sys.version_info[:2])") == minor


def test_the_newest_python_that_fits_is_chosen_and_named(store, wheels, make_wheel, environ):
    others = {found.minor for found in find_interpreters(environ, uv=uv_program())} - {OWN_MINOR}
    if not others:
        pytest.skip("there is only one Python here")
    own = ".".join(map(str, OWN_MINOR))
    for major, minor in others:
        make_wheel(wheels, "fussy", "1.0", tag=f"cp{major}{minor}-none-any")
    environment = store.ensure(EnvironmentSpec(requirements=("fussy==1.0",)), offline=True, wheels=wheels)
    assert environment.python_version.startswith(".".join(map(str, max(others))) + ".")
    assert environment.notes[0].startswith(f"Python {environment.python_version} was chosen in place of {own}.")


def test_a_known_bad_pair_is_kept_apart_and_reported(store, wheels, make_wheel):
    make_wheel(wheels, "tensorflow", "2.8.0", requires=("protobuf>=3.9.2",))
    make_wheel(wheels, "protobuf", "5.29.6")
    make_wheel(wheels, "protobuf", "3.20.3")
    spec = EnvironmentSpec(requirements=("tensorflow==2.8.0",))
    environment = store.ensure(spec, offline=True, wheels=wheels)
    assert "protobuf==3.20.3" in environment.lock
    (note,) = environment.notes
    assert note.startswith("tensorflow 2.8.0 does not work with protobuf 5.29.6: ")
    assert note.endswith("; protobuf<3.21 was added")
    assert store.ensure(spec, offline=True, wheels=wheels).notes == environment.notes


def test_parting_one_pair_may_make_another_which_is_parted_too(store, wheels, make_wheel):
    make_wheel(wheels, "scikit_learn", "1.2.2", requires=("numpy>=1.17.3",))
    make_wheel(wheels, "numpy", "2.4.6")
    make_wheel(wheels, "pyarrow", "25.0.0")
    make_wheel(wheels, "pyarrow", "26.0.0", body="raise ImportError('numpy is too old')\n")
    environment = store.ensure(EnvironmentSpec(requirements=("scikit-learn==1.2.2",)), offline=True, wheels=wheels)
    assert "numpy==1.26.0" in environment.lock
    assert "pyarrow==25.0.0" in environment.lock
    assert [note.split(":")[0] for note in environment.notes] == [
        "scikit-learn 1.2.2 does not work with numpy 2.4.6",
        "numpy 1.26.0 does not work with pyarrow 26.0.0",
    ]


def test_a_known_bad_pair_that_is_pinned_stays_with_a_warning(store, wheels, make_wheel):
    make_wheel(wheels, "tensorflow", "2.8.0", requires=("protobuf>=3.9.2",))
    make_wheel(wheels, "protobuf", "5.29.6")
    spec = EnvironmentSpec(requirements=("tensorflow==2.8.0", "protobuf==5.29.6"))
    environment = store.ensure(spec, offline=True, wheels=wheels)
    assert "protobuf==5.29.6" in environment.lock
    assert environment.notes[0].endswith("; the requirements allow no other, so it was left")


def test_no_file_of_an_environment_is_shared_with_the_cache(store, root, wheels):
    store.ensure(ALPHA, offline=True, wheels=wheels)
    shared = [path for path in root.glob("environments/**/alpha*") if path.is_file() and path.stat().st_nlink > 1]
    assert list(root.glob("environments/**/alpha*"))
    assert shared == []


@pytest.mark.parametrize("how", ["changed", "added", "removed", "times kept"])
def test_without_the_sandbox_a_changed_environment_is_built_again(root, environ, wheels, how, caplog):
    store = EnvironmentStore(root, environ=environ, confined=Confined(mode="off"))
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    assert store.find(first.digest) == store.ensure(ALPHA, offline=True, wheels=wheels)
    module = next(first.python.parents[1].glob("lib/python*/site-packages/alpha/__init__.py"))
    before = module.stat()
    text = module.read_text()
    if how == "added":
        (module.parent / "more.py").write_text("")
    elif how == "removed":
        module.unlink()
    else:
        module.write_text(text.replace("1", "6"))
        if how == "times kept":
            os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.find(first.digest) is None
    assert f"the environment {first.digest[:12]} is built again" in caplog.text
    assert store.ensure(ALPHA, offline=True, wheels=wheels).digest == first.digest
    assert module.read_text() == text
    assert not (module.parent / "more.py").exists()


def test_an_environment_whose_times_alone_differ_is_kept(root, environ, wheels):
    store = EnvironmentStore(root, environ=environ, confined=Confined(mode="off"))
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    for path in first.python.parents[1].glob("lib/python*/site-packages/alpha/*.py"):
        os.utime(path)
    assert store.find(first.digest) is not None


def test_a_store_that_cannot_be_written_to_still_serves_what_it_holds(store, root, wheels):
    if os.geteuid() == 0:
        pytest.skip("nothing is read-only to root")
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    (root / "environments" / first.digest).chmod(0o500)
    assert store.ensure(ALPHA, offline=True, wheels=wheels) == first


def test_where_home_is_unset_uvs_cache_lies_in_the_store(root, environ, wheels):
    del environ["HOME"], environ["UV_CACHE_DIR"]
    environ.pop("XDG_CACHE_HOME", None)
    EnvironmentStore(root, environ=environ).ensure(ALPHA, offline=True, wheels=wheels)
    assert (root / "uv-cache").is_dir()


def test_requirements_may_name_packages_for_other_pythons(store, wheels):
    spec = EnvironmentSpec(requirements=("alpha", 'absent==1.0; python_version < "3.0"'))
    assert "absent" not in store.ensure(spec, offline=True, wheels=wheels).lock


def test_a_root_that_is_a_link_is_the_same_store(store, root, environ, wheels, tmp_path):
    first = store.ensure(ALPHA, offline=True, wheels=wheels)
    link: Path = tmp_path / "link"
    link.symlink_to(root, target_is_directory=True)
    assert EnvironmentStore(link, environ=environ).ensure(ALPHA, offline=True, wheels=wheels).digest == first.digest


def test_a_machine_without_a_gpu_gets_no_package_that_only_gpus_use(root, environ, wheels, make_wheel):
    make_wheel(wheels, "nvidia_nccl_cu12", "2.21.5")
    make_wheel(wheels, "xgboost", "2.1.4", requires=("nvidia-nccl-cu12",))
    spec = EnvironmentSpec(requirements=("xgboost",))
    without = EnvironmentStore(root, environ=environ, cuda=False).ensure(spec, offline=True, wheels=wheels)
    assert ("xgboost==2.1.4" in without.lock, "nvidia" in without.lock) == (True, False)
    assert [note.partition(":")[0] for note in without.notes] == ["nvidia-nccl-cu12 2.21.5 is left out"]
    assert answer(without, "import xgboost; print(xgboost.VERSION)") == "2.1.4"
    whole = EnvironmentStore(root, environ=environ).ensure(spec, offline=True, wheels=wheels)
    assert ("nvidia-nccl-cu12==2.21.5" in whole.lock, whole.notes) == (True, ())


def test_a_build_for_gpus_stays_where_the_index_has_none_for_cpus(root, environ, wheels, make_wheel):
    for name in ("onnxruntime_gpu", "onnxruntime", "faiss_gpu"):
        make_wheel(wheels, name, "1.7.2")
    store = EnvironmentStore(root, environ=environ, cuda=False)
    replaced = store.ensure(EnvironmentSpec(requirements=("onnxruntime-gpu==1.7.2",)), offline=True, wheels=wheels)
    assert ("onnxruntime==1.7.2" in replaced.lock, "onnxruntime-gpu" in replaced.lock) == (True, False)
    assert replaced.notes[-1].startswith("onnxruntime is installed for onnxruntime-gpu, which is for GPUs")
    kept = store.ensure(EnvironmentSpec(requirements=("faiss-gpu==1.7.2",)), offline=True, wheels=wheels)
    assert ("faiss-gpu==1.7.2" in kept.lock, kept.notes) == (True, ())
