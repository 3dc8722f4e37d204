"""Environments for another kind of machine are resolved for it, so that missing wheels are found before a deploy."""

from pathlib import Path

import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.envs import packages_of
from trivet.errors import BadEnvironment

ARM = "aarch64-manylinux_2_28"
X86 = "x86_64-manylinux_2_28"


def test_a_wheel_for_the_other_machine_is_found(store, wheels: Path, make_wheel) -> None:
    make_wheel(wheels, "native", "1.0", tag="py3-none-manylinux_2_28_x86_64")
    make_wheel(wheels, "native", "0.9", tag="py3-none-manylinux_2_28_aarch64")
    spec = EnvironmentSpec(requirements=("native",))
    for target, version in ((ARM, "0.9"), (X86, "1.0")):
        lock, python, notes = store.resolve_for(spec, target=target, offline=True, wheels=wheels)
        assert f"native=={version}" in packages_of(lock)
        assert python.startswith("3.")
        assert notes == ()
    assert store.list() == []


def test_a_wheel_that_the_other_machine_lacks_is_an_error(store, wheels: Path, make_wheel) -> None:
    make_wheel(wheels, "native", "1.0", tag="py3-none-manylinux_2_28_x86_64")
    with pytest.raises(BadEnvironment, match=r"native.*no wheels with a matching platform tag") as caught:
        store.resolve_for(EnvironmentSpec(requirements=("native",)), target=ARM, offline=True, wheels=wheels)
    assert "Could not pip install user provided requirements.txt" in caught.value.what


def test_a_package_that_is_built_from_source_there_is_a_note(store, wheels: Path, make_wheel, make_sdist) -> None:
    make_wheel(wheels, "native", "1.0", tag="py3-none-manylinux_2_28_x86_64")
    make_sdist(wheels, "native", "1.0", before_build="raise SystemExit('it is not built here')")
    spec = EnvironmentSpec(requirements=("native",))
    lock, _, notes = store.resolve_for(spec, target=ARM, offline=True, wheels=wheels)
    assert "native==1.0" in packages_of(lock)
    assert notes == (f"a package has no wheel for {ARM}: it is built from source there",)
