"""TensorFlow models: a SavedModel, as a folder or a zip, flat or in one folder, beside a requirements.txt or alone."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from packaging.version import InvalidVersion, Version

from trivet.domain.package import Contents, EntryPoint
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import Evidence, Unpacked, listed, requirements_of
from trivet.packaging.frameworks.saved_model import SAVED_MODEL, SavedModel, read_saved_model

__all__ = ["PROJECT", "RELEASE", "detect", "inspect", "release_of", "saved_model_in"]

PROJECT: Final = "tensorflow-cpu"
RELEASE: Final = "2.21.0"
"""The release for models that do not say which one wrote them."""
OLDEST: Final = Version("2.4")
"""The first release with wheels for a Python that workers run on. Later ones load SavedModels of earlier ones."""
DEFAULT: Final = "serving_default"
INTERNAL: Final = "__saved_model_"


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`."""
    file = saved_model_in(package)
    return None if file is None else Evidence(why=f"{file} is a SavedModel of TensorFlow", place=file)


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. The environment has the release that wrote the model, unless a requirements.txt says another."""
    file = saved_model_in(package)
    if file is None:
        raise BadPackage(
            f"There is no {SAVED_MODEL} in {package.name!r}",
            why=f"it holds {listed(package.paths)}" if package.paths else "it is empty",
            fix="give the folder that tf.saved_model.save wrote, or a zip of it",
            path=package.name,
            reason="no_model",
        )
    found = read_saved_model(package.root / file, shown=file)
    name = _signature(found, file=file)
    notes: list[str] = []
    release = release_of(found.release, report=notes.append)
    signature = found.signatures[name]
    if len(_named(found)) > 1:
        others = ", ".join(each for each in _named(found) if each != name)
        notes.append(f"the signature {name} is served; the model also has {others}")
    return Contents(
        files={"model": file},
        entry={"signature": EntryPoint(file=file, name=name, line=1)},
        requirements=requirements_of(package, f"{PROJECT}=={release}", report=notes.append),
        input_schema=signature.input_schema,
        output_schema=signature.output_schema,
        notes=tuple(notes),
    )


def saved_model_in(package: Unpacked) -> str | None:
    """The path of the only `saved_model.pb` that is nearest to the top of a package."""
    found = [each for each in package.paths if PurePosixPath(each).name == SAVED_MODEL]
    return min(found, key=lambda each: (each.count("/"), each), default=None)


def release_of(written: str, *, report: Callable[[str], None]) -> str:
    """The release of TensorFlow for a model: the one that wrote it, or the nearest that can be installed and loads it."""
    try:
        found = Version(written)
    except InvalidVersion:
        return RELEASE
    if found < OLDEST:
        report(f"the model was written by TensorFlow {found}, which cannot be installed here: it gets {RELEASE}")
        return RELEASE
    if found.pre is not None or found.dev is not None:
        report(f"the model was written by TensorFlow {found}, a pre-release; it gets {found.base_version}")
        return found.base_version
    return found.public


def _named(found: SavedModel) -> list[str]:
    return sorted(each for each in found.signatures if not each.startswith(INTERNAL))


def _signature(found: SavedModel, *, file: str) -> str:
    """The signature that is served: the default, or the only one."""
    names = _named(found)
    if DEFAULT in names:
        return DEFAULT
    if len(names) == 1:
        return names[0]
    raise BadPackage(
        f"the SavedModel has no signature {DEFAULT!r}",
        why=f"it has {', '.join(names)}" if names else "it has no signature at all: nothing says what it takes",
        fix="save it with tf.saved_model.save(model, folder, signatures=model.call.get_concrete_function(…))",
        path=file,
        reason="no_signature",
    )
