"""Packages that only a GPU uses, left out of environments on machines without one, or replaced by the build for CPUs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from trivet.envs.known_bad import pins_of
from trivet.envs.uv_calls import packages_in

__all__ = ["asks_for_cuda_only", "with_cpu_builds", "without_cuda_only"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaOnly:
    """What a package has for GPUs.

    Attributes:
        leaves_out: patterns of what it requires, loads only for a GPU, and imports without.
        cpu_build: the name of its build for CPUs, which has the same releases and modules.
    """

    leaves_out: tuple[str, ...] = field(default=())
    cpu_build: str | None = None


CUDA_ONLY = {
    "xgboost": CudaOnly(leaves_out=("nvidia-nccl-*",)),
    # Only with the extra `and-cuda`: `tensorflow` itself requires nothing of CUDA.
    "tensorflow": CudaOnly(leaves_out=("nvidia-*",)),
    "jax": CudaOnly(leaves_out=("nvidia-*", "jax-cuda*")),
    "onnxruntime-gpu": CudaOnly(cpu_build="onnxruntime"),
    "tensorflow-gpu": CudaOnly(cpu_build="tensorflow"),
    "faiss-gpu": CudaOnly(cpu_build="faiss-cpu"),
    "paddlepaddle-gpu": CudaOnly(cpu_build="paddlepaddle"),
}
"""By the package that the requirements name."""

BUILT_WITH_CUDA = ("torch", "cupy-cuda*")
"""Packages that cannot be imported without the libraries of CUDA that they require."""

WHY = "and this machine has none; TRIVET_CUDA_PACKAGES=always installs it"


def asks_for_cuda_only(requirements: Sequence[str]) -> bool:
    """Whether requirements name a package of the table."""
    return not CUDA_ONLY.keys().isdisjoint(_names(requirements))


def with_cpu_builds(requirements: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Requirements with the builds for CPUs in place of those for GPUs, and notes about them.

    An index may lack a release of such a build: then the requirements as they were are to be tried.
    """
    changed: list[str] = []
    notes: list[str] = []
    for line in requirements:
        requirement = Requirement(line)
        row = CUDA_ONLY.get(canonicalize_name(requirement.name))
        if row is not None and row.cpu_build is not None:
            notes.append(f"{row.cpu_build} is installed for {requirement.name}, which is for GPUs, {WHY}")
            requirement.name = row.cpu_build
            requirement.extras = set()
        changed.append(str(requirement))
    return tuple(changed), tuple(notes)


def without_cuda_only(lock: str, *, requirements: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """A lock without the packages that only a GPU uses, and notes about them.

    A package stays where the requirements name it, and where the lock has other libraries of CUDA, or a package that was built
    with them, as torch is: that needs all of them to be imported.
    """
    named = _names(requirements)
    pins = pins_of(lock)
    left_out: dict[str, str] = {}
    for package in CUDA_ONLY.keys() & named & pins.keys():
        patterns = CUDA_ONLY[package].leaves_out
        fitting = (name for name in pins if any(fnmatchcase(name, pattern) for pattern in patterns))
        left_out |= {name: package for name in fitting if name not in named}
    if not left_out or any(_needs_cuda(name, version, left_out) for name, version in pins.items()):
        return lock, ()
    parts = packages_in(lock)
    notes = tuple(
        f"{name} {pins[name]} is left out: {package} uses it on GPUs only, {WHY}"
        for name, package in sorted(left_out.items())
    )
    return "".join(f"{part}\n" for name, part in parts.items() if name not in left_out), notes


def _needs_cuda(name: str, version: str, left_out: dict[str, str]) -> bool:
    if name.startswith("nvidia-"):
        return name not in left_out
    return any(fnmatchcase(name, pattern) for pattern in BUILT_WITH_CUDA) and not version.endswith("+cpu")


def _names(requirements: Sequence[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}
