"""scikit-learn models: rows as one list column in training order, or one column a feature."""

import importlib
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters import Columns, PackageFiles
from trivet_worker.failures import PackageError

__all__ = ["METHODS", "Features", "Loaded", "SklearnAdapter", "answers_of", "load", "load_model"]

Method = Callable[[Any], Any]

METHODS = {
    "predictions": ("predict", "transform"),
    "probabilities": ("predict_proba",),
    "decision_function": ("decision_function",),
}
"""An output field, and the methods that answer it, the first that the model has."""

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


class Features(NamedTuple):
    """How columns become the rows of a model.

    `fields` is the input schema. `names` are the columns of the DataFrame that the model was trained with, if it was one.
    `expected` is how many features it takes; None if it does not say so.
    """

    fields: "Sequence[pa.Field]"
    names: "Sequence[str]"
    expected: Optional[int]

    def check(self, title: str) -> None:
        """Check that the schema fits the model.

        Raises:
            PackageError: it does not; the message has a schema that fits.
        """
        if self.expected is None:
            return
        given = [field.name for field in self.fields]
        if self._is_list:
            size = self.fields[0].type.list_size if pat.is_fixed_size_list(self.fields[0].type) else self.expected
            what = f"column {given[0]!r} has {size} values"
        else:
            size, what = len(given), f"the input schema has {_counted(given)}"
            missing = sorted(set(self.names) - set(given))
            if missing and size == self.expected:
                raise PackageError(
                    f"{title} was trained with {_counted(missing)}, which the input schema does not have. {self._fits}"
                )
        if size != self.expected:
            raise PackageError(
                f"{title} takes {self.expected} feature{'' if self.expected == 1 else 's'}, and {what}. {self._fits}"
            )

    def rows(self, columns: Columns) -> Any:
        """The rows of a call, in the order that the model was trained with."""
        values = [columns[field.name] for field in self.fields]
        if not self._is_list:
            return self._of_columns(values)
        rows = values[0]
        if rows.ndim == 1:
            raise InferenceDataValidationError(f"the lists of {self.fields[0].name!r} differ in length")
        return self._frame(dict(zip(self.names, rows.T))) if self.names and rows.ndim == 2 else rows

    def _of_columns(self, values: "List[np.ndarray[Any, Any]]") -> Any:
        if self.names:
            by_name = dict(zip((field.name for field in self.fields), values))
            return self._frame({name: by_name[name] for name in self.names})
        if len(values) == 1 and self.expected is None and values[0].dtype == object:
            return values[0]  # texts for a vectorizer
        if any(column.dtype == object for column in values):
            rows = np.empty((len(values[0]), len(values)), dtype=object)
            for index, column in enumerate(values):
                rows[:, index] = column
            return rows
        return np.column_stack(values)

    def _frame(self, columns: "Dict[str, Any]") -> Any:
        return importlib.import_module("pandas").DataFrame(columns)

    @property
    def _is_list(self) -> bool:
        return len(self.fields) == 1 and pat.is_nested(self.fields[0].type)

    @property
    def _fits(self) -> str:
        columns = "; ".join(f"{name}: float64" for name in self.names)
        return f"A schema that fits: 'inputs: float64[{self.expected}]'" + (f", or '{columns}'" if columns else "")


class SklearnAdapter:
    """Answers each output field with a method of the model."""

    def __init__(self, features: Features, answers: "Sequence[tuple[pa.Field, Method]]") -> None:
        self._features = features
        self._answers = answers

    def predict(self, columns: Columns) -> "Dict[str, Any]":
        """See `Adapter.predict`."""
        rows = self._features.rows(columns)
        return {field.name: _shaped(method(rows), field) for field, method in self._answers}


def answers_of(model: Any, fields: "Sequence[pa.Field]", *, title: str) -> "List[tuple[pa.Field, Method]]":
    """The method for each output field. A single field of another name is the prediction.

    Raises:
        PackageError: the model has no such method.
    """
    found = []
    for field in fields:
        known = METHODS.get(field.name) or (METHODS["predictions"] if len(fields) == 1 else ())
        method = next((getattr(model, name) for name in known if hasattr(model, name)), None)
        if method is None:
            has = [name for name, methods in METHODS.items() if any(hasattr(model, each) for each in methods)]
            does = f"its fields are {', '.join(has)}" if has else "it only answers the rows that it was trained with"
            raise PackageError(f"{title} has no answer for the output field {field.name!r}: {does}")
        found.append((field, method))
    return found


class Loaded(NamedTuple):
    """A model, how columns become its rows, and the method for each output field."""

    model: Any
    features: Features
    answers: "Sequence[tuple[pa.Field, Method]]"


def load(package: PackageFiles, stage: "Callable[[str], None]") -> SklearnAdapter:
    """Load the model's file."""
    loaded = load_model(package, stage)
    return SklearnAdapter(loaded.features, loaded.answers)


def load_model(package: PackageFiles, stage: "Callable[[str], None]") -> Loaded:
    """Load the model's file, and check that the schemas fit it.

    Raises:
        PackageError: they do not.
    """
    file = package.files["model"]
    path = os.path.join(package.root, file)  # noqa: PTH118 - a plain string is enough
    loader = importlib.import_module("skops.io" if file.lower().endswith(".skops") else "joblib")
    importlib.import_module("sklearn")
    stage("loading")
    if loader.__name__ == "joblib":
        # Not `pickle`: the platform checked the file as joblib reads it.
        model = loader.load(path)
    else:
        model = loader.load(
            path, trusted=[each for each in loader.get_untrusted_types(file=path) if each in SKOPS_TYPES]
        )
    title = type(model).__name__
    names = [name for name in getattr(model, "feature_names_in_", ()) if isinstance(name, str)]
    count = getattr(model, "n_features_in_", None)
    features = Features(list(package.input_schema), names, None if count is None else int(count))
    features.check(title)
    return Loaded(model, features, answers_of(model, list(package.output_schema), title=title))


def _shaped(answer: Any, field: pa.Field) -> Any:
    """An answer as an array of the shape that the field has, where both hold one value a row."""
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    if isinstance(answer, list):
        answer = np.stack(answer, axis=1)
    rows = np.asarray(answer)
    if pat.is_nested(field.type):
        return rows[:, np.newaxis] if rows.ndim == 1 else rows
    return rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows


def _counted(names: "Sequence[str]") -> str:
    return f"{len(names)} column{'' if len(names) == 1 else 's'} ({', '.join(map(repr, names[:5]))}{', …' if len(names) > 5 else ''})"
