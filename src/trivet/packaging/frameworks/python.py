"""Python steps: one function `process_data` at the top level of one module."""

import ast

from trivet.domain.package import Contents, EntryPoint
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import Evidence, Unpacked, no_modules
from trivet.packaging.requirements import REQUIREMENTS, names_project, parse_requirements
from trivet.packaging.sources.resolve import Sources
from trivet.packaging.sources.signatures import (
    arguments_text,
    first_annotation,
    means_frame,
    means_no_arrays,
    takes_one,
)
from trivet.packaging.sources.source import Member

__all__ = ["ENTRY", "detect", "find_functions", "inspect"]

ENTRY = "process_data"
SIGNATURE = f"write it as 'def {ENTRY}(input_data: InferenceData) -> InferenceData'"


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`."""
    found = find_functions(package.sources)
    return Evidence(why=f"{found[0].name} is a step's function", place=found[0].place) if found else None


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. The environment of a step always has pandas."""
    notes: list[str] = []
    requirements: tuple[str, ...] = ()
    if REQUIREMENTS in package.paths:
        requirements = parse_requirements(package.root, package.manifest, report=notes.append)
    if not any(names_project(line, "pandas") for line in requirements):
        requirements = (*requirements, "pandas")
    sources = package.sources
    if not sources.modules:
        raise no_modules(package)
    found = find_functions(sources)
    if not found:
        raise _no_function(sources, file_name=package.name)
    if len(found) > 1:
        raise BadPackage(
            f"Multiple {ENTRY} functions found: {', '.join(each.file for each in found)}.  Only one is allowed.",
            fix="keep one, and rename the others",
            path=", ".join(each.place for each in found),
            reason="several_functions",
        )
    _check_signature(found[0], sources)
    notes.extend(f"{each.place} is ignored: {each.why}" for each in sources.broken)
    return Contents(
        entry={"function": EntryPoint(file=found[0].file, name=ENTRY, line=found[0].line)},
        requirements=requirements,
        notes=tuple(notes),
    )


def find_functions(sources: Sources) -> tuple[Member, ...]:
    """Every `process_data` that a module defines or assigns; an imported one counts only in its own module."""
    found = []
    for module in sources.modules.values():
        if ENTRY in module.functions:
            found.append(module.functions[ENTRY])
        elif ENTRY in module.aliases:
            found.append(Member(name=ENTRY, file=module.file, line=module.aliases[ENTRY][0].lineno))
    return tuple(sorted(found, key=lambda each: each.file))


def _no_function(sources: Sources, *, file_name: str) -> BadPackage:
    why = "no module defines one at its top level"
    path = None
    fix = f"add one: {SIGNATURE}"
    for source in sources.classes:
        if ENTRY in source.members:
            member = source.members[ENTRY]
            why, path, fix = f"{source.name} has one as a method", member.place, "move it out of the class"
    if sources.broken:
        why, path = f"{sources.broken[0].file} cannot be read: {sources.broken[0].why}", sources.broken[0].place
        fix = "fix the file"
    return BadPackage(f"No {ENTRY} function found in {file_name}", why=why, fix=fix, path=path, reason="no_function")


def _check_signature(function: Member, sources: Sources) -> None:
    if function.arguments is None:
        return  # the signature of an assigned name is only known when the code runs
    why = None
    annotation = first_annotation(function, bound=0)
    if not takes_one(function, bound=0):
        why = f"it takes {arguments_text(function, bound=0)}"
    elif (
        annotation is not None
        and not means_frame(annotation, function.file, sources)
        and means_no_arrays(annotation, function.file, sources)
    ):
        why = f"it expects {ast.unparse(annotation)}"
    if why is not None:
        raise BadPackage(
            f"{ENTRY} must be a function of one argument, a dictionary of numpy arrays or a pandas DataFrame",
            why=why,
            fix=SIGNATURE,
            path=function.place,
            reason="wrong_signature",
        )
