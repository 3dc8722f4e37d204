"""Keras models: `.keras` and `.h5` files, and SavedModels, beside a requirements.txt or alone."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from trivet.domain.frameworks import Framework
from trivet.domain.package import Contents
from trivet.errors import BadPackage, visible
from trivet.packaging.frameworks import tensorflow
from trivet.packaging.frameworks.archived import opened_archive
from trivet.packaging.frameworks.inspection import (
    Evidence,
    Unpacked,
    by_suffix,
    found_file,
    listed,
    model_file,
    requirements_of,
    shown_name,
)

__all__ = ["detect", "inspect"]

AGAIN: Final = "save it again with model.save('model.keras')"
FIRST_3: Final = Version("3")
OLDEST: Final = Version("2.4")
MAX_HDF5: Final = 16 << 20
_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_ATTRIBUTE: Final = re.compile(rb"keras_version\0")
# The attribute's name, type and space, and then the place of its text: length, address of a heap, index in it.
_TO_VALUE: Final = 16 + 24 + 8
_OWN_MODULES: Final = ("keras", "builtins", "tensorflow")


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`. A SavedModel may be Keras's as well as TensorFlow's."""
    return found_file(package, Framework.KERAS, lambda _: True) or tensorflow.detect(package)


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. The environment has the release that wrote the file, unless a requirements.txt says another."""
    if not by_suffix(package, Framework.KERAS) and tensorflow.saved_model_in(package) is not None:
        return tensorflow.inspect(package)
    file = model_file(package, Framework.KERAS)
    shown = shown_name(package, file)
    path = package.root / file
    notes: list[str] = []
    if file.lower().endswith(".keras"):
        release = _of_archive(path, shown=shown)
    else:
        release = _of_hdf5(path, shown=shown)
        notes.append(f"a .keras file is safer than {shown}, because Keras's safe mode covers all of it: {AGAIN}")
    if release is None:
        needs: tuple[str, ...] = (f"{tensorflow.PROJECT}=={tensorflow.RELEASE}",)
    elif release >= FIRST_3:
        needs = (f"{tensorflow.PROJECT}=={tensorflow.RELEASE}", f"keras=={release.public}")
    else:
        minor = max(release, OLDEST)
        if minor != release:
            notes.append(f"the model was written by Keras {release}, which cannot be installed here: it gets {OLDEST}")
        # Until 2.15 a release of TensorFlow and its Keras have the same number.
        needs = (f"{tensorflow.PROJECT}=={minor.major}.{minor.minor}.*",)
    return Contents(
        files={"model": file},
        requirements=requirements_of(package, *needs, report=notes.append),
        notes=tuple(notes),
    )


def _of_archive(path: Path, *, shown: str) -> Version | None:
    """The release that wrote a `.keras` file. Custom objects, which it names and does not hold, are an error."""
    with opened_archive(path, shown=shown, title="a file of Keras", fix=AGAIN) as archive:
        documents = [archive.read(each) for each in ("metadata.json", "config.json")]
    try:
        metadata, config = [json.loads(each) for each in documents]
        found = _version(str(metadata["keras_version"]))
        custom = list(dict.fromkeys(_custom(config)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadPackage(
            f"{shown!r} is not a file of Keras, or is damaged",
            why=f"{type(error).__name__}: {error}",
            fix=AGAIN,
            path=shown,
            reason="no_model",
        ) from error
    if custom:
        raise BadPackage(
            f"{shown!r} needs custom objects, which it does not hold: {visible(listed(custom))}",
            fix="put it into a custom model with their code, or export it with model.export('model') and give that folder",
            path=shown,
            reason="custom_objects",
        )
    return found


def _custom(value: Any) -> Iterator[str]:
    """The names of the classes and functions in a configuration that are not Keras's own."""
    if isinstance(value, list):
        for each in value:
            yield from _custom(each)
    elif isinstance(value, dict):
        name = value.get("class_name")
        if isinstance(name, str) and "config" in value and "module" in value:
            module = value["module"]
            if name == "__lambda__":
                yield "a lambda"
            elif name != "__keras_tensor__" and (value.get("registered_name") or name) != name:
                yield name
            elif isinstance(module, str) and module.partition(".")[0] not in _OWN_MODULES:
                yield f"{module}.{name}"
        for each in value.values():
            yield from _custom(each)


def _of_hdf5(path: Path, *, shown: str) -> Version | None:
    """The release that wrote an `.h5` file, where it stands at its usual place."""
    with path.open("rb") as file:
        data = file.read(MAX_HDF5)
    if not data.startswith(_HDF5):
        raise BadPackage(
            f"{shown!r} is not an HDF5 file, or is cut off",
            why="it does not begin like one" if data else "it is empty",
            fix=AGAIN,
            path=shown,
            reason="no_model",
        )
    if b"model_config\0" not in data:
        raise BadPackage(
            f"{shown!r} holds no model",
            why="it has weights without the model's configuration",
            fix=f"save the whole model, and not with save_weights: {AGAIN}",
            path=shown,
            reason="no_model",
        )
    found = _ATTRIBUTE.search(data)
    if found is None:
        return None
    place = found.start() + _TO_VALUE
    length, heap = (
        int.from_bytes(data[place : place + 4], "little"),
        int.from_bytes(data[place + 4 : place + 12], "little"),
    )
    text = data[heap : heap + 4096]
    for each in re.finditer(rb"\d+\.\d+\.\d+[A-Za-z0-9.+-]*", text) if text.startswith(b"GCOL") else ():
        if len(each[0]) == length:
            return _version(each[0].decode())
    return None


def _version(text: str) -> Version | None:
    try:
        return Version(text.removesuffix("-tf"))
    except InvalidVersion:
        return None
