"""Custom models (BYOP): one class that extends `Inference`, one that extends `InferenceBuilder`, and their members.

The checks, their order and the first words of their messages follow the convention of such packages; Trivet adds the class,
the file and line, and the fix.
"""

import ast
from collections.abc import Callable, Iterator, Sequence

from trivet.domain.package import Contents, EntryPoint
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import Evidence, Unpacked, no_modules
from trivet.packaging.requirements import REQUIREMENTS, names_project, parse_requirements
from trivet.packaging.sources.resolve import Sources, is_of_mac
from trivet.packaging.sources.signatures import arguments_text, first_annotation, means_no_arrays, takes_one
from trivet.packaging.sources.source import ClassSource, Member, dotted, is_top

__all__ = ["detect", "find_classes", "inspect"]

INFERENCE = "Inference"
BUILDER = "InferenceBuilder"
IMPORTS = {
    INFERENCE: "from mac.inference import Inference",
    BUILDER: "from mac.inference.creation import InferenceBuilder",
}

MEMBERS = {
    "inference": "add 'inference', a property that returns the Inference class",
    "create": "add 'def create(self, config)', which returns the Inference with its model",
    "_predict": "add 'def _predict(self, input_data: InferenceData) -> InferenceData'",
    "expected_model_types": "add a property 'expected_model_types' that returns a set of the types the model may have",
}
"""The required members, and how to add them."""

PROVIDED = ("pandas",)
"""Modules that such packages import without naming them; the worker itself brings numpy and pyarrow."""

MAX_CLASSES = 200
"""With more subclasses than this, abstract ones are not filtered out."""
MAX_LISTED = 10

_ABC = {"abc.ABC", "ABC"}
_ABC_META = {"abc.ABCMeta", "ABCMeta"}
# Bases outside the package that have none of the required members.
_PLAIN_BASES = {"object", "abc.ABC", "ABC", "typing.Generic", "typing.Protocol", "Generic", "Protocol"}
_ARRAYS_BY_NAME = "a dictionary of numpy arrays by field name"


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`."""
    sources = package.sources
    found = (*find_classes(INFERENCE, sources), *find_classes(BUILDER, sources))
    if not found:
        return None
    return Evidence(why=f"{found[0].name} extends a class of custom models", place=found[0].place)


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`: the first check that fails raises, in the convention's order."""
    notes: list[str] = []
    sources = package.sources
    own = _requirements(package, report=notes.append)
    requirements = (*own, *_provided(own, sources, report=notes.append))
    if not sources.modules:
        raise no_modules(package)
    inference = _only_class(INFERENCE, sources)
    builder = _only_class(BUILDER, sources)
    _check_builder(builder, sources, report=notes.append)
    predict = _check_inference(inference, sources, report=notes.append)
    if predict is not None:
        _check_signature(predict, inference, sources)
    notes.extend(f"{each.place} is ignored: {each.why}" for each in sources.broken)
    return Contents(
        entry={"inference": _entry(inference), "builder": _entry(builder)},
        requirements=requirements,
        notes=tuple(notes),
    )


def find_classes(name: str, sources: Sources) -> tuple[ClassSource, ...]:
    """The classes that could be a package's `Inference` or `InferenceBuilder`.

    Abstract classes with subclasses do not count. Classes in folders count only if the package's top has none: folders hold
    libraries, tests and older versions.
    """
    extending = sources.extending(name)
    if len(extending) > MAX_CLASSES:
        return extending
    usable = [each for each in extending if not (sources.has_subclass(each) and _is_abstract(each, name, sources))]
    return tuple([each for each in usable if is_top(each.file)] or usable)


def _requirements(package: Unpacked, *, report: Callable[[str], None]) -> tuple[str, ...]:
    if REQUIREMENTS in package.paths:
        return parse_requirements(package.root, package.manifest, report=report)
    if not package.requirements_required:
        report(f"there is no {REQUIREMENTS} at the top of {package.name}: it counts as empty")
        return ()
    file_name = package.name
    fix = f"add a {REQUIREMENTS} to the top of {file_name}; it may be empty"
    alike = next((path for path in package.paths if path.rpartition("/")[2].lower() == REQUIREMENTS), None)
    if alike is not None:
        fix = f"rename {alike} to {REQUIREMENTS}"
        if "/" in alike:
            fix = f"move {alike} to the top of {file_name}, or upload only the folder {alike.rpartition('/')[0]}"
    raise BadPackage(
        "Framework.CUSTOM requires a requirements.txt to be included within the uploaded .zip file",
        fix=fix,
        path=REQUIREMENTS,
        reason="no_requirements",
    )


def _provided(requirements: Sequence[str], sources: Sources, *, report: Callable[[str], None]) -> Iterator[str]:
    """The modules of `PROVIDED` that the package imports, and neither has itself nor requires."""
    for name in PROVIDED:
        places = [
            f"{file}:{module.libraries[name]}" for file, module in sources.modules.items() if name in module.libraries
        ]
        own = {f"{name}.py", f"{name}/__init__.py"} & sources.modules.keys()
        if places and not own and not any(names_project(line, name) for line in requirements):
            report(
                f"{name} is added to the environment, because {places[0]} imports it and {REQUIREMENTS} does not name it; "
                f"add a line such as '{name}==…' to {REQUIREMENTS} to keep its version"
            )
            yield name


def _only_class(name: str, sources: Sources) -> ClassSource:
    found = find_classes(name, sources)
    if len(found) == 1:
        return found[0]
    if not found:
        raise _no_class(name, sources)
    if any(sources.has_subclass(each) for each in found):
        fix = f"make the class that others extend abstract, as in 'class Base({name}, abc.ABC)'"
    else:
        fix = "keep one at the top of the package, and remove the others or move them into folders"
    names = ", ".join(repr(each.name) for each in found[:MAX_LISTED])
    more = ", ..." if len(found) > MAX_LISTED else ""
    raise BadPackage(
        f"Multiple {name}-inherited classes found: [{names}{more}].  Only one is allowed.",
        fix=fix,
        path=", ".join(each.place for each in found[:MAX_LISTED]),
        reason="several_classes",
    )


def _no_class(name: str, sources: Sources) -> BadPackage:
    what = f"No {name}-inherited class found in the model directory"
    if sources.broken:
        first = sources.broken[0]
        return BadPackage(
            what,
            why=f"{first.file} cannot be read: {first.why}",
            fix=f"fix the file; if it does not hold the class, write one that extends {name}",
            path=first.place,
            reason="no_class",
        )
    why = path = None
    near = _nearest_class(name, sources)
    if near is not None:
        bases = [each if isinstance(each, str) else each.name for each in sources.bases(near)]
        why, path = f"{near.name} extends {' and '.join(bases) or 'nothing'}", near.place
    fix = f"write a class that extends {name}, at the top level of a module, after '{IMPORTS[name]}'"
    return BadPackage(what, why=why, fix=fix, path=path, reason="no_class")


def _nearest_class(name: str, sources: Sources) -> ClassSource | None:
    """The class that its author probably meant, by its name or its members."""
    taken = {*sources.extending(INFERENCE), *sources.extending(BUILDER)}
    wanted = {"create"} if name == BUILDER else {"_predict", "expected_model_types"}
    others = [each for each in sources.classes if each not in taken]
    return next((each for each in others if wanted & each.members.keys() or each.name.endswith(name)), None)


def _check_builder(builder: ClassSource, sources: Sources, *, report: Callable[[str], None]) -> None:
    _required(builder, "inference", BUILDER, sources=sources, report=report)
    create = _required(builder, "create", BUILDER, sources=sources, report=report)
    if create is None or create.arguments is None or takes_one(create, bound=_bound(create)):
        return
    raise BadPackage(
        "The InferenceBuilder class's create method must take one argument. "
        f"{builder.name}.create takes {arguments_text(create, bound=_bound(create))}",
        fix="write it as 'def create(self, config)'; config.model_path is the folder with the package's files",
        path=create.place,
        reason="wrong_signature",
    )


def _check_inference(inference: ClassSource, sources: Sources, *, report: Callable[[str], None]) -> Member | None:
    """The method that predicts, if the package defines it: `_predict`, or the class's own `predict`."""
    own = sources.member(inference, "predict")
    predict = sources.member(inference, "_predict")
    if predict is None or predict.is_abstract:
        predict = own
    if predict is None or predict.is_abstract:
        predict = _required(inference, "_predict", INFERENCE, sources=sources, report=report)
    _required(inference, "expected_model_types", INFERENCE, sources=sources, report=report)
    return predict


def _required(
    source: ClassSource, name: str, kind: str, *, sources: Sources, report: Callable[[str], None]
) -> Member | None:
    """A required member; None if a base outside the package may have it."""
    member = sources.member(source, name)
    if member is not None and not member.is_abstract:
        return member
    unknown = [each for each in sources.ancestry(source)[1] if each not in _PLAIN_BASES and not is_of_mac(each, kind)]
    if member is None and unknown:
        report(f"{source.place}: {source.name} does not define {name}, and may inherit it from {unknown[0]}")
        return None
    why = f"{source.name} has no {name}" if member is None else f"{source.name} has only an abstract {name}"
    raise BadPackage(
        f"The {kind} class must contain the {name.lstrip('_')} method. {why}",
        fix=MEMBERS[name],
        path=source.place if member is None else member.place,
        reason="missing_member",
    )


def _check_signature(predict: Member, inference: ClassSource, sources: Sources) -> None:
    if predict.arguments is None:
        return  # the signature of an assigned name is only known when the code runs
    why = None
    annotation = first_annotation(predict, bound=_bound(predict))
    if not takes_one(predict, bound=_bound(predict)):
        why = f"{inference.name}.{predict.name} takes {arguments_text(predict, bound=_bound(predict))}"
    elif annotation is not None and means_no_arrays(annotation, predict.file, sources):
        why = f"{inference.name}.{predict.name} expects {ast.unparse(annotation)}"
    if why is not None:
        raise BadPackage(
            f"The Inference class's predict method may only accept a dictionary of numpy arrays. {why}",
            fix=f"write it as 'def {predict.name}(self, input_data: InferenceData)': it gets {_ARRAYS_BY_NAME}",
            path=predict.place,
            reason="wrong_signature",
        )


def _is_abstract(source: ClassSource, name: str, sources: Sources) -> bool:
    if source.metaclass in _ABC_META or any(member.is_abstract for member in source.members.values()):
        return True
    if any(dotted(base) in _ABC for base in source.bases):
        return True
    wanted = ("inference", "create") if name == BUILDER else ("_predict", "expected_model_types")
    members = [sources.member(source, each) for each in wanted]
    return any(member is None or member.is_abstract for member in members)


def _bound(member: Member) -> int:
    """How many arguments of a method Python itself passes."""
    return 0 if "staticmethod" in member.decorators else 1


def _entry(source: ClassSource) -> EntryPoint:
    return EntryPoint(file=source.file, name=source.name, line=source.line)
