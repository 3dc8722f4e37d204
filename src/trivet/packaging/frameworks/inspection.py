"""The input and output of an inspector: each framework has a module with `detect` and `inspect`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Protocol, cast

from trivet.domain.frameworks import FRAMEWORKS, Framework, frameworks_of
from trivet.domain.package import Contents, Manifest
from trivet.errors import BadPackage
from trivet.packaging.requirements import REQUIREMENTS, names_project, parse_requirements
from trivet.packaging.settings import SETTINGS_NAME
from trivet.packaging.sources.resolve import Sources, read_sources

__all__ = [
    "Evidence",
    "Inspector",
    "Unpacked",
    "by_suffix",
    "found_file",
    "inspector_of",
    "listed",
    "model_file",
    "no_modules",
    "requirements_of",
    "shown_name",
]

MAX_LISTED = 5
HEAD_BYTES = 64 << 10
_PROJECT = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A package's files, within the limits, not checked otherwise.

    Attributes:
        root: the folder that holds the manifest's files.
        name: the package's name, for messages.
        model: the file that its settings name, if any.
        requirements_required: whether a custom model must have a `requirements.txt`.
        trust: load a pickle or code that the check refuses.
    """

    root: Path
    manifest: Manifest
    name: str
    model: str | None = None
    requirements_required: bool = True
    trust: bool = False

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The path of every file."""
        return tuple(each.path for each in self.manifest.files)

    @cached_property
    def sources(self) -> Sources:
        """Its Python sources, parsed on first use."""
        return read_sources(self.root, self.manifest)

    def head(self, path: str, *, size: int = HEAD_BYTES) -> bytes:
        """The first bytes of a file; empty if it cannot be read."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(size)
        except OSError:
            return b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Why a package may belong to a framework, and the place in the package that shows it."""

    why: str
    place: str


class Inspector(Protocol):
    """The functions that a module of this folder has; one for several frameworks has `inspector_of`, which makes each's inspector."""

    def detect(self, package: Unpacked) -> Evidence | None:
        """The evidence that a package belongs to the framework, if any.

        It looks into files, because several frameworks write files of one suffix. It reads a bounded part and loads nothing.
        """

    def inspect(self, package: Unpacked) -> Contents:
        """Check a package, and find the parts that a runtime loads. Nothing of it is run.

        Raises:
            BadPackage: it does not follow the framework's convention.
        """


def inspector_of(framework: Framework) -> Inspector:
    """The inspector that the table of frameworks names."""
    module = import_module(f"trivet.packaging.frameworks.{FRAMEWORKS[framework].inspector}")
    return cast("Inspector", module.inspector_of(framework) if hasattr(module, "inspector_of") else module)


def by_suffix(package: Unpacked, framework: Framework) -> tuple[str, ...]:
    """The files that the framework may have written: the one that the settings name, else all with a suffix of it."""
    paths = package.paths if package.model is None else (package.model,)
    return tuple(each for each in paths if each != REQUIREMENTS and framework in frameworks_of(each))


def found_file(package: Unpacked, framework: Framework, wrote: Callable[[str], bool]) -> Evidence | None:
    """The first file of the framework, as evidence.

    Args:
        package: the files.
        framework: whose suffixes count.
        wrote: whether the framework wrote a file, by its content.
    """
    found = next((each for each in by_suffix(package, framework) if wrote(each)), None)
    if found is None:
        return None
    return Evidence(why=f"{found} is the file of {FRAMEWORKS[framework].title}", place=found)


def model_file(package: Unpacked, framework: Framework, wrote: Callable[[str], bool] | None = None) -> str:
    """The model's file: the one that the settings name, else the only one with a suffix of the framework.

    Args:
        package: the files.
        framework: whose file it is.
        wrote: whether the framework wrote a file, which decides between several.

    Raises:
        BadPackage: the package has none, or more than one.
    """
    if package.model is not None:
        return package.model
    shown = " or ".join(FRAMEWORKS[framework].suffixes)
    paths = list(by_suffix(package, framework))
    if len(paths) > 1 and wrote is not None:
        paths = [each for each in paths if wrote(each)] or paths
    paths = [each for each in paths if "/" not in each] or paths
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise BadPackage(
            f"There are {len(paths)} {shown} files in {package.name!r}",
            why=f"they are {listed(paths)}",
            fix=f"name the one to serve, with 'model: {PurePosixPath(paths[0]).name}' in a {SETTINGS_NAME} beside it",
            path=package.name,
            reason="several_models",
        )
    raise BadPackage(
        f"There is no {shown} file in {package.name!r}",
        why=f"it holds {listed(package.paths)}" if package.paths else "it is empty",
        fix="add the model file, or name another framework",
        path=package.name,
        reason="no_model",
    )


def shown_name(package: Unpacked, file: str) -> str:
    """What messages call a model's file: a package of one file has that file's name."""
    return package.name if len(package.paths) == 1 else file


def requirements_of(package: Unpacked, *needs: str, report: Callable[[str], None]) -> tuple[str, ...]:
    """What the environment of a model file holds: its requirements.txt, and the needs of which that names no project.

    Args:
        package: the file, and what is beside it.
        needs: PEP 508 lines.
        report: called with each note about the requirements.txt.

    Raises:
        BadPackage: the requirements.txt is wrong.
    """
    own: tuple[str, ...] = ()
    if REQUIREMENTS in package.paths:
        own = parse_requirements(package.root, package.manifest, report=report)
    named = [need for need in needs if not any(names_project(line, _PROJECT.split(need, 1)[0]) for line in own)]
    return (*own, *named)


def no_modules(package: Unpacked) -> BadPackage:
    """The error about a package without a readable source."""
    what = f"No Python modules found in the model directory: {package.name}"
    broken = package.sources.broken
    if not broken:
        return BadPackage(what, fix="add the .py file with the model's classes", reason="no_modules")
    first, others = broken[0], len(broken) - 1
    why = first.why + (f"; {others} more cannot be read" if others else "")
    return BadPackage(
        what,
        why=why,
        fix="fix the file, or, if it needs a newer Python, run Trivet on that Python",
        path=first.place,
        reason="no_modules",
    )


def listed(paths: Sequence[str]) -> str:
    """The first few of the paths, and how many more there are."""
    more = f" and {len(paths) - MAX_LISTED} more" if len(paths) > MAX_LISTED else ""
    return ", ".join(paths[:MAX_LISTED]) + more
