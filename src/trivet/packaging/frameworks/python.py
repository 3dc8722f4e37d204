"""Python steps: one function `process_data` at the top level of one module."""

import ast
from collections.abc import Callable
from pathlib import Path

from trivet.domain.package import EntryPoint, Manifest, PythonStepContents
from trivet.errors import BadPackage
from trivet.packaging.frameworks.custom import no_modules
from trivet.packaging.requirements import REQUIREMENTS, parse_requirements
from trivet.packaging.sources.resolve import Sources, read_sources
from trivet.packaging.sources.signatures import arguments_text, first_annotation, means_no_arrays, takes_one
from trivet.packaging.sources.source import Member

__all__ = ["ENTRY", "find_functions", "inspect_python_step"]

ENTRY = "process_data"
AS_WANTED = f"write it as 'def {ENTRY}(input_data: InferenceData) -> InferenceData'"


def inspect_python_step(
    root: Path,
    manifest: Manifest,
    *,
    file_name: str,
    sources: Sources | None = None,
    report: Callable[[str], None],
) -> PythonStepContents:
    """Check a Python step's package and find its function.

    Args:
        root: the folder that holds the manifest's files.
        manifest: the package's files.
        file_name: what the user calls the package.
        sources: its sources, if they were read before.
        report: told what does not stop it from being served.

    Raises:
        BadPackage: there is no such function, or more than one, or it does not take one argument; or the requirements
            are not taken.
    """
    requirements = REQUIREMENTS if any(each.path == REQUIREMENTS for each in manifest.files) else None
    if requirements is not None:
        parse_requirements(root, manifest, report=report)
    sources = sources or read_sources(root, manifest)
    if not sources.modules:
        raise no_modules(sources, file_name=file_name)
    found = find_functions(sources)
    if not found:
        raise _no_function(sources, file_name=file_name)
    if len(found) > 1:
        raise BadPackage(
            f"Multiple {ENTRY} functions found: {', '.join(each.file for each in found)}.  Only one is allowed.",
            fix="leave one, and give the others other names",
            path=", ".join(each.place for each in found),
            reason="several_functions",
        )
    _check_signature(found[0], sources)
    for each in sources.broken:
        report(f"{each.place} is left aside: {each.why}")
    return PythonStepContents(
        function=EntryPoint(file=found[0].file, name=ENTRY, line=found[0].line), requirements=requirements
    )


def find_functions(sources: Sources) -> tuple[Member, ...]:
    """Every `process_data` that a module defines, or gives that name to; imported ones belong to where they come from."""
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
    fix = f"add one: {AS_WANTED}"
    for source in sources.classes:
        if ENTRY in source.members:
            member = source.members[ENTRY]
            why, path, fix = f"{source.name} has one as a method", member.place, "move it out of the class"
    if sources.broken:
        why, path = f"{sources.broken[0].file} cannot be read: {sources.broken[0].why}", sources.broken[0].place
        fix = "mend the file"
    return BadPackage(f"No {ENTRY} function found in {file_name}", why=why, fix=fix, path=path, reason="no_function")


def _check_signature(function: Member, sources: Sources) -> None:
    if function.arguments is None:
        return  # a name that was assigned: only running it could tell
    why = None
    annotation = first_annotation(function, bound=0)
    if function.is_async:
        why = "it is async, and is called without await"
    elif not takes_one(function, bound=0):
        why = f"it takes {arguments_text(function, bound=0)}"
    elif annotation is not None and means_no_arrays(annotation, function.file, sources):
        why = f"it wants {ast.unparse(annotation)}"
    if why is not None:
        raise BadPackage(
            f"{ENTRY} must be a function of one argument, a dictionary of numpy arrays",
            why=why,
            fix=AS_WANTED,
            path=function.place,
            reason="wrong_signature",
        )
