"""Rebuilds environments that were removed, or that only another machine has."""

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

# Reasons that are final. All others may pass, such as an index that does not answer.
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
    """Rebuilds an environment with the interpreter and the releases that it had.

    If those are gone, uses the nearest interpreter, and at last the current releases. The result replaces the lost one from
    now on, so that a version's releases do not change again.

    Args:
        store: where it is missing.
        lost: its digest.
        spec: what it was built for.
        releases: what it held, `name==version`.
        python_version: of its interpreter, `3.8.18`.
        offline: fetch nothing.
        wheels: a folder of wheels to take packages from, before any index.
        report: receives progress, and a `warning` if the packages differ.

    Raises:
        BadEnvironment, Unavailable: as for `EnvironmentStore.ensure`. A failure that may pass does not lead to other releases.
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
    """The result of the first attempt that succeeds; the error of the last one."""
    for ensure in tries[:-1]:
        try:
            return ensure()
        except BadEnvironment as error:
            if error.reason not in LASTING:
                raise
    return tries[-1]()


def _difference(had: Collection[str], has: Collection[str]) -> str:
    """The packages that were added, changed or removed."""
    news = [line for line in has if line not in had]
    names = {line.partition("==")[0] for line in has}
    gone = [f"no {name}" for name in (line.partition("==")[0] for line in had) if name not in names]
    changes = [*news, *gone]
    more = f" and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else ""
    return ", ".join(changes[:MOST_NAMED]) + more
