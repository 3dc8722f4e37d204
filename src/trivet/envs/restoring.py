"""Environments that were removed, or that another machine had, built again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from trivet.domain.digest import Digest
from trivet.domain.environment import Environment, EnvironmentSpec
from trivet.envs.known_bad import packages_of
from trivet.envs.progress import Progress, silent
from trivet.envs.store import EnvironmentStore
from trivet.errors import BadEnvironment

__all__ = ["restore"]

# Why an environment cannot be had, today or tomorrow. All else, as an index that does not answer, may pass.
LASTING = {
    "build_failed", "no_solution", "no_such_package", "no_such_version", "not_in_cache", "not_in_wheels",
    "python_mismatch", "python_not_found",
}  # fmt: skip
MOST_NAMED = 10


def restore(
    store: EnvironmentStore,
    lost: Digest,
    spec: EnvironmentSpec,
    *,
    releases: tuple[str, ...],
    python_version: str | None,
    offline: bool = False,
    wheels: Path | None = None,
    report: Progress = silent,
) -> Environment:
    """Builds an environment again: with the interpreter and the releases that it had.

    Where those cannot be had any more, with the nearest interpreter, and at last with the releases of today. Whatever it is, it
    stands in for the lost one from now on, so that a version does not change its releases again by itself.

    Args:
        store: where it is missing.
        lost: its digest.
        spec: what it was built for.
        releases: what it held, `name==version`.
        python_version: of its interpreter, `3.8.18`.
        offline: fetch nothing.
        wheels: a folder of wheels to take packages from, before any index.
        report: told what is going on; `warning` where the packages are others.

    Raises:
        BadEnvironment, Unavailable: as `EnvironmentStore.ensure` says. What may pass is no reason to take other releases.
    """
    minor = None if python_version is None else ".".join(python_version.split(".")[:2])
    nearest = spec.python or minor
    tries = dict.fromkeys([(releases, python_version or nearest), (releases, nearest), ((), spec.python)])
    ensure = partial(store.ensure, offline=offline, wheels=wheels, report=report)
    built = _first([partial(ensure, replace(spec, python=python), releases=pins) for pins, python in tries])
    if difference := _difference(releases, packages_of(built.lock)):
        report("warning", f"its environment was built again, with other packages: {difference}", None, None)
    if built.digest != lost:
        store.stand_in(built, lost=lost)
    return built


def _first(tries: Sequence[Callable[[], Environment]]) -> Environment:
    """What the first of them gives that gives anything; the error of the last one."""
    for ensure in tries[:-1]:
        try:
            return ensure()
        except BadEnvironment as error:
            if error.reason not in LASTING:
                raise
    return tries[-1]()


def _difference(had: Collection[str], has: Collection[str]) -> str:
    """What is there now and was not, or the other way round."""
    news = [line for line in has if line not in had]
    names = {line.partition("==")[0] for line in has}
    gone = [f"no {name}" for name in (line.partition("==")[0] for line in had) if name not in names]
    said = [*news, *gone]
    return ", ".join(said[:MOST_NAMED]) + (f" and {len(said) - MOST_NAMED} more" if len(said) > MOST_NAMED else "")
