"""LightGBM models: its text file, or a pickle, beside a requirements.txt or alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Final

import pyarrow as pa

from trivet.domain.frameworks import Framework
from trivet.domain.package import Contents
from trivet.domain.schema_text import parse_schema
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
from trivet.packaging.pickles import Document

__all__ = ["detect", "inspect"]

START: Final = b"tree\nversion="
HEADER_BYTES: Final = 8 << 20
CLASSES: Final = ("binary", "multiclass", "multiclassova")
OLDEST: Final = "lightgbm>=4"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """What the header of a model says."""

    features: int
    categories: bool
    objective: str
    classes: int

    @property
    def input_schema(self) -> pa.Schema | None:
        if self.features < 1 or self.categories:
            return None
        return parse_schema(f"inputs: float64[{self.features}]")

    @property
    def summary(self) -> str:
        count = f"{self.features} feature{'' if self.features == 1 else 's'}"
        return f"{count}, objective {self.objective or 'unknown'}"

    @property
    def output_schema(self) -> pa.Schema | None:
        if not self.objective:
            return None
        if not self.classes:
            return parse_schema("predictions: float64")
        return parse_schema(f"predictions: int64; probabilities: float64[{self.classes}]")


def detect(package: Unpacked) -> Evidence | None:
    """See `Inspector.detect`."""
    return found_file(package, Framework.LIGHTGBM, lambda file: _wrote(package, file))


def _wrote(package: Unpacked, file: str) -> bool:
    if file.lower().endswith(PICKLES):
        return library_of(package.root / file) == "lightgbm"
    return package.head(file, size=len(START)) == START


def inspect(package: Unpacked) -> Contents:
    """See `Inspector.inspect`. No file says its release; newer ones load what older ones wrote."""
    file = model_file(package, Framework.LIGHTGBM, lambda file: _wrote(package, file))
    shown = shown_name(package, file)
    notes: list[str] = []
    needs: tuple[str, ...] = (OLDEST,)
    output = True
    if file.lower().endswith(PICKLES):
        found = check_pickle(
            package.root / file,
            names=("lightgbm", "sklearn"),
            shown=shown,
            trust=package.trust,
            report=notes.append,
            document=Document(of="lightgbm.basic.Booster", keys=("_handle", "handle"), read=_header),
        )
        made = "" if found.loaded is None else str(found.loaded.of)
        if not made.startswith("lightgbm.") and not package.trust:
            raise _no_model(shown, why=f"it holds {made or 'a value that is not a model'}")
        facts = found.document
        scikit_learn = "scikit-learn" if found.sklearn is None else f"scikit-learn=={found.sklearn}"
        needs = (*needs, *(("lz4",) if found.container == "lz4" else ()), scikit_learn)
        # The classes of a classifier are values of any type, which the header does not have.
        output = not made.endswith(".LGBMClassifier")
        notes.append(f"a .txt file is safer than {shown}: model.booster_.save_model('model.txt') writes one")
    else:
        if not _wrote(package, file):
            raise _no_model(shown, why="it does not begin as LightGBM's text files do")
        with (package.root / file).open("rb") as stream:
            facts = _header(stream, HEADER_BYTES)
        if facts is None:
            raise _no_model(shown, why="its header is not complete")
    return Contents(
        files={"model": file},
        requirements=requirements_of(package, *needs, "pandas", report=notes.append),
        input_schema=None if facts is None else facts.input_schema,
        output_schema=facts.output_schema if facts is not None and output else None,
        notes=tuple(notes),
        facts=() if facts is None else (facts.summary,),
    )


def _header(file: IO[bytes], length: int) -> _Facts | None:
    """The facts in the lines before the first tree."""
    text = file.read(min(length, HEADER_BYTES)).decode("utf-8", "replace")
    lines = text.partition("\nTree=")[0].splitlines()
    header: Mapping[str, str] = {
        name: value for name, equals, value in (each.partition("=") for each in lines) if equals
    }
    last, classes = header.get("max_feature_idx", ""), header.get("num_class", "")
    if not (last.isdigit() and classes.isdigit() and len(last) < 10 and len(classes) < 10):
        return None
    words = header.get("objective", "").split()
    objective = words[0] if words else ""
    # `[0:1]` is the range of a number, `0:1:2` the categories of another feature.
    infos = header.get("feature_infos", "").split()
    return _Facts(
        features=int(last) + 1,
        categories=any(not each.startswith("[") and each != "none" for each in infos),
        objective=objective,
        classes=max(int(classes), 2) if objective in CLASSES else 0,
    )


def _no_model(shown: str, *, why: str) -> BadPackage:
    return BadPackage(
        f"{shown!r} is not a model of LightGBM",
        why=why,
        fix="save the fitted model itself, as in model.booster_.save_model('model.txt')",
        path=shown,
        reason="no_model",
    )
