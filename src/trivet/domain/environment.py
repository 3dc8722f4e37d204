"""Environments: a set of requirements, and the interpreter built from its lock."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from trivet.domain.digest import Digest

__all__ = ["Environment", "EnvironmentSpec"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentSpec:
    """What an environment must hold.

    Attributes:
        requirements: PEP 508 lines, checked.
        python: the version of the interpreter, `3.8` or `3.8.18`; None lets Trivet choose.
        resolve_as_of: ignore releases made after this day.
    """

    requirements: tuple[str, ...]
    python: str | None = None
    resolve_as_of: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """A finished environment: complete, locked, and immutable.

    Attributes:
        digest: of lock, interpreter version and platform.
        python: the interpreter's path inside the environment.
        python_version: `3.8.18`.
        lock: the resolved requirements with hashes.
        notes: for the user (a known-bad pair that was avoided, a Python that was chosen).
    """

    digest: Digest
    python: Path
    python_version: str
    lock: str
    notes: tuple[str, ...] = ()
