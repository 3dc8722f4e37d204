"""Requirements -> a lock with hashes: which Python, which versions, which known-bad pairs to keep apart."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from trivet.domain.environment import EnvironmentSpec
from trivet.envs.failures import WHAT, Circumstances, explanation, is_about_python, uv_error, without_wheels
from trivet.envs.interpreters import OWN_MINOR, Interpreter, choose, describe, newest_first, parse_wanted
from trivet.envs.known_bad import Avoided, avoid, pins_of
from trivet.envs.progress import Progress
from trivet.envs.uv_calls import Uv, UvFailedError
from trivet.errors import BadEnvironment

__all__ = ["Resolved", "checked_requirements", "resolve"]

_MAX_ROUNDS = 5
# Specifiers that keep a package from its newest releases.
_LIMITS = frozenset({"==", "===", "~=", "<", "<="})


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A lock for one interpreter, with notes for the user. `sources`: packages without a wheel for any Python here."""

    lock: str
    interpreter: Interpreter
    notes: tuple[str, ...]
    sources: tuple[str, ...] = ()


def checked_requirements(lines: Sequence[str]) -> tuple[str, ...]:
    """PEP 508 lines in their usual form.

    Raises:
        BadEnvironment: a line is not a requirement, or names an address instead of an index's package.
    """
    checked = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except (InvalidRequirement, InvalidVersion) as error:
            raise BadEnvironment(
                WHAT,
                why=f"'{line}' is not a requirement: {str(error).splitlines()[0]}",
                fix="write it as name==version",
                reason="bad_requirement",
            ) from error
        if requirement.url is not None:
            raise BadEnvironment(
                WHAT,
                why=f"'{requirement.name}' comes from an address of its own",
                fix="ask for it by version, and put its wheel into a wheels folder or an index",
                reason="bad_requirement",
            )
        checked.append(str(requirement))
    return tuple(checked)


def resolve(
    spec: EnvironmentSpec,
    *,
    worker: Sequence[str],
    interpreters: Sequence[Interpreter],
    uv: Uv,
    about: Circumstances,
    report: Progress,
    constraints: Sequence[str] = (),
) -> Resolved:
    """Finds versions that work together, and an interpreter for them.

    Where the spec names no Python, our own minor release is tried first and then, if the reason is Python's version,
    the others on this machine, the newest first. A package that is pinned needs a wheel for the interpreter, unless it
    has none for any of them. `constraints` limit versions; they do not request packages.

    Raises:
        BadEnvironment: the interpreter was not found; or there is no solution, with uv's own text.
    """
    wanted = parse_wanted(spec.python) if spec.python is not None else None
    first = choose(interpreters, wanted or OWN_MINOR)
    others = newest_first(interpreters, besides=first.minor) if wanted is None else ()
    requirements = (*checked_requirements(spec.requirements), *worker)
    search = _Search(
        requirements=requirements,
        constraints=tuple(constraints),
        candidates=(first, *others),
        as_of=spec.resolve_as_of,
        uv=uv,
        report=report,
    )
    try:
        return search.with_wheels(_pinned(requirements, worker)) if wanted is None else search.over(())
    except _NoneFitsError as error:
        # The first failure is about the Python that was meant; the later ones are about substitutes.
        failure = error.failures[0]
        there = replace(about, python=first.version_text, there=describe(interpreters), worker=" and ".join(worker))
        raise uv_error(failure.stderr, about=there, timed_out=failure.timed_out) from failure


class _NoneFitsError(Exception):
    """The requirements resolve for no candidate. `failures`: one for each that was tried."""

    def __init__(self, failures: Sequence[UvFailedError]) -> None:
        super().__init__()
        self.failures = failures


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    """Tries to resolve requirements for one interpreter after the other."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    candidates: tuple[Interpreter, ...]
    as_of: date | None
    uv: Uv
    report: Progress

    def with_wheels(self, pinned: Sequence[str]) -> Resolved:
        """Prefers an interpreter for which every pinned package has a wheel; if there is none, packages may be built.

        Raises:
            _NoneFitsError: the requirements do not resolve, even with builds.
        """
        needed = tuple(pinned)
        sources: tuple[str, ...] = ()
        while needed:
            try:
                resolved = self.over(needed)
            except _NoneFitsError as error:
                missing = [without_wheels(each.stderr) for each in error.failures]
                named = dict.fromkeys(name for names in missing for name in names if name in needed)
                # Where each candidate has refused an exact release for its missing wheel, there is nothing left to ask.
                everywhere = len(missing) == len(self.candidates)
                built = tuple(
                    name
                    for name in named
                    if (everywhere and all(name in names for names in missing) and self._is_exact(name))
                    or not self._has_wheel(name)
                )
                if not built:
                    break
                self.report(
                    "resolving", f"{', '.join(built)}: no wheel for any Python here, so from source", None, None
                )
                needed = tuple(name for name in needed if name not in built)
                sources += built
            else:
                notes = (f"{name} has no wheel for any Python here: it is built from source" for name in sources)
                return replace(resolved, notes=(*resolved.notes, *notes), sources=sources)
        return self.over(())

    def over(self, only_wheels: Sequence[str]) -> Resolved:
        """The lock for the first candidate that the requirements allow, without builds of the packages `only_wheels`.

        Raises:
            _NoneFitsError: there is none.
        """
        failures: list[UvFailedError] = []
        for interpreter in self.candidates:
            self.report("resolving", f"for Python {interpreter.version_text}", None, None)
            try:
                lock, notes = _apart(
                    partial(self._compile, self.requirements, interpreter, only_wheels), report=self.report
                )
            except UvFailedError as error:
                failures.append(error)
                # What is wrong for the first for another reason is wrong for all.
                if len(failures) == 1 and not is_about_python(error.stderr) and not without_wheels(error.stderr):
                    break
            else:
                chosen = _why_chosen(failures, interpreter=interpreter, first=self.candidates[0])
                return Resolved(lock=lock, interpreter=interpreter, notes=(*chosen, *notes))
        raise _NoneFitsError(failures)

    def _has_wheel(self, name: str) -> bool:
        """Whether a release of the package that the requirements allow has a wheel for one of the candidates."""
        lines = self._lines(name)
        for interpreter in self.candidates:
            with suppress(UvFailedError):
                self._compile(lines, interpreter, (name,), (), dependencies=False)
                return True
        return False

    def _is_exact(self, name: str) -> bool:
        return any(one.operator == "==" for line in self._lines(name) for one in Requirement(line).specifier)

    def _lines(self, name: str) -> list[str]:
        return [line for line in self.requirements if canonicalize_name(Requirement(line).name) == name]

    def _compile(
        self,
        lines: Sequence[str],
        interpreter: Interpreter,
        only_wheels: Sequence[str],
        more: Sequence[str],
        *,
        dependencies: bool = True,
    ) -> str:
        return self.uv.compile(
            lines,
            constraints=(*self.constraints, *more),
            python=interpreter,
            as_of=self.as_of,
            only_wheels=only_wheels,
            dependencies=dependencies,
        )


def _pinned(requirements: Sequence[str], worker: Sequence[str]) -> tuple[str, ...]:
    """The names of packages whose versions are limited from above, and the worker's."""
    parsed = [Requirement(line) for line in requirements]
    limited = [each.name for each in parsed if any(one.operator in _LIMITS for one in each.specifier)]
    names = [*limited, *(Requirement(line).name for line in worker)]
    return tuple(dict.fromkeys(canonicalize_name(name) for name in names))


def _apart(compile_: Callable[[Sequence[str]], str], *, report: Progress) -> tuple[str, tuple[str, ...]]:
    """Resolves until the lock holds no known-bad pair; a pair that the requirements pin stays, with a note."""
    lock = compile_(())
    constraints: list[str] = []
    notes: list[str] = []
    for _ in range(_MAX_ROUNDS):
        found: list[Avoided] = [pair for pair in avoid(pins_of(lock)) if pair.constraint not in constraints]
        if not found:
            break
        constraints += dict.fromkeys(pair.constraint for pair in found)
        report("resolving", f"again, with {', '.join(constraints)}", None, None)
        try:
            lock = compile_(constraints)
        except UvFailedError:
            notes += [f"{pair.note}; the requirements allow no other, so it was left" for pair in found]
            break
        notes += [f"{pair.note}; {pair.constraint} was added" for pair in found]
    return lock, tuple(dict.fromkeys(notes))


def _why_chosen(failures: Sequence[UvFailedError], *, interpreter: Interpreter, first: Interpreter) -> tuple[str, ...]:
    if not failures:
        return ()
    lines = [line for line in explanation(failures[0].stderr).splitlines() if not line.startswith("No solution found")]
    reason = lines[0].removeprefix("Because ").split(", we can conclude")[0] if lines else "they do not resolve"
    reason = re.split(r" and you require | and only | depends on ", reason)[0].replace(
        "no usable wheels", "no wheel for it"
    )
    return (f"Python {interpreter.version_text} was chosen in place of {first.version_text}: {reason}",)
