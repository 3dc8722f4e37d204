"""XGBoost models: a JSON or UBJSON file, or a pickle, beside a requirements.txt or alone."""

from dataclasses import replace
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
from trivet.packaging.frameworks.pickled import PICKLES, check_pickle, library_of
from trivet.packaging.frameworks.xgboost_files import BoosterFacts, is_booster, read_booster, read_raw
from trivet.packaging.pickles import Document

__all__ = ["detect", "inspect"]

DOCUMENT: Final = Document(of="xgboost.core.Booster", keys=("handle",), read=read_raw)
SCIKIT_LEARN: Final = "scikit-learn"
KINDS: Final = ("classifier", "regressor", "ranker")
OLDER_THAN_TAGS: Final = (2, 1, 4)
"""The first release whose estimators work with scikit-learn 1.6."""


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`."""
    return found_file(package, Framework.XGBOOST, lambda file: _wrote(package, file))


def _wrote(package: Unpacked, file: str) -> bool:
    if file.lower().endswith(PICKLES):
        return library_of(package.root / file) == "xgboost"
    return is_booster(package.head(file))


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. The environment has the release that wrote the file, unless a requirements.txt says another."""
    file = model_file(package, Framework.XGBOOST, lambda file: _wrote(package, file))
    shown = shown_name(package, file)
    notes: list[str] = []
    if file.lower().endswith(PICKLES):
        facts, estimator, needs = _of_pickle(package, file, shown=shown, notes=notes)
    else:
        facts = _of_file(package, file, shown=shown)
        estimator, needs = facts.estimator is not None, ()
    version = None if facts is None else facts.version
    if version is None:
        notes.append(f"{shown} does not say which release of XGBoost wrote it: the newest loads it")
    wanted = ["xgboost" if version is None else f"xgboost=={version}", *needs]
    if estimator:
        older = version is not None and tuple(map(int, version.split("."))) < OLDER_THAN_TAGS
        wanted.append(f"{SCIKIT_LEARN}<1.6" if older else SCIKIT_LEARN)
    return Contents(
        files={"model": file},
        # pandas: a model that was trained with a DataFrame gets one.
        requirements=requirements_of(package, *wanted, "pandas", report=notes.append),
        input_schema=None if facts is None else facts.input_schema,
        output_schema=None if facts is None else facts.output_schema,
        notes=tuple(notes),
        facts=_said(facts),
    )


def _of_pickle(
    package: Unpacked, file: str, *, shown: str, notes: list[str]
) -> tuple[BoosterFacts | None, bool, tuple[str, ...]]:
    found = check_pickle(
        package.root / file,
        names=("xgboost", "sklearn"),
        shown=shown,
        trust=package.trust,
        report=notes.append,
        document=DOCUMENT,
    )
    made = "" if found.loaded is None else str(found.loaded.of)
    if not made.startswith("xgboost.") and not package.trust:
        raise BadPackage(
            f"{shown!r} is not a model of XGBoost",
            why=f"it holds {made or 'a value that is not a model'}",
            fix="save the fitted model itself, as in joblib.dump(model, 'model.joblib')",
            path=shown,
            reason="no_model",
        )
    notes.append(f"a .ubj file is safer than {shown}: model.save_model('model.ubj') writes one")
    estimator = made != DOCUMENT.of
    # scikit-learn brings joblib.
    needs = (*(() if estimator else ("joblib>=1.2",)), *(("lz4",) if found.container == "lz4" else ()))
    facts: BoosterFacts | None = found.document
    kind = next((kind for kind in KINDS if made.lower().endswith(kind)), None)
    return facts if facts is None else replace(facts, estimator=kind), estimator, needs


def _of_file(package: Unpacked, file: str, *, shown: str) -> BoosterFacts:
    try:
        return read_booster(package.root / file)
    except (ValueError, RecursionError) as error:
        raise BadPackage(
            f"{shown!r} is not a model of XGBoost",
            why=f"it is neither its JSON nor its UBJSON: {error}",
            fix="load the file with the release that wrote it, and save it with model.save_model('model.ubj')",
            path=shown,
            reason="no_model",
        ) from error


def _said(facts: BoosterFacts | None) -> tuple[str, ...]:
    if facts is None:
        return ()
    kind = f"a {facts.estimator}" if facts.estimator else "a booster"
    count = f"{facts.features} feature{'' if facts.features == 1 else 's'}"
    written = "" if facts.version is None else f"written by XGBoost {facts.version}, "
    return (f"{written}{kind} of {count}, objective {facts.objective}",)
