"""What models with the interface of scikit-learn share: how rows become their input, and their answers output fields."""

import importlib
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters import Columns, PackageFiles
from trivet_worker.failures import PackageError

__all__ = [
    "METHODS",
    "Booster",
    "EstimatorAdapter",
    "Features",
    "Loaded",
    "adapter_of",
    "answers_of",
    "is_pickle",
    "loaded_of",
    "model_path",
    "unpickled",
]

Method = Callable[[Any], Any]

METHODS = {
    "predictions": ("predict", "transform"),
    "probabilities": ("predict_proba",),
    "decision_function": ("decision_function",),
}
"""An output field, and the methods that answer it, the first that the model has."""


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


class EstimatorAdapter:
    """Answers each output field with a method of the model."""

    def __init__(self, features: Features, answers: "Sequence[tuple[pa.Field, Method]]") -> None:
        self._features = features
        self._answers = answers

    def predict(self, columns: Columns) -> "Dict[str, Any]":
        """See `Adapter.predict`."""
        rows = self._features.rows(columns)
        return {field.name: _shaped(method(rows), field) for field, method in self._answers}


class Booster:
    """A model of trees that tells classes apart and answers their probabilities.

    Its prediction is what the model itself answers; for an integer field it is the most probable class.
    """

    def __init__(self, title: str, predict: Method, probabilities: Method) -> None:
        self.title = title
        self.predict = predict
        self._probabilities = probabilities

    def predict_proba(self, rows: Any) -> Any:
        """A column a class; the model answers the second of two only."""
        found = np.asarray(self._probabilities(rows))
        return np.column_stack([1 - found, found]) if found.ndim == 1 else found

    def predict_class(self, rows: Any) -> Any:
        """The most probable class."""
        return self.predict_proba(rows).argmax(axis=1)


def answers_of(model: Any, fields: "Sequence[pa.Field]", *, title: str) -> "List[tuple[pa.Field, Method]]":
    """The method for each output field. A single field of another name is the prediction.

    Raises:
        PackageError: the model has no such method.
    """
    found = []
    for field in fields:
        known = METHODS.get(field.name) or (METHODS["predictions"] if len(fields) == 1 else ())
        if known == METHODS["predictions"] and pat.is_integer(field.type):
            known = ("predict_class", *known)
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


def loaded_of(model: Any, package: PackageFiles, *, names: "Sequence[str]", count: Optional[int]) -> Loaded:
    """A model with what answers its rows.

    Args:
        model: with the methods that `METHODS` names.
        package: it has the schemas.
        names: the columns of the DataFrame that the model was trained with, if it was one.
        count: how many features it takes; None if it does not say so.

    Raises:
        PackageError: a schema does not fit; the message has one that does.
    """
    title = getattr(model, "title", type(model).__name__)
    features = Features(list(package.input_schema), names, count)
    features.check(title)
    return Loaded(model, features, answers_of(model, list(package.output_schema), title=title))


def adapter_of(model: Any, package: PackageFiles, *, names: "Sequence[str]", count: Optional[int]) -> EstimatorAdapter:
    """A model that answers rows; see `loaded_of`."""
    loaded = loaded_of(model, package, names=names, count=count)
    return EstimatorAdapter(loaded.features, loaded.answers)


def model_path(package: PackageFiles) -> str:
    """Where the model's file is."""
    return os.path.join(package.root, package.files["model"])  # noqa: PTH118 - a plain string is enough


def is_pickle(path: str) -> bool:
    """Whether a file is a pickle, by its suffix."""
    return path.lower().endswith((".pkl", ".pickle", ".joblib"))


def unpickled(path: str) -> Any:
    """The model in a pickle. Not with `pickle`: the platform checked the file as joblib reads it."""
    return importlib.import_module("joblib").load(path)


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
