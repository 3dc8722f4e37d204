"""LightGBM models: a booster, or a class with the interface of scikit-learn."""

import importlib
import re
from typing import Any, Callable

from trivet_worker.adapters import PackageFiles
from trivet_worker.adapters.estimators import Booster, EstimatorAdapter, adapter_of, is_pickle, model_path, unpickled

__all__ = ["load"]

CLASSES = ("binary", "multiclass", "multiclassova")
_OBJECTIVE = re.compile(r"^objective=(\w+)", re.MULTILINE)
_NO_NAME = re.compile(r"Column_\d+")


def load(package: PackageFiles, stage: "Callable[[str], None]") -> EstimatorAdapter:
    """Load the model's file."""
    path = model_path(package)
    lightgbm = importlib.import_module("lightgbm")
    stage("loading")
    model: Any = unpickled(path) if is_pickle(path) else lightgbm.Booster(model_file=path)
    booster = model if isinstance(model, lightgbm.Booster) else model.booster_
    names = [name for name in booster.feature_name() if not _NO_NAME.fullmatch(name)]
    if model is booster:
        found = _OBJECTIVE.search(booster.model_to_string(num_iteration=1))
        if found is not None and found.group(1) in CLASSES:
            model = Booster("Booster", booster.predict, booster.predict)
    return adapter_of(model, package, names=names, count=int(booster.num_feature()))
