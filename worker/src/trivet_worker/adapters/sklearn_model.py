"""scikit-learn models: a pickle, or a skops file."""

import importlib
from typing import Any, Callable

from trivet_worker.adapters import PackageFiles
from trivet_worker.adapters.estimators import EstimatorAdapter, Loaded, is_pickle, loaded_of, model_path, unpickled

__all__ = ["load", "load_model"]

SKOPS_TYPES = frozenset(
    {
        "scipy.sparse._csr.csr_matrix",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    }
)
"""What models of scikit-learn's own classes hold beside the types that skops knows."""


def load(package: PackageFiles, stage: "Callable[[str], None]") -> EstimatorAdapter:
    """Load the model's file."""
    loaded = load_model(package, stage)
    return EstimatorAdapter(loaded.features, loaded.answers)


def load_model(package: PackageFiles, stage: "Callable[[str], None]") -> Loaded:
    """Load the model's file, and check that the schemas fit it.

    Raises:
        PackageError: they do not.
    """
    path = model_path(package)
    importlib.import_module("sklearn")
    loader: Any = importlib.import_module("joblib" if is_pickle(path) else "skops.io")
    stage("loading")
    if is_pickle(path):
        model = unpickled(path)
    else:
        model = loader.load(
            path, trusted=[each for each in loader.get_untrusted_types(file=path) if each in SKOPS_TYPES]
        )
    names = [name for name in getattr(model, "feature_names_in_", ()) if isinstance(name, str)]
    count = getattr(model, "n_features_in_", None)
    return loaded_of(model, package, names=names, count=None if count is None else int(count))
