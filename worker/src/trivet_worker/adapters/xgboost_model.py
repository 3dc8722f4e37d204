"""XGBoost models: a booster, or a class with the interface of scikit-learn."""

import importlib
import json
from typing import Any, Callable, List

import numpy as np

from trivet_worker.adapters import PackageFiles
from trivet_worker.adapters.estimators import Booster, EstimatorAdapter, adapter_of, is_pickle, model_path, unpickled

__all__ = ["load"]

CLASSES = {"classifier": "XGBClassifier", "regressor": "XGBRegressor"}
"""What a file says about the class that wrote it, and the class that loads it; a ranker says nothing."""

SUFFIXES = (".json", ".ubj")
"""XGBoost takes the format of a file from them."""


def load(package: PackageFiles, stage: "Callable[[str], None]") -> EstimatorAdapter:
    """Load the model's file."""
    path = model_path(package)
    xgboost = importlib.import_module("xgboost")
    stage("loading")
    model = unpickled(path) if is_pickle(path) else _of_file(xgboost, path)
    booster = model if isinstance(model, xgboost.Booster) else model.get_booster()
    names: List[str] = list(booster.feature_names or ())
    if model is booster:
        model = _answering(xgboost, booster)
    return adapter_of(model, package, names=names, count=int(booster.num_features()))


def _of_file(xgboost: Any, path: str) -> Any:
    source: Any = path
    if not path.lower().endswith(SUFFIXES):
        with open(path, "rb") as file:  # noqa: PTH123 - a plain string is enough
            source = bytearray(file.read())
    booster = xgboost.Booster()
    booster.load_model(source)
    written_by = booster.attr("scikit_learn")
    if written_by is None:
        return booster
    model = getattr(xgboost, CLASSES.get(json.loads(written_by).get("_estimator_type"), "XGBRanker"))()
    model.load_model(source)
    return model


def _answering(xgboost: Any, booster: Any) -> Any:
    """A booster that takes rows."""

    def raw(rows: Any, **options: Any) -> Any:
        given = xgboost.DMatrix(rows, enable_categorical=True) if hasattr(rows, "columns") else xgboost.DMatrix(rows)
        return booster.predict(given, **options)

    def soft(rows: Any) -> Any:
        margin = raw(rows, output_margin=True)
        powers = np.exp(margin - margin.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    if objective in ("binary:logistic", "multi:softprob"):
        return Booster("Booster", raw, raw)
    if objective == "multi:softmax":
        return Booster("Booster", raw, soft)
    return _Numbers(raw)


class _Numbers:
    """A booster that answers numbers."""

    title = "Booster"

    def __init__(self, predict: "Callable[[Any], Any]") -> None:
        self.predict = predict
