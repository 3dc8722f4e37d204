"""A version runs where it is built for, and says so where it is not."""

import pytest

from trivet.domain.machines import Machine, machine_of, other_machine, refusal_elsewhere
from trivet.domain.version import Acceleration, Architecture

X86, ARM, POWER10 = Architecture.X86, Architecture.ARM, Architecture.POWER10
HERE = Machine(arch=X86)
GPU = Machine(arch=X86, has_cuda=True)
GRAVITON = Machine(arch=ARM)


@pytest.mark.parametrize(
    ("processor", "arch"),
    [("x86_64", X86), ("AMD64", X86), ("aarch64", ARM), ("arm64", ARM), ("ppc64le", POWER10), ("riscv64", None)],
)
def test_a_processor_has_the_name_that_versions_use(processor: str, arch: Architecture | None):
    assert machine_of(processor, has_cuda=False) == Machine(arch=arch)


@pytest.mark.parametrize(
    ("arch", "accel", "machine", "built_for"),
    [
        (X86, "none", HERE, None),
        (ARM, "none", HERE, "arm"),
        (POWER10, "none", HERE, "power10"),
        (X86, "cuda", HERE, "cuda"),
        (X86, "cuda", GPU, None),
        (ARM, "cuda", GPU, "arm with cuda"),
        (ARM, "jetson", HERE, "arm with jetson"),
        (X86, "jetson", GPU, "jetson"),
        (X86, "qaic", GPU, "qaic"),
        (X86, "rocm", GPU, "rocm"),
        (X86, "openvino", HERE, None),
        (X86, "aio", HERE, "aio"),
        (ARM, "aio", GRAVITON, None),
        (ARM, "openvino", GRAVITON, "openvino"),
        (X86, "none", GRAVITON, "x86"),
        (ARM, "jetson", Machine(arch=None), None),
    ],
)
def test_a_version_runs_on_a_machine_of_its_kind(
    arch: Architecture, accel: str, machine: Machine, built_for: str | None
):
    assert other_machine(arch, Acceleration(accel), machine) == built_for


def test_a_version_that_is_not_tried_says_for_what_it_is_built():
    fault = refusal_elsewhere("arm", HERE)
    assert fault.message == "not tried: built for arm: this machine has an x86 processor and no NVIDIA GPU"
    assert fault.fix is not None
    assert "TRIVET_STAND_IN=true" in fault.fix
