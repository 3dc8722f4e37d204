"""Requirements -> a lock with hashes: which Python, which versions, which known-bad pairs to keep apart."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from trivet.domain.environment import EnvironmentSpec
from trivet.envs.failures import WHAT, Circumstances, explanation, is_about_python, uv_error
from trivet.envs.interpreters import OWN_MINOR, Interpreter, choose, describe, nearest_first, parse_wanted
from trivet.envs.known_bad import Avoided, avoid, pins_of
from trivet.envs.progress import Progress
from trivet.envs.uv_calls import Uv, UvFailedError
from trivet.errors import BadEnvironment

__all__ = ["Resolved", "checked_requirements", "resolve"]

_MAX_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A lock for one interpreter, with notes for the user."""

    lock: str
    interpreter: Interpreter
    notes: tuple[str, ...]


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
    the others on this machine. `constraints` limit versions; they do not request packages.

    Raises:
        BadEnvironment: the interpreter was not found; or there is no solution, with uv's own text.
    """
    wanted = parse_wanted(spec.python) if spec.python is not None else None
    first = choose(interpreters, wanted or OWN_MINOR)
    others = nearest_first(interpreters, minor=first.minor) if wanted is None else ()
    requirements = (*checked_requirements(spec.requirements), *worker)
    failure: UvFailedError | None = None
    for interpreter in (first, *others):
        report("resolving", f"for Python {interpreter.version_text}", None, None)
        compile_ = _compiler(uv, requirements, limits=constraints, interpreter=interpreter, spec=spec)
        try:
            lock, notes = _apart(compile_, report=report)
        except UvFailedError as error:
            failure = failure or error
            if not is_about_python(error.stderr):
                break
        else:
            chosen = _why_chosen(failure, interpreter=interpreter, first=first)
            return Resolved(lock=lock, interpreter=interpreter, notes=(*chosen, *notes))
    assert failure is not None
    # The first error is about the Python that was meant; the later ones are about substitutes.
    there = replace(about, python=first.version_text, there=describe(interpreters), worker=" and ".join(worker))
    raise uv_error(failure.stderr, about=there, timed_out=failure.timed_out) from failure


def _compiler(
    uv: Uv, requirements: Sequence[str], *, limits: Sequence[str], interpreter: Interpreter, spec: EnvironmentSpec
) -> Callable[[Sequence[str]], str]:
    return lambda more: uv.compile(
        requirements, constraints=(*limits, *more), python=interpreter, as_of=spec.resolve_as_of
    )


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


def _why_chosen(failure: UvFailedError | None, *, interpreter: Interpreter, first: Interpreter) -> tuple[str, ...]:
    if failure is None:
        return ()
    lines = [line for line in explanation(failure.stderr).splitlines() if not line.startswith("No solution found")]
    reason = lines[0].removeprefix("Because ").split(", we can conclude")[0] if lines else "they do not resolve"
    versions = f"Python {interpreter.version_text} was chosen in place of {first.version_text}"
    return (f"{versions}: {re.split(r' and you require | depends on ', reason)[0]}",)
