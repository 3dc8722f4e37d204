"""CatBoost models: its binary file."""

import importlib
from typing import Any, Callable

from trivet_worker.adapters import PackageFiles
from trivet_worker.adapters.estimators import EstimatorAdapter, adapter_of, model_path

__all__ = ["load"]


def load(package: PackageFiles, stage: "Callable[[str], None]") -> EstimatorAdapter:
    """Load the model's file."""
    path = model_path(package)
    catboost = importlib.import_module("catboost")
    stage("loading")
    model: Any = catboost.CatBoost()
    model.load_model(path)
    # The file does not name its class; only a classifier has classes.
    model = catboost.CatBoostClassifier() if len(model.classes_) else catboost.CatBoostRegressor()
    model.load_model(path)
    names = list(model.feature_names_)
    # Features without a name have their number.
    named = [] if names == [str(number) for number in range(len(names))] else names
    return adapter_of(model, package, names=named, count=len(names))
