"""`Inference`: the base class of a custom model."""

import typing
from abc import ABC, abstractmethod
from typing import Any, Set

import numpy as np

from mac.exceptions import InferenceDataValidationError, ModelNotAssignedError, ModelTypeError
from mac.types import InferenceData

__all__ = ["Inference"]

_ASSIGNED: Any = object()


class Inference(ABC):
    """A model and the way it predicts.

    A subclass says which types its model may have (`expected_model_types`: a property, a plain attribute or a method) and
    how it predicts (`_predict`). Callers use `predict`, which checks the data. No model is required: a class that needs one may
    call `raise_error_if_model_is_not_assigned`.
    """

    _model: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A class that replaces `predict` does not need `_predict`, so it must not be abstract without it.
        replaced = cls.predict is not Inference.predict
        if replaced and getattr(cls._predict, "__isabstractmethod__", False):
            cls._predict = cls.predict  # type: ignore[method-assign]

    @property
    @abstractmethod
    def expected_model_types(self) -> Set[Any]:
        """The types that the model may have: classes, also `int`, `str` or `typing.Dict`."""

    @property
    def model(self) -> Any:
        """The model, None until one is assigned.

        Raises:
            ModelTypeError: on assignment (a `TypeError`), if the model is of none of the expected types.
        """
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        self._raise_error_if_model_is_wrong_type(model)
        self._model = model

    def predict(self, input_data: InferenceData) -> InferenceData:
        """Check the input and predict.

        Args:
            input_data: arrays by field name, all with the same first dimension.

        Raises:
            InferenceDataValidationError: the input is something else.
        """
        _check_inference_data(input_data)
        return self._predict(input_data)

    @abstractmethod
    def _predict(self, input_data: InferenceData) -> InferenceData:
        """Predict on checked input: arrays by field name in, arrays by field name out, one row out for each row in."""

    def _raise_error_if_model_is_not_assigned(self) -> None:
        """Raise `ModelNotAssignedError` if there is no model."""
        if self.model is None:
            raise ModelNotAssignedError

    def _raise_error_if_model_is_wrong_type(self, model: Any = _ASSIGNED) -> None:
        """Raise `ModelTypeError` (a `TypeError`) if `model`, by default the assigned one, is of none of the expected types."""
        if model is _ASSIGNED:
            model = self.model
        declared: Any = self.expected_model_types
        if callable(declared) and not isinstance(declared, type):  # an author wrote a method
            declared = declared()
        expected = declared if isinstance(declared, (set, frozenset, list, tuple)) else (declared,)
        if not any(_is_of_type(model, kind) for kind in expected):
            raise ModelTypeError(
                "The model is of type {}, which is none of the expected model types: {}.".format(
                    _name(type(model)), ", ".join(sorted(map(_name, expected))) or "none are declared"
                )
            )

    def raise_error_if_model_is_not_assigned(self) -> None:
        """Raise `ModelNotAssignedError` if there is no model."""
        self._raise_error_if_model_is_not_assigned()

    def raise_error_if_model_is_wrong_type(self, model: Any = _ASSIGNED) -> None:
        """Raise `ModelTypeError` (a `TypeError`) if `model`, by default the assigned one, is of none of the expected types."""
        self._raise_error_if_model_is_wrong_type(model)


def _check_inference_data(input_data: Any) -> None:
    if not isinstance(input_data, dict):
        raise InferenceDataValidationError(
            f"The input data must be a dictionary of numpy arrays, not {_name(type(input_data))}."
        )
    rows = {}
    for name, values in input_data.items():
        if not isinstance(name, str):
            raise InferenceDataValidationError(f"The input data's keys must be strings, not {name!r}.")
        if not isinstance(values, np.ndarray):
            raise InferenceDataValidationError(
                f"The input data's field {name!r} must be a numpy array, not {_name(type(values))}."
            )
        if not values.ndim:
            raise InferenceDataValidationError(
                f"The input data's field {name!r} has no rows: its first dimension must be the batch."
            )
        rows[name] = len(values)
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name} has {count}" for name, count in rows.items())
        raise InferenceDataValidationError(f"The input data's fields differ in their number of rows: {counts}.")


def _is_of_type(model: Any, kind: Any) -> bool:
    """`isinstance` that also takes `typing.Dict`, `Dict[str, int]`, `Optional[X]`, `Any` and None."""
    if kind is Any:
        return True
    if kind is None:
        return model is None
    origin = typing.get_origin(kind)
    if origin is typing.Union:
        return any(_is_of_type(model, member) for member in typing.get_args(kind))
    if origin is not None:
        kind = origin
    try:
        return isinstance(model, kind)
    except TypeError:
        raise ModelTypeError(
            f"expected_model_types holds {kind!r}, which is not a type: declare a set of classes, like {{KMeans}}."
        ) from None


def _name(kind: Any) -> str:
    if not isinstance(kind, type):
        return str(kind)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
