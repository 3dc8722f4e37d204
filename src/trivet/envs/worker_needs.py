"""What the worker needs in every environment."""

import importlib.metadata
import re
from collections.abc import Iterable

from trivet.errors import BadEnvironment

__all__ = ["modules_of", "requirements_of_worker"]

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def requirements_of_worker() -> tuple[str, ...]:
    """The dependencies of the trivet-worker distribution; its own code travels beside the environment.

    Raises:
        BadEnvironment: it is not installed.
    """
    try:
        lines = importlib.metadata.requires("trivet-worker") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise BadEnvironment(
            "trivet-worker is not installed", why="environments hold what it needs", fix="install Trivet again"
        ) from error
    return tuple(line for line in lines if "extra ==" not in line)


def modules_of(requirements: Iterable[str]) -> tuple[str, ...]:
    """The modules of the worker's requirements: they have the names of their distributions."""
    names = (_NAME.match(line) for line in requirements)
    return tuple(name[0].lower().replace("-", "_") for name in names if name is not None)
