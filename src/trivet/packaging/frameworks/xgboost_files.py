"""What files of XGBoost say: the release that wrote them, and the features, classes and objective of the model."""

import io
import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow as pa

from trivet.domain.schema_text import parse_schema
from trivet.packaging.frameworks.ubjson import Wanted, read_ubjson

__all__ = ["BoosterFacts", "is_booster", "read_booster", "read_raw"]

MAX_PLAIN_JSON: Final = 16 << 20
CLASSIFIER: Final = "classifier"
CLASSES: Final = ("binary:logistic", "multi:softprob", "multi:softmax")
SEVERAL: Final = ("reg:quantileerror", "binary:logitraw", "survival:")
"""Objectives whose answers the file does not describe."""
WANTED: Final[Wanted] = {
    "version": None,
    "learner": {
        "attributes": None,
        "feature_names": None,
        "feature_types": None,
        "learner_model_param": None,
        "objective": {"name": None},
    },
}
WANTED_OF_BUFFER: Final[Wanted] = {"Config": {"version": None}, "Model": WANTED}


class _Objective(msgspec.Struct):
    name: str = ""


class _Learner(msgspec.Struct):
    attributes: dict[str, str] = {}
    feature_names: list[str] = []
    feature_types: list[str] = []
    learner_model_param: dict[str, str] = {}
    objective: _Objective = msgspec.field(default_factory=_Objective)


class _Model(msgspec.Struct):
    learner: _Learner
    version: list[int] = []


_JSON: Final = msgspec.json.Decoder(_Model)


@dataclass(frozen=True, kw_only=True, slots=True)
class BoosterFacts:
    """What a booster says about itself.

    Attributes:
        version: the release that wrote it.
        features: how many features it takes.
        names: of the features, if it was trained with names.
        categories: whether some of them are categories.
        objective: as in `binary:logistic`.
        classes: how many classes it tells apart; 0 for a regressor or a ranker.
        targets: how many values it answers for a row.
        estimator: `classifier`, `regressor` or `ranker`, if the class of scikit-learn's kind wrote it.
    """

    version: str | None
    features: int
    names: tuple[str, ...]
    categories: bool
    objective: str
    classes: int
    targets: int
    estimator: str | None

    @property
    def input_schema(self) -> pa.Schema | None:
        """One list in training order; None where a feature is a category or the file does not say how many there are."""
        if self.categories or self.features < 1:
            return None
        return parse_schema(f"inputs: float64[{self.features}]")

    @property
    def output_schema(self) -> pa.Schema | None:
        """The classes with their probabilities, or the numbers; None where the file does not say them."""
        classes = self.classes if self.estimator in {None, CLASSIFIER} else 0
        if self.objective.startswith(SEVERAL) or not self.objective or (classes and self.targets > 1):
            return None
        if classes:
            return parse_schema(f"predictions: int64; probabilities: float32[{classes}]")
        return parse_schema("predictions: float32" + (f"[{self.targets}]" if self.targets > 1 else ""))


def is_booster(head: bytes) -> bool:
    """Whether a file begins as XGBoost's JSON and UBJSON files do."""
    start = head[:256].lstrip()
    return start.startswith(b"{") and b"learner" in start[:64]


def read_booster(path: Path) -> BoosterFacts:
    """What a JSON or UBJSON file says.

    Raises:
        ValueError: it is neither, or not a model of XGBoost.
    """
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(0)
        size = path.stat().st_size
        if head == b"{L":
            return _facts(read_ubjson(file, end=size, wanted=WANTED))
        if size == 0:
            raise ValueError("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _facts(_of_json(data, size=size))


def read_raw(file: IO[bytes], length: int) -> BoosterFacts | None:
    """What the bytes in a pickled Booster say; None if they are of a release that wrote another format."""
    try:
        found = read_ubjson(file, end=file.tell() + length, wanted=WANTED_OF_BUFFER)
        config, model = found.get("Config"), found.get("Model")
        if not isinstance(config, dict) or not isinstance(model, dict):
            return None
        return _facts({**model, "version": config.get("version")})
    except ValueError:
        return None


def _of_json(data: mmap.mmap, *, size: int) -> Mapping[str, Any]:
    try:
        return _builtins(_JSON.decode(data))
    except msgspec.DecodeError:
        # Infinite thresholds: XGBoost writes words for them, which JSON does not have.
        if size > MAX_PLAIN_JSON:
            raise
        found = json.load(io.TextIOWrapper(io.BytesIO(data[:]), encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is not an object") from None  # noqa: TRY004 - of the file, not of an argument
        return found


def _builtins(model: _Model) -> Mapping[str, Any]:
    learner = model.learner
    return {
        "version": model.version,
        "learner": {
            "attributes": learner.attributes,
            "feature_names": learner.feature_names,
            "feature_types": learner.feature_types,
            "learner_model_param": learner.learner_model_param,
            "objective": {"name": learner.objective.name},
        },
    }


def _facts(document: Mapping[str, Any]) -> BoosterFacts:
    learner = document.get("learner")
    if not isinstance(learner, dict) or not isinstance(learner.get("learner_model_param"), dict):
        raise ValueError("it has no learner")  # noqa: TRY004 - of the file, not of an argument
    params = learner["learner_model_param"]
    objective = learner.get("objective")
    name = str(objective.get("name", "")) if isinstance(objective, dict) else ""
    targets = max(_number(params, "num_target"), 1)
    classes = 0
    if name in CLASSES:
        classes = max(_number(params, "num_class"), 2)
    return BoosterFacts(
        version=_version(document.get("version")),
        features=_number(params, "num_feature"),
        names=tuple(str(each) for each in _listed(learner.get("feature_names"))),
        categories="c" in _listed(learner.get("feature_types")),
        objective=name,
        classes=classes,
        targets=targets,
        estimator=_estimator(learner.get("attributes")),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(params: Mapping[str, Any], name: str) -> int:
    text = str(params.get(name, "0"))
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _version(numbers: Any) -> str | None:
    if not isinstance(numbers, list) or len(numbers) != 3 or not all(type(each) is int for each in numbers):
        return None
    return ".".join(map(str, numbers))


def _estimator(attributes: Any) -> str | None:
    text = attributes.get("scikit_learn") if isinstance(attributes, dict) else None
    if not isinstance(text, str):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    kind = found.get("_estimator_type") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else "ranker"
