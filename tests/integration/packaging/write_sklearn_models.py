"""Writes a fitted model of every estimator class of scikit-learn, as pickle and with joblib.

    python write_sklearn_models.py FOLDER

Prints the classes that are not written, with the reason.
"""

import pickle
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import all_estimators

# What a class needs to be made; all others take no arguments.
CLASSIFIER, REGRESSOR = LogisticRegression(), Ridge()
GRID = {"C": [0.1, 1.0]}
ARGUMENTS = {
    "ClassifierChain": {"estimator": CLASSIFIER},
    "ColumnTransformer": {"transformers": [("all", "passthrough", [0, 1]), ("rest", "drop", [2])]},
    "FeatureUnion": {"transformer_list": [("one", "passthrough")]},
    "FixedThresholdClassifier": {"estimator": CLASSIFIER},
    "FrozenEstimator": {"estimator": CLASSIFIER},
    "GridSearchCV": {"estimator": CLASSIFIER, "param_grid": GRID},
    "HalvingGridSearchCV": {"estimator": CLASSIFIER, "param_grid": GRID},
    "HalvingRandomSearchCV": {"estimator": CLASSIFIER, "param_distributions": GRID},
    "MultiOutputClassifier": {"estimator": CLASSIFIER},
    "MultiOutputRegressor": {"estimator": REGRESSOR},
    "OneVsOneClassifier": {"estimator": CLASSIFIER},
    "OneVsRestClassifier": {"estimator": CLASSIFIER},
    "OutputCodeClassifier": {"estimator": CLASSIFIER},
    "Pipeline": {"steps": [("model", CLASSIFIER)]},
    "RFE": {"estimator": CLASSIFIER},
    "RFECV": {"estimator": CLASSIFIER},
    "RandomizedSearchCV": {"estimator": CLASSIFIER, "param_distributions": GRID, "n_iter": 2},
    "RegressorChain": {"estimator": REGRESSOR},
    "SelectFromModel": {"estimator": CLASSIFIER},
    "SelfTrainingClassifier": {"estimator": CLASSIFIER},
    "SequentialFeatureSelector": {"estimator": CLASSIFIER},
    "SparseCoder": {"dictionary": np.eye(4)},
    "StackingClassifier": {"estimators": [("one", CLASSIFIER)]},
    "StackingRegressor": {"estimators": [("one", REGRESSOR)]},
    "TunedThresholdClassifierCV": {"estimator": CLASSIFIER},
    "VotingClassifier": {"estimators": [("one", CLASSIFIER)]},
    "VotingRegressor": {"estimators": [("one", REGRESSOR)]},
}
QUICK = {"n_estimators": 3, "max_iter": 20}

rng = np.random.RandomState(0)
X = np.abs(rng.rand(60, 4)) + 0.1
CLASSES = (X[:, 0] > X[:, 1]).astype(int)
NUMBERS = X @ [1.0, 2.0, 3.0, 4.0] + 1
TEXTS = ["one two", "two three", "four"] * 20
# Tries in turn, since classes take different targets.
TARGETS = [
    (X, CLASSES),
    (X, NUMBERS),
    (X, np.column_stack([CLASSES, 1 - CLASSES])),
    (X, np.column_stack([NUMBERS, NUMBERS])),
    (X[:, 0], NUMBERS),
    (TEXTS, CLASSES),
    ([{"a": 1.0, "b": "x"}] * 60, CLASSES),
    (CLASSES, None),
    ([["x", "y"]] * 60, None),
    (X @ X.T, None),
]
NUMERIC_TARGETS = ("Regress", "Elastic", "Lasso", "Lars", "Ridge", "CCA", "PLS")


def fitted(name, cls):
    model = cls(**ARGUMENTS.get(name, {}))
    known = model.get_params(deep=False)
    model.set_params(**{key: value for key, value in QUICK.items() if key in known and type(known[key]) is int})
    first = None
    targets = TARGETS[1:] + TARGETS[:1] if any(each in name for each in NUMERIC_TARGETS) else TARGETS
    for rows, target in targets:
        try:
            return clone(model).fit(rows, target)
        except Exception as error:  # noqa: BLE001 - the next kind of target
            first = first or error
    raise first


def main(folder):
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - it adds classes

    warnings.simplefilter("ignore")
    for name, cls in all_estimators():
        try:
            model = fitted(name, cls)
        except Exception as error:  # noqa: BLE001 - a class that is not written is printed
            print(f"{name}: {error}".splitlines()[0])
            continue
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model))
        joblib.dump(model, folder / f"{name}.joblib")
    for kind in ("zlib", "gzip", "bz2", "lzma", "xz", "lz4"):
        joblib.dump(RandomForestClassifier(3).fit(X, CLASSES), folder / f"{kind}.joblib", compress=(kind, 3))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
