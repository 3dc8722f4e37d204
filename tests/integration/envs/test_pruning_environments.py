"""Environments that nothing uses go; those in use stay."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.errors import NotFound

HOLDER = """
import json, sys
from pathlib import Path
from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore
order = json.loads(sys.argv[1])
store = EnvironmentStore(Path(order["root"]), environ=order["environ"])
environment = store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=Path(order["wheels"]))
with store.in_use(environment):
    print("holding", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def alpha(store, wheels):
    return store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)


@pytest.fixture
def bare(store, wheels):
    return store.ensure(EnvironmentSpec(requirements=()), offline=True, wheels=wheels)


def test_the_list_says_what_is_there(store, root, alpha, bare):
    an_hour_ago = datetime.now(UTC).timestamp() - 3600
    os.utime(root / "environments" / alpha.digest / ".last-used", (an_hour_ago, an_hour_ago))
    infos = store.list()
    assert [info.digest for info in infos] == [bare.digest, alpha.digest]
    info = infos[1]
    assert info.packages == ("alpha==1.0", "numpy==1.26.0", "pyarrow==17.0.0")
    assert info.python_version == alpha.python_version
    assert info.size_bytes > 1000
    assert timedelta() <= datetime.now(UTC) - info.made < timedelta(minutes=5)
    assert timedelta(minutes=59) < datetime.now(UTC) - info.last_used < timedelta(minutes=65)


def test_a_store_that_was_never_used_is_empty(store):
    assert store.list() == []
    assert store.prune() == []


def test_asking_again_counts_as_use(store, root, alpha, bare, wheels):
    for environment in (alpha, bare):
        os.utime(root / "environments" / environment.digest / ".last-used", (1_000_000_000, 1_000_000_000))
    store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)
    assert store.list()[0].digest == alpha.digest


def test_what_was_not_used_for_long_goes_with_its_lock(store, root, alpha, bare):
    long_ago = datetime.now(UTC).timestamp() - 3 * 86400
    os.utime(root / "environments" / alpha.digest / ".last-used", (long_ago, long_ago))
    removed = store.prune(unused_for=timedelta(days=2))
    assert [info.digest for info in removed] == [alpha.digest]
    assert [info.digest for info in store.list()] == [bare.digest]
    assert not alpha.python.exists()
    assert bare.python.exists()
    assert len(list((root / "locks").iterdir())) == 1
    assert [path.name for path in (root / "tmp").iterdir()] == [".sweep"]


def test_unreadable_records_of_other_versions_are_pruned_too(store, root, alpha):
    stranger = root / "environments" / ("f" * 64)
    stranger.mkdir()
    (stranger / "trivet-environment.json").write_text('{"format": "of tomorrow"}')
    with store.in_use(alpha):
        assert store.prune() == []
    assert not stranger.exists()
    assert alpha.python.exists()


def test_what_is_in_use_stays(store, alpha):
    with store.in_use(alpha), store.in_use(alpha):
        assert store.prune() == []
        assert alpha.python.exists()
    assert [info.digest for info in store.prune()] == [alpha.digest]


def test_other_requirements_with_the_same_lock_share_an_environment_in_use(store, alpha, wheels):
    def report(stage: str, detail: str, _done: int | None, _total: int | None) -> None:
        assert "waiting" not in detail, f"{stage}: {detail}"

    with store.in_use(alpha):
        other = store.ensure(EnvironmentSpec(requirements=("alpha>=1",)), offline=True, wheels=wheels, report=report)
    assert other.digest == alpha.digest


def test_what_another_process_uses_stays_until_it_ends(store, alpha, root, environ, wheels):
    order = json.dumps({"root": str(root), "environ": environ, "wheels": str(wheels)})
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "holding\n"
        assert store.prune() == []
        holder.kill()
    assert [info.digest for info in store.prune()] == [alpha.digest]


def test_using_a_pruned_environment_fails_and_ensure_rebuilds_it(store, alpha, wheels):
    store.prune()
    with pytest.raises(NotFound) as caught, store.in_use(alpha):
        pass
    assert caught.value.message == f"The environment {alpha.digest[:12]} is not there any more: it was pruned"
    again = store.ensure(EnvironmentSpec(requirements=("alpha",)), offline=True, wheels=wheels)
    assert again == alpha
    with store.in_use(again):
        assert again.python.exists()
