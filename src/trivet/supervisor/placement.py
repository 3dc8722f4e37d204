"""Which GPUs the workers of each fleet have. Pure, as the plan is."""

from collections.abc import Iterable, Mapping, Sequence

from trivet.errors import Unavailable
from trivet.supervisor.desired import DesiredFleet

__all__ = ["not_enough", "place"]


def place(
    desired: Iterable[DesiredFleet], devices: Sequence[str], running: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Share out devices: each worker has `gpus` of its own, and no device belongs to two workers.

    Args:
        desired: the fleets, with how many workers each is to have; the earlier ones are served first.
        devices: those that may be given away. What is in `running` is kept, whether or not it is among them.
        running: the devices of fleets that run, by key. A fleet that is to have fewer workers keeps the first ones.

    Returns:
        By key, the devices of a fleet's workers: first those that it has, then new ones. A fleet that cannot have all that
        it needs is not in it, and takes nothing from the others.
    """
    held = {device for each in running.values() for device in each}
    free = [device for device in devices if device not in held]
    placed: dict[str, tuple[str, ...]] = {}
    for fleet in desired:
        needed = fleet.count * fleet.resources.gpus
        kept = running.get(fleet.key, ())[:needed]
        missing = needed - len(kept)
        if missing <= len(free):
            placed[fleet.key] = (*kept, *free[:missing])
            del free[:missing]
    return placed


def not_enough(fleet: DesiredFleet, devices: Sequence[str]) -> Unavailable:
    """The error for a fleet that cannot be placed."""
    needed = fleet.count * fleet.resources.gpus
    return Unavailable(
        f"there are not enough free GPUs for {fleet.name}",
        why=f"{fleet.count} workers need {needed}; the machine has {len(devices)}, and other workers use the rest"
        if fleet.count > 1
        else f"its worker needs {needed}; the machine has {len(devices)}, and other workers use the rest",
        fix="undeploy what uses them, or ask for fewer replicas or GPUs; it starts when enough are free",
        reason="no_device",
    )
