"""The machine that versions run on, and versions that are built for another."""

from dataclasses import dataclass
from typing import Final

from trivet.domain.fault import Fault
from trivet.domain.version import Acceleration, Architecture

__all__ = ["Machine", "machine_of", "other_machine", "refusal_elsewhere"]

_ARCHITECTURES: Final = {
    "x86_64": Architecture.X86,
    "amd64": Architecture.X86,
    "aarch64": Architecture.ARM,
    "arm64": Architecture.ARM,
    "ppc64le": Architecture.POWER10,
}
_SHOWN: Final = {Architecture.X86: "an x86", Architecture.ARM: "an ARM", Architecture.POWER10: "a Power"}
_ONE_ARCHITECTURE: Final = {Acceleration.AIO: Architecture.ARM, Acceleration.OPENVINO: Architecture.X86}
"""What runs on the processor itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A machine.

    Attributes:
        arch: its processor; None if it is none that a version can be built for: then every version counts as built for it.
        has_cuda: whether it has NVIDIA GPUs that a worker can use.
    """

    arch: Architecture | None
    has_cuda: bool = False

    def __str__(self) -> str:
        processor = "a processor without a name here" if self.arch is None else f"{_SHOWN[self.arch]} processor"
        return f"{processor} and {'NVIDIA GPUs' if self.has_cuda else 'no NVIDIA GPU'}"


def machine_of(processor: str, *, has_cuda: bool) -> Machine:
    """A machine, by the name that its system has for its processor."""
    return Machine(arch=_ARCHITECTURES.get(processor.lower()), has_cuda=has_cuda)


def other_machine(arch: Architecture, accel: Acceleration, machine: Machine) -> str | None:
    """What a version is built for, if a machine is not of that kind; None if the version can run there."""
    if machine.arch is None:
        return None
    if arch is not machine.arch:
        return arch if accel is Acceleration.NONE else f"{arch} with {accel}"
    if accel is Acceleration.NONE or (accel is Acceleration.CUDA and machine.has_cuda):
        return None
    return None if _ONE_ARCHITECTURE.get(accel) is machine.arch else accel


def refusal_elsewhere(built_for: str, machine: Machine) -> Fault:
    """Why a version is not tried on a machine."""
    return Fault(
        error="Unsupported",
        what=f"not tried: built for {built_for}",
        why=f"this machine has {machine}",
        fix="upload it to a platform on a machine of that kind. To run it here all the same, start the platform with "
        "TRIVET_STAND_IN=true, and upload it again",
        reason="other_machine",
    )
