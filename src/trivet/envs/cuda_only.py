"""Packages that only a GPU uses, left out of environments on machines without one."""

from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from trivet.envs.known_bad import pins_of
from trivet.envs.uv_calls import packages_in

__all__ = ["asks_for_cuda_only", "without_cuda_only"]

CUDA_ONLY = {"xgboost": ("nvidia-nccl-cu12", "nvidia-nccl-cu13")}
"""What a package requires, loads only for a GPU, and imports without."""


def asks_for_cuda_only(requirements: Sequence[str]) -> bool:
    """Whether requirements name a package that requires what only a GPU uses."""
    return not CUDA_ONLY.keys().isdisjoint(_names(requirements))


def without_cuda_only(lock: str, *, requirements: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """A lock without the packages that only a GPU uses, and notes about them.

    A package stays where the requirements name it, and where the lock has other libraries of CUDA: a package that was built
    with them, as torch is, needs all of them to be imported.
    """
    named = _names(requirements)
    pins = pins_of(lock)
    parts = packages_in(lock)
    notes = []
    for package in CUDA_ONLY.keys() & named & pins.keys():
        for name in CUDA_ONLY[package]:
            others = [each for each in pins if each.startswith("nvidia-") and each != name]
            if name in pins and name not in named and not others:
                del parts[name]
                notes.append(
                    f"{name} {pins[name]} is left out: {package} uses it on GPUs only, and this machine has none; "
                    "TRIVET_CUDA_PACKAGES=always installs it"
                )
    return ("".join(f"{part}\n" for part in parts.values()) if notes else lock), tuple(notes)


def _names(requirements: Sequence[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}
