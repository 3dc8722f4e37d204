"""Detects the framework of a package by its code and the content of its files, and checks the package."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from trivet.domain.digest import digest_of_bytes
from trivet.domain.frameworks import FRAMEWORKS, HUGGING_FACE, Framework, frameworks_of, listed_suffixes
from trivet.domain.package import Contents, Manifest, PackageFile
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import (
    Evidence,
    Unpacked,
    by_suffix,
    inspector_of,
    listed,
    no_modules,
)
from trivet.packaging.requirements import REQUIREMENTS
from trivet.packaging.settings import SETTINGS_NAME

__all__ = ["detect_framework", "framework_of_file", "framework_of_folder", "inspect_package", "no_such_model"]

OF_ANYTHING = frozenset({".json", ".txt"})
"""Suffixes of models that most other files have, too."""


def inspect_package(package: Unpacked, *, framework: Framework | None) -> tuple[Framework, Contents]:
    """Detect a package's framework, and check it. Nothing of it is run.

    Args:
        package: its files.
        framework: named by the owner; None to detect it.

    Raises:
        BadPackage: it fits no framework, or more than one, or does not follow its convention.
    """
    if package.model is not None:
        _check_named(package.model, package.paths)
    if framework is None:
        framework = detect_framework(package)
    else:
        _check_framework(package, framework)
    contents = inspector_of(framework).inspect(package)
    broken = (
        package.sources.needed_broken([entry.file for entry in contents.entry.values()]) if contents.entry else None
    )
    if broken is not None:
        raise BadPackage(
            f"{broken.file} cannot be read, and the model imports it",
            why=broken.why,
            fix="fix the file, or, if it needs a newer Python, run Trivet on that Python",
            path=broken.place,
            reason="no_modules",
        )
    return framework, contents


def detect_framework(package: Unpacked) -> Framework:
    """The framework of a package, by its files.

    Raises:
        BadPackage: it fits no framework, or more than one.
    """
    candidates = _by_files(package)
    if len(candidates) == 1:
        return candidates[0]
    found = _evidence(package, candidates or tuple(FRAMEWORKS))
    # Code counts before models, since code may load them; a model that is a folder before one that is a file in it.
    rank = max(map(_rank, found), default=None)
    strongest = {each: why for each, why in found.items() if _rank(each) == rank}
    if len(strongest) > 1:
        raise _ambiguous(strongest, name=package.name)
    if strongest:
        return next(iter(strongest))
    # A file whose content says nothing may be broken: the check of the first framework of its suffix says how.
    unknown = next((each for each in FRAMEWORKS if _likely(package, each, candidates)), None)
    if unknown is None:
        raise _nothing_known(package)
    return unknown


def _likely(package: Unpacked, framework: Framework, candidates: Sequence[Framework]) -> bool:
    """Whether the package has a file that is likely to be a model of the framework, whatever is in it."""
    files = by_suffix(package, framework)
    return framework in candidates or any(PurePosixPath(each).suffix.lower() not in OF_ANYTHING for each in files)


def _rank(framework: Framework) -> tuple[bool, bool]:
    return FRAMEWORKS[framework].is_code, FRAMEWORKS[framework].sent_as == "folder"


def framework_of_file(path: Path) -> Framework:
    """The framework of a model's file, by its suffix and its content. A bounded part of it is read.

    Raises:
        BadPackage: no framework writes such files, or its content fits more than one.
    """
    # Detection reads no digest.
    file = PackageFile(path=path.name, size=path.stat().st_size, sha256=digest_of_bytes(b""))
    return detect_framework(Unpacked(root=path.parent, manifest=Manifest(files=(file,)), name=path.name))


def framework_of_folder(root: Path, files: Sequence[str], *, name: str) -> Framework | None:
    """The task of a folder of Hugging Face; None if it is not one.

    Args:
        root: where its config.json and model_index.json files are; the others need not be there.
        files: the paths of all.
        name: the package's name, for messages.

    Raises:
        BadPackage: its class has several tasks.
    """
    digest = digest_of_bytes(b"")
    manifest = Manifest(files=tuple(PackageFile(path=each, size=0, sha256=digest) for each in files))
    found = _evidence(Unpacked(root=root, manifest=manifest, name=name), HUGGING_FACE)
    if len(found) > 1:
        raise _ambiguous(found, name=name)
    return next(iter(found), None)


def no_such_model(model: str, names: Sequence[str], *, where: str) -> BadPackage:
    """The error about settings (`where`) that name a model which is not one of the files `names`."""
    near = get_close_matches(model, names, n=1)
    return BadPackage(
        f"The settings name the model {model!r}, and this file does not exist",
        fix=f"did you mean {near[0]!r}?" if near else "name a file beside the settings",
        path=f"{where}: model",
        reason="no_model",
    )


def _by_files(package: Unpacked) -> tuple[Framework, ...]:
    """The frameworks of the file that the settings name, or of a package of model files only."""
    files = package.paths if package.model is None else (package.model,)
    kinds = {() if each == REQUIREMENTS else frameworks_of(each) for each in files}
    return kinds.pop() if len(kinds) == 1 else ()


def _evidence(package: Unpacked, candidates: Sequence[Framework]) -> dict[Framework, Evidence]:
    found = {each: inspector_of(each).detect(package) for each in candidates}
    return {each: evidence for each, evidence in found.items() if evidence is not None}


def _check_framework(package: Unpacked, framework: Framework) -> None:
    """Check that the files do not contradict the framework that the owner names."""
    candidates = _by_files(package)
    fits = framework in candidates or not candidates
    if fits and (FRAMEWORKS[framework].sent_as == "folder" or inspector_of(framework).detect(package) is not None):
        return
    others = [each for each in candidates or FRAMEWORKS if FRAMEWORKS[each].sent_as == "file"]
    # A suffix that only models have is enough, whatever is in the file.
    by_name = [each for each in others if not fits and _likely(package, each, ())]
    what = next(iter((*_evidence(package, others), *by_name)), None)
    if what is not None:
        raise BadPackage(
            f"{package.name!r} is {FRAMEWORKS[what].title}, and not {FRAMEWORKS[framework].title}",
            fix=f"remove the framework, or put the file into a zip with a {framework} model that loads it",
            path=package.name,
        )


def _ambiguous(found: dict[Framework, Evidence], *, name: str) -> BadPackage:
    flags = " or ".join(f"--framework {each}" for each in found)
    titles = dict.fromkeys(FRAMEWORKS[each].title for each in found)
    return BadPackage(
        f"{name!r} is {' and '.join(titles)} {'at once' if len(titles) > 1 else 'for more than one task'}",
        why=", and ".join(each.why for each in found.values()),
        fix=f"choose with {flags}, or with framework in trivet.yaml",
        path=", ".join(dict.fromkeys(each.place for each in found.values())),
        reason="ambiguous",
    )


def _nothing_known(package: Unpacked) -> BadPackage:
    """The error about a package without a class, a function or a model file."""
    paths, sources = package.paths, package.sources
    means_custom = REQUIREMENTS in paths or any(
        target.startswith("mac.inference") for module in sources.modules.values() for target in module.names_used()
    )
    broken = sources.broken[0] if sources.broken else None
    if not sources.modules and (broken is not None or REQUIREMENTS in paths):
        return no_modules(package)
    # Frameworks with code first: most failures are folders with the wrong code.
    known = sorted(dict.fromkeys(FRAMEWORKS.values()), key=lambda facts: (not facts.is_code, facts.sent_as == "file"))
    absent = [facts.absent for facts in known]
    why = f"{', '.join(absent[:-1])}, and {absent[-1]}"
    if broken is not None:
        why += f"; {broken.file} cannot be read: {broken.why}"
    if not sources.modules:
        why = f"it holds {listed(paths)}" if paths else "it is empty"
    return BadPackage(
        "No Inference-inherited class found in the model directory"
        if means_custom
        else f"There is no model in {package.name!r}",
        why=why,
        fix="; ".join(f"{facts.title} {facts.needs}" for facts in known),
        path=broken.place if broken is not None else None,
        reason="no_class" if means_custom else "no_model",
    )


def _check_named(model: str, paths: Sequence[str]) -> None:
    if model not in paths:
        raise no_such_model(model, paths, where=SETTINGS_NAME)
    if not frameworks_of(PurePosixPath(model).name):
        raise BadPackage(
            f"{model!r} cannot be the model",
            why=f"model names {listed_suffixes()} of the package, or, in a folder, a .zip",
            fix="remove model: the entry point of Python code is found in its sources",
            path=f"{SETTINGS_NAME}: model",
        )
