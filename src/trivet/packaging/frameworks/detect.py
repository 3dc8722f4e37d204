"""What a package is, where nobody says it, and the checks of what it is."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from trivet.domain.package import ByopContents, Framework, Manifest, OnnxContents, PythonStepContents
from trivet.errors import BadPackage
from trivet.packaging.frameworks.custom import find_classes, inspect_byop, no_modules
from trivet.packaging.frameworks.onnx import inspect_onnx
from trivet.packaging.frameworks.python import find_functions, inspect_python_step
from trivet.packaging.requirements import REQUIREMENTS
from trivet.packaging.sources.resolve import Sources, read_sources

__all__ = ["Contents", "inspect_package", "no_such_model"]

MAX_LISTED = 5

Contents: TypeAlias = OnnxContents | ByopContents | PythonStepContents


def inspect_package(
    root: Path,
    manifest: Manifest,
    *,
    framework: Framework | None,
    model: str | None,
    name: str,
    settings_name: str,
    report: Callable[[str], None],
) -> tuple[Framework, Contents]:
    """Find out what a package is, and check it. Nothing of it is run.

    Args:
        root: the folder that holds the manifest's files.
        manifest: the package's files.
        framework: what somebody says that it is; None to find out.
        model: the file of it that its settings name, if they do.
        name: what the user calls the package.
        settings_name: what settings are called, for messages.
        report: told what does not stop it from being served.

    Raises:
        BadPackage: it is nothing that is known, or more than one thing, or does not keep its convention.
    """
    if model is not None:
        _check_named(model, manifest, settings_name=settings_name)
    types = {PurePosixPath(each.path).suffix.lower() for each in manifest.files}
    if framework is None and (model is not None or types == {".onnx"}):
        framework = Framework.ONNX
    if framework is Framework.ONNX:
        return framework, _onnx(root, manifest, model=model, name=name, settings_name=settings_name)
    if framework is not None and (model is not None or types == {".onnx"}):
        raise BadPackage(
            f"{name!r} is an ONNX model, and no {framework} package",
            fix=f"leave the framework out, or put the file into a zip with a {framework} model that loads it",
            path=name,
        )
    sources = read_sources(root, manifest)
    match framework or _detect(sources, manifest, name=name):
        case Framework.ONNX:
            return Framework.ONNX, _onnx(root, manifest, model=None, name=name, settings_name=settings_name)
        case Framework.CUSTOM:
            custom = inspect_byop(root, manifest, file_name=name, sources=sources, report=report)
            return Framework.CUSTOM, custom
        case Framework.PYTHON:
            step = inspect_python_step(root, manifest, file_name=name, sources=sources, report=report)
            return Framework.PYTHON, step


def no_such_model(model: str, names: Sequence[str], *, where: str) -> BadPackage:
    """The error about settings (`where`) that name a model which is not among the files `names`."""
    near = get_close_matches(model, names, n=1)
    return BadPackage(
        f"The settings name the model {model!r}, and there is no such file",
        fix=f"did you mean {near[0]!r}?" if near else "name a file that lies beside the settings",
        path=f"{where}: model",
        reason="no_model",
    )


def _onnx(root: Path, manifest: Manifest, *, model: str | None, name: str, settings_name: str) -> OnnxContents:
    file = model or _only_onnx(manifest, name=name, settings_name=settings_name)
    # A lone file is kept under a name of the store's own, which says nothing to the user.
    lone = len(manifest.files) == 1 and name.lower().endswith(".onnx")
    return inspect_onnx(root, manifest, model=file, shown=name if lone else file)


def _detect(sources: Sources, manifest: Manifest, *, name: str) -> Framework:
    """What a package is, from its sources; where these say nothing, from its files."""
    classes = (*find_classes("Inference", sources), *find_classes("InferenceBuilder", sources))
    functions = find_functions(sources)
    if classes and functions:
        raise BadPackage(
            f"{name!r} is a custom model and a Python step at once",
            why=f"{classes[0].name} extends a class of custom models, and {functions[0].name} is a step's function",
            fix="say which with --framework custom or --framework python, or with framework in trivet.yaml",
            path=f"{classes[0].place}, {functions[0].place}",
            reason="ambiguous",
        )
    if classes:
        return Framework.CUSTOM
    if functions:
        return Framework.PYTHON
    if any(each.path.lower().endswith(".onnx") for each in manifest.files):
        return Framework.ONNX
    raise _nothing_known(sources, manifest, name=name)


def _nothing_known(sources: Sources, manifest: Manifest, *, name: str) -> BadPackage:
    """No class, no function, no ONNX file; what looks like a custom model is told what that lacks."""
    paths = [each.path for each in manifest.files]
    means_custom = REQUIREMENTS in paths or any(
        target.startswith("mac.inference") for module in sources.modules.values() for target in module.names_used()
    )
    broken = sources.broken[0] if sources.broken else None
    if not sources.modules and (broken is not None or REQUIREMENTS in paths):
        return no_modules(sources, file_name=name)
    why = "no class extends mac.inference.Inference, no module has a function process_data, and there is no .onnx file"
    if broken is not None:
        why += f"; {broken.file} cannot be read: {broken.why}"
    if not sources.modules:
        why = f"it holds {_listed(paths)}" if paths else "it is empty"
    return BadPackage(
        "No Inference-inherited class found in the model directory"
        if means_custom
        else f"There is no model in {name!r}",
        why=why,
        fix="a custom model has a class that extends Inference, one that extends InferenceBuilder, and a "
        "requirements.txt; a Python step has 'def process_data(input_data)'; else there is an .onnx file",
        path=broken.place if broken is not None else None,
        reason="no_class" if means_custom else "no_model",
    )


def _check_named(model: str, manifest: Manifest, *, settings_name: str) -> None:
    paths = [each.path for each in manifest.files]
    if model not in paths:
        raise no_such_model(model, paths, where=settings_name)
    if not model.lower().endswith(".onnx"):
        raise BadPackage(
            f"{model!r} cannot be the model",
            why="model names an .onnx file of the package, or, in a folder, a .zip",
            fix="take model out: where Python code begins is found by reading it",
            path=f"{settings_name}: model",
        )


def _only_onnx(manifest: Manifest, *, name: str, settings_name: str) -> str:
    paths = [each.path for each in manifest.files if each.path.lower().endswith(".onnx")]
    paths = [each for each in paths if "/" not in each] or paths
    if len(paths) == 1:
        return paths[0]
    if paths:
        raise BadPackage(
            f"There are {len(paths)} .onnx files in {name!r}",
            why=f"they are {_listed(paths)}",
            fix=f"name the one to serve, with 'model: {PurePosixPath(paths[0]).name}' in a {settings_name} beside it",
            path=name,
            reason="several_models",
        )
    others = [each.path for each in manifest.files]
    raise BadPackage(
        f"There is no .onnx file in {name!r}",
        why=f"it holds {_listed(others)}" if others else "it is empty",
        fix="add the model file, or name another framework",
        path=name,
        reason="no_model",
    )


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - MAX_LISTED} more" if len(paths) > MAX_LISTED else ""
    return ", ".join(paths[:MAX_LISTED]) + more
