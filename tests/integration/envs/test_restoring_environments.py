"""An environment that is gone is built again with what it had; with something else only where that cannot be had."""

import shutil

import pytest

from trivet.domain.digest import digest_of_bytes
from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore, packages_of, restore
from trivet.errors import BadEnvironment

SPEC = EnvironmentSpec(requirements=("alpha",))
LOST = digest_of_bytes(b"of another machine")
HAD = ("alpha==1.0", "numpy==1.26.0", "pyarrow==17.0.0")


@pytest.fixture
def store(root, environ, index) -> EnvironmentStore:
    return EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": index.url})


@pytest.fixture
def again(store, said):
    """`again(lost, ...)`: builds it, of what is usual."""

    def build(lost, *, releases=HAD, python_version=None, **options):
        return restore(store, lost, SPEC, releases=releases, python_version=python_version, report=said, **options)

    return build


def warnings(said) -> list[str]:
    return [detail for stage, detail, _, _ in said.lines if stage == "warning"]


def test_it_is_the_same_though_there_are_later_releases(store, again, index, make_wheel, said):
    had = store.ensure(SPEC)
    assert store.prune()
    make_wheel(index.folder, "alpha", "2.0")
    built = again(had.digest, releases=packages_of(had.lock), python_version=had.python_version)
    assert (built.digest, built.lock, built.python_version) == (had.digest, had.lock, had.python_version)
    assert built.python.exists()
    assert store.find(had.digest).digest == had.digest
    assert warnings(said) == []
    # A version that is uploaded now has what there is now.
    assert "alpha==2.0" in packages_of(store.ensure(SPEC).lock)


def test_releases_that_are_gone_are_replaced_once_and_reported(store, root, again, index, make_wheel, said):
    make_wheel(index.folder, "alpha", "2.0")
    (index.folder / "alpha-1.0-py3-none-any.whl").unlink()
    built = again(LOST)
    assert packages_of(built.lock) == ("alpha==2.0", *HAD[1:])
    assert warnings(said) == ["its environment was built again, with other packages: alpha==2.0"]
    # It stays what it is, whatever there is tomorrow, until it is pruned itself.
    make_wheel(index.folder, "alpha", "1.0")
    assert store.find(LOST).digest == built.digest
    assert [path.name for path in (root / "replaced").iterdir()] == [f"{LOST}.json"]
    store.prune()
    assert store.find(LOST) is None
    assert list((root / "replaced").iterdir()) == []


def test_an_index_that_does_not_answer_does_not_change_releases(root, environ, store, wheels, said):
    # The releases of today could be had: they are built.
    today = store.ensure(SPEC, offline=True, wheels=wheels)
    away = EnvironmentStore(root, environ={**environ, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"})
    with pytest.raises(BadEnvironment) as caught:
        restore(away, LOST, SPEC, releases=("alpha==0.9", *HAD[1:]), python_version=None, report=said)
    assert caught.value.reason == "index_unreachable"
    assert store.find(LOST) is None
    assert today.python.exists()


def test_another_patch_of_the_interpreter_will_do(store, again, said):
    own = store.ensure(EnvironmentSpec(requirements=())).python_version
    major, minor, _ = own.split(".")
    built = again(LOST, python_version=f"{major}.{minor}.999")
    assert built.python_version.startswith(f"{major}.{minor}.")
    assert packages_of(built.lock) == HAD
    assert warnings(said) == []
    assert store.find(LOST).digest == built.digest


def test_packages_that_only_the_other_machine_wanted_are_left_out(again, said):
    built = again(LOST, releases=("alpha==1.0", "bridge==3.1", *HAD[1:]))
    assert packages_of(built.lock) == HAD
    assert warnings(said) == ["its environment was built again, with other packages: no bridge"]


def test_without_an_index_what_the_cache_has_will_do(store, root, again, said):
    store.ensure(SPEC)
    shutil.rmtree(root / "locks")
    built = again(LOST, releases=("alpha==0.9", *HAD[1:]), offline=True)
    assert packages_of(built.lock) == HAD
    assert len(warnings(said)) == 1
