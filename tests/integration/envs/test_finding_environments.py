"""An environment that is there is found by its digest: nothing is resolved, built or fetched."""

import shutil

from trivet.domain.digest import Digest
from trivet.domain.environment import EnvironmentSpec


def test_a_built_environment_is_found_by_its_digest(store, wheels):
    built = store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)
    found = store.find(built.digest)
    assert (found.digest, found.python, found.lock) == (built.digest, built.python, built.lock)
    assert found.python_version == built.python_version


def test_one_that_was_never_built_pruned_or_broken_is_not_found(store, root, wheels):
    assert store.find(Digest("0" * 64)) is None
    built = store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)
    store.prune()
    assert store.find(built.digest) is None
    store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)
    shutil.rmtree(root / "environments" / built.digest / "bin")
    assert store.find(built.digest) is None


def test_finding_one_counts_as_using_it(store, wheels):
    built = store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)
    before = store.list()[0].last_used
    store.find(built.digest)
    assert store.list()[0].last_used >= before
