"""scikit-learn models: a pickle, a joblib file or a skops file, beside a requirements.txt or alone."""

import json
import re
import zipfile
from pathlib import Path
from typing import Final

from trivet.domain.frameworks import Framework
from trivet.domain.package import Contents
from trivet.errors import BadPackage
from trivet.packaging.frameworks.inspection import (
    Evidence,
    Unpacked,
    found_file,
    model_file,
    requirements_of,
    shown_name,
)
from trivet.packaging.frameworks.pickled import check_pickle, library_of

__all__ = ["detect", "inspect"]

PROJECT: Final = "scikit-learn"
MAX_SKOPS_SCHEMA: Final = 64 << 20
_VERSION_IN_SKOPS: Final = re.compile(r'"_sklearn_version",?.{0,200}?\\"(\d+(?:\.\d+)+[a-z0-9.]*)\\"', re.DOTALL)


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`."""
    return found_file(package, Framework.SKLEARN, lambda file: _wrote(package, file))


def _wrote(package: Unpacked, file: str) -> bool:
    return file.lower().endswith(".skops") or library_of(package.root / file) == "sklearn"


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. The environment has the release that wrote the file, unless a requirements.txt says another."""
    file = model_file(package, Framework.SKLEARN, lambda file: _wrote(package, file))
    shown = shown_name(package, file)
    path = package.root / file
    notes: list[str] = []
    version: str | None
    needs: tuple[str, ...]
    if file.lower().endswith(".skops"):
        version, needs = _version_in_skops(path, shown=shown), ("skops",)
    else:
        facts = check_pickle(path, names=("sklearn",), shown=shown, trust=package.trust, report=notes.append)
        version, needs = facts.sklearn, ("joblib>=1.2", *(("lz4",) if facts.container == "lz4" else ()))
        if version is None and not package.trust:
            raise BadPackage(
                f"{shown!r} is not a model of scikit-learn",
                why="no estimator of scikit-learn is in it",
                fix="save the fitted estimator itself, as in joblib.dump(model, 'model.joblib')",
                path=shown,
                reason="no_model",
            )
        notes.append(f"a .skops file is safer than {shown}: skops.io.dump(model, 'model.skops') writes one")
    # pandas: a model that was trained with a DataFrame gets one.
    release = PROJECT if version is None else f"{PROJECT}=={version}"
    return Contents(
        files={"model": file},
        requirements=requirements_of(package, release, *needs, "pandas", report=notes.append),
        notes=tuple(notes),
        facts=() if version is None else (f"written by scikit-learn {version}",),
    )


def _version_in_skops(path: Path, *, shown: str) -> str:
    """The release that wrote a skops file: a zip with a JSON document of the model's tree."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("schema.json") as file:
            text = file.read(MAX_SKOPS_SCHEMA)
        json.loads(text)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, NotImplementedError, RecursionError) as error:
        raise BadPackage(
            f"{shown!r} is not a skops file",
            why=str(error),
            fix="write it with skops.io.dump(model, 'model.skops')",
            path=shown,
            reason="no_model",
        ) from error
    found = _VERSION_IN_SKOPS.search(text.decode("utf-8", "replace"))
    if found is None:
        raise BadPackage(
            f"{shown!r} is not a model of scikit-learn",
            why="it does not say which release of scikit-learn wrote it",
            fix="write a fitted estimator with skops.io.dump(model, 'model.skops')",
            path=shown,
            reason="no_model",
        )
    return found[1]
