"""Which GPUs the workers of each fleet have."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.domain.deployment import Resources
from trivet.supervisor.desired import DesiredFleet
from trivet.supervisor.placement import not_enough, place

DEVICES = tuple("0123456789")


def fleet(key: str, *, count: int = 1, gpus: int = 1) -> DesiredFleet:
    return DesiredFleet(
        key=key,
        deployment_id=1,
        name="m",
        version="v",
        config_id=None,
        resources=Resources(gpus=gpus),
        count=count,
        generation=1,
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[DesiredFleet], list[str], dict[str, tuple[str, ...]]]:
    keys = [f"1-{number}" for number in range(5)]
    desired = [
        fleet(key, count=draw(st.integers(1, 4)), gpus=draw(st.integers(0, 3)))
        for key in draw(st.permutations(keys))[: draw(st.integers(0, 5))]
    ]
    order: Sequence[str] = draw(st.permutations(DEVICES))
    running: dict[str, tuple[str, ...]] = {}
    for key in keys:
        count = draw(st.integers(0, 3))
        running[key], order = tuple(order[:count]), order[count:]
    # What runs may have a device that the machine has lost, or that is not free for another reason.
    return desired, draw(st.lists(st.sampled_from(DEVICES), unique=True)), running


@given(situations())
def test_no_device_belongs_to_two_fleets(
    situation: tuple[list[DesiredFleet], list[str], dict[str, tuple[str, ...]]],
) -> None:
    desired, devices, running = situation
    placed = place(desired, devices, running)
    held = running | placed
    # A fleet that gets smaller gives nothing to another in the same turn: its worker still runs.
    owners = [(device, key) for key, given_to in running.items() for device in given_to]
    owners += [(device, key) for key, given_to in placed.items() for device in given_to]
    assert len({device for device, _ in owners}) == len(set(owners))
    assert all(set(each) <= {*devices, *running.get(key, ())} for key, each in held.items())


@given(situations())
def test_a_fleet_has_all_that_it_needs_or_is_not_placed(
    situation: tuple[list[DesiredFleet], list[str], dict[str, tuple[str, ...]]],
) -> None:
    desired, devices, running = situation
    placed = place(desired, devices, running)
    assert placed.keys() <= {each.key for each in desired}
    for each in desired:
        if each.key in placed:
            assert len(set(placed[each.key])) == each.count * each.resources.gpus
    free = set(devices).difference(*running.values(), *placed.values())
    for each in desired:
        if each.key not in placed:
            assert each.count * each.resources.gpus - len(running.get(each.key, ())) > len(free)


@given(situations())
def test_what_runs_keeps_its_devices(
    situation: tuple[list[DesiredFleet], list[str], dict[str, tuple[str, ...]]],
) -> None:
    desired, devices, running = situation
    placed = place(desired, devices, running)
    for key, given_to in placed.items():
        kept = running.get(key, ())[: len(given_to)]
        assert given_to[: len(kept)] == kept
    assert place(desired, devices, running | placed).items() >= placed.items()


def test_a_fleet_that_is_too_large_takes_nothing_from_those_after_it() -> None:
    desired = [fleet("1-large", count=2, gpus=2), fleet("1-small", gpus=3), fleet("1-none", gpus=0)]
    assert place(desired, ["0", "1", "2"], {}) == {"1-small": ("0", "1", "2"), "1-none": ()}


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (1, "its worker needs 2; the machine has 1, and other workers use the rest"),
        (3, "3 workers need 6; the machine has 1, and other workers use the rest"),
    ],
)
def test_a_fleet_without_devices_gets_a_reason(count: int, why: str) -> None:
    error = not_enough(fleet("1-a", count=count, gpus=2), ["0"])
    assert error.what == "there are not enough free GPUs for m"
    assert error.why == why
    assert error.fix == "undeploy what uses them, or ask for fewer replicas or GPUs; it starts when enough are free"
    assert error.reason == "no_device"
