"""Whichever file operation of a build fails, or is its last: nothing half-made is used, and the next build goes through."""

import fcntl
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.errors import BadEnvironment, TrivetError

SPEC = EnvironmentSpec(requirements=("alpha",))
# A folder of wheels is read once, and remembered, when nothing in it has changed for two seconds.
SETTLED_S = 2.1


@dataclass(frozen=True)
class Bench:
    """Stores that differ by their folder only, and what a build without a fault makes in them."""

    folder: Path
    wheels: Path
    environ: dict[str, str]

    def store(self, name: str) -> EnvironmentStore:
        return EnvironmentStore(self.folder / name, environ=self.environ)

    def ensure(self, name: str, spec: EnvironmentSpec = SPEC) -> Environment:
        return self.store(name).ensure(spec, offline=True, wheels=self.wheels)

    def files(self, environment: Environment) -> set[str]:
        folder = environment.python.parent.parent
        return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("nth")
    # Every Python on PATH would be asked what it is in every round.
    for name in ("user", "nothing-on-path"):
        (folder / name).mkdir()
    environ = {
        "HOME": str(folder / "user"),
        "PATH": str(folder / "nothing-on-path"),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(folder / "uv-cache"),
    }
    return Bench(folder=folder, wheels=folder / "wheels", environ=environ)


@pytest.fixture
def usual(bench: Bench, make_wheel) -> set[str]:
    """The files of an environment that was built without a fault."""
    if not bench.wheels.exists():
        make_wheel(bench.wheels, "numpy", "1.26.0")
        make_wheel(bench.wheels, "pyarrow", "17.0.0", requires=("numpy",))
        make_wheel(bench.wheels, "alpha", "1.0")
        time.sleep(SETTLED_S)
    return bench.files(bench.ensure("usual"))


@pytest.mark.parametrize(
    "kind", ["ENOSPC", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("EIO", "EMFILE"))]
)
def test_any_failed_operation_has_a_fix_and_the_next_build_succeeds(nth_failure, bench, usual, kind):
    seen = set()
    for fault in nth_failure.each(kind):
        name = f"{kind}-{fault.number}"
        store = bench.store(name)
        before = open_files()
        made = error = None
        with fault:
            try:
                made = store.ensure(SPEC, offline=True, wheels=bench.wheels)
            except TrivetError as caught:
                error = caught
        if error is not None:
            assert fault.reached
            assert error.what, str(fault)
            assert_fits(error, kind, fault)
        else:
            assert bench.files(made) - {".last-used"} == usual - {".last-used"}, str(fault)
        assert open_files() == before, f"{fault} left a file open"
        assert_nothing_half_made(bench, name, usual, fault)
        # Many faults leave the same: one build after each of these is enough.
        after = what_is_there(bench.folder / name)
        if after not in seen:
            seen.add(after)
            environment = assert_next_build_goes_through(bench, name, usual, fault)
            assert_works(environment)
    assert error is None
    assert fault.number > 20
    assert len(seen) > 3


@pytest.mark.slow
def test_wherever_the_builder_dies_the_next_build_goes_through(nth_failure, bench, usual):
    seen = set()
    for fault in nth_failure.each("crash"):
        name = f"crash-{fault.number}"
        store = bench.store(name)
        code = fault.in_child(lambda store=store: store.ensure(SPEC, offline=True, wheels=bench.wheels))
        assert code == (nth_failure.CRASHED if fault.reached else 0), str(fault)
        assert_nothing_half_made(bench, name, usual, fault)
        after = what_is_there(bench.folder / name)
        if after not in seen:
            seen.add(after)
            environment = assert_next_build_goes_through(bench, name, usual, fault)
    assert fault.number > 40
    assert len(seen) > 20
    assert_works(environment)


def test_a_disk_that_takes_a_part_of_a_write_gets_the_rest(nth_failure, bench, usual):
    for fault in nth_failure.each("short write"):
        store = bench.store(f"short-{fault.number}")
        with fault:
            environment = store.ensure(SPEC, offline=True, wheels=bench.wheels)
        assert bench.files(environment) == usual, str(fault)
    assert fault.number > 4
    assert_works(environment)


def test_an_interrupted_repair_of_an_environment_is_completed_by_the_next(nth_failure, bench, usual):
    for fault in nth_failure.each("crash", meets={"rename"}):
        name = f"broken-{fault.number}"
        bench.ensure(name).python.unlink()
        store = bench.store(name)
        code = fault.in_child(lambda store=store: store.ensure(SPEC, offline=True, wheels=bench.wheels))
        assert code == (nth_failure.CRASHED if fault.reached else 0), str(fault)
        environment = assert_next_build_goes_through(bench, name, usual, fault)
    # The broken one leaves its name, the two records of the new one get theirs, the new one takes the name.
    assert fault.number == 5
    assert_works(environment)


def assert_fits(error: TrivetError, kind: str, fault: object) -> None:
    assert isinstance(error, BadEnvironment), str(fault)
    assert error.fix, str(fault)
    if kind == "ENOSPC":
        assert error.reason == "disk_full", f"{fault}: {error.message}"
    if kind == "EMFILE":
        assert "open files" in error.fix, f"{fault}: {error.message}: {error.fix}"


def assert_nothing_half_made(bench: Bench, name: str, usual: set[str], fault: object) -> None:
    store = bench.store(name)
    there = {folder.name for folder in (bench.folder / name).glob("environments/*")}
    assert {info.digest for info in store.list()} == there, str(fault)
    for digest in there:
        environment = store.find(digest)
        assert environment is not None, str(fault)
        assert bench.files(environment) | {".last-used"} == usual, str(fault)
    assert list(held_locks(bench.folder / name)) == [], str(fault)


def what_is_there(root: Path) -> frozenset[tuple[str, int]]:
    """The names of all files and their sizes, without what is random in the names of drafts and temporary folders."""
    return frozenset(
        (
            re.sub(r"(?<=tmp/)\w{16}|(?<=json\.)\w{8}", "*", str(path.relative_to(root))),
            0 if path.is_dir() else path.lstat().st_size,
        )
        for path in root.rglob("*")
        # Each build writes other times into it.
        if path.name != "trivet-environment.json" and path.suffix != ".pyc"
    )


def held_locks(root: Path) -> Iterator[Path]:
    for path in [*root.glob("held/*"), *root.glob("tmp/*.lock"), *root.glob("tmp/.sweep")]:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path


def assert_next_build_goes_through(bench: Bench, name: str, usual: set[str], fault: object) -> Environment:
    environment = bench.ensure(name)
    assert bench.files(environment) == usual, str(fault)
    if rest(bench.folder / name):
        # What asks for a finished environment starts no build, and sweeps nothing.
        bench.ensure(name, EnvironmentSpec(requirements=()))
    assert rest(bench.folder / name) == [], str(fault)
    return environment


def rest(root: Path) -> list[str]:
    """What should be gone: temporary folders, and drafts of records, which are named `.<record>.<random>`."""
    left = [path for path in root.glob("tmp/*") if path.name != ".sweep"]
    left += [path for path in root.rglob("*.json.*") if not path.is_relative_to(root / "tmp")]
    return [str(path) for path in left]


def assert_works(environment: Environment) -> None:
    code = "import alpha, numpy, pyarrow; print(alpha.VERSION)"
    said = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "1.0\n"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
