"""Which interpreter is taken for packages that are pinned: one that has their wheels."""

import pytest

from trivet.domain.environment import EnvironmentSpec
from trivet.envs import EnvironmentStore
from trivet.envs.interpreters import OWN_MINOR, find_interpreters
from trivet.envs.uv_calls import uv_program
from trivet.errors import BadEnvironment

OWN = ".".join(map(str, OWN_MINOR))
FAILS = "raise RuntimeError('no compiler for this')"


@pytest.fixture
def others(environ) -> list[tuple[int, int]]:
    """The minor releases beside our own, the newest first."""
    found = {each.minor for each in find_interpreters(environ, uv=uv_program())} - {OWN_MINOR}
    if not found:
        pytest.skip("there is only one Python here")
    return sorted(found, reverse=True)


def ensure(store: EnvironmentStore, wheels, *requirements: str):
    return store.ensure(EnvironmentSpec(requirements=requirements), offline=True, wheels=wheels)


def tag(minor: tuple[int, int]) -> str:
    return f"cp{minor[0]}{minor[1]}-none-any"


@pytest.mark.parametrize("requirement", ["gamma==1.0", "gamma<2", "gamma~=1.0"])
def test_a_pin_is_not_built_where_another_python_has_its_wheel(
    store, wheels, make_wheel, make_sdist, others, requirement
):
    make_sdist(wheels, "gamma", "1.0", before_build=FAILS)
    make_wheel(wheels, "gamma", "1.0", tag=tag(others[0]))
    environment = ensure(store, wheels, requirement)
    assert environment.python_version.startswith(".".join(map(str, others[0])) + ".")
    (note,) = environment.notes
    assert note.startswith(f"Python {environment.python_version} was chosen in place of {OWN}.")
    assert note.endswith("gamma==1.0 has no wheel for it")


def test_our_own_python_is_kept_where_all_pins_have_wheels(store, wheels, make_wheel, others):
    make_wheel(wheels, "gamma", "1.0", tag=tag(OWN_MINOR))
    for other in others:
        make_wheel(wheels, "gamma", "1.0", tag=tag(other))
    environment = ensure(store, wheels, "gamma==1.0")
    assert environment.python_version.startswith(f"{OWN}.")
    assert environment.notes == ()


def test_a_pin_without_any_wheel_is_built_and_does_not_decide(store, wheels, make_wheel, make_sdist, others):
    make_sdist(wheels, "ancient", "1.0", before_build="")
    make_sdist(wheels, "gamma", "1.0", before_build=FAILS)
    make_wheel(wheels, "gamma", "1.0", tag=tag(others[-1]))
    environment = ensure(store, wheels, "ancient==1.0", "gamma==1.0")
    assert environment.python_version.startswith(".".join(map(str, others[-1])) + ".")
    assert environment.notes[-1] == "ancient has no wheel for any Python here: it is built from source"


def test_a_pin_without_any_wheel_that_does_not_build_says_both(store, wheels, make_sdist, others):
    make_sdist(wheels, "ancient", "1.0", before_build=FAILS)
    stages: list[str] = []
    with pytest.raises(BadEnvironment) as caught:
        store.ensure(
            EnvironmentSpec(requirements=("ancient==1.0",)),
            offline=True,
            wheels=wheels,
            report=lambda _, what, *__: stages.append(what),
        )
    assert caught.value.reason == "build_failed"
    assert caught.value.why.startswith("ancient has no wheel for any Python here (")
    assert "no compiler for this" in caught.value.why
    assert caught.value.fix == "pin a later release of ancient, which has wheels, or install what its build needs"
    # Each Python is asked once, and then the first one again for a build.
    assert sum(stage.startswith("for Python ") for stage in stages) == len(others) + 2
    assert "ancient: no wheel for any Python here, so from source" in stages


def test_a_package_without_limits_is_built_in_its_newest_release(store, wheels, make_wheel, make_sdist):
    make_wheel(wheels, "gamma", "1.0")
    make_sdist(wheels, "gamma", "2.0", before_build="")
    assert "gamma==2.0" in ensure(store, wheels, "gamma").lock
