"""The GPUs of this machine, and what a worker sees of them."""

import platform
from collections.abc import Mapping
from pathlib import Path

from trivet.domain.machines import Machine, machine_of

__all__ = ["VISIBLE", "find_devices", "this_machine"]

VISIBLE = "CUDA_VISIBLE_DEVICES"


def find_devices(environ: Mapping[str, str], *, dev: Path = Path("/dev")) -> tuple[str, ...]:
    """The names that CUDA has for the devices which this process may use; none where there is no NVIDIA driver.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` limits what is found, by number or UUID.
        dev: where the driver puts one file a device.
    """
    # CUDA counts from 0 whatever the files' numbers are: a container may have nvidia1 alone.
    count = sum(path.name.removeprefix("nvidia").isdecimal() for path in dev.glob("nvidia[0-9]*"))
    visible = environ.get(VISIBLE)
    if visible is None or not count:
        return tuple(str(number) for number in range(count))
    found: list[str] = []
    for name in (each.strip() for each in visible.split(",")):
        # CUDA ends at the first name that it does not know, too.
        if not name or name in found or (name.lstrip("-").isdecimal() and not (name.isdecimal() and int(name) < count)):
            break
        found.append(name)
    return tuple(found)


def this_machine(environ: Mapping[str, str]) -> Machine:
    """The machine that this process runs on. The argument is that of `find_devices`."""
    return machine_of(platform.machine(), has_cuda=bool(find_devices(environ)))
