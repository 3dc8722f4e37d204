"""The authoring contract, as authors use it on their own machines."""

# ruff: noqa: UP006, UP045 - authors on Python 3.8 write it like this

import typing
from pathlib import Path

import numpy as np
import pytest

from mac.config.inference import CustomInferenceConfig
from mac.exceptions import InferenceDataValidationError, ModelNotAssignedError
from mac.inference import Inference
from mac.inference.creation import InferenceBuilder
from mac.types import InferenceData


class Sum(Inference):
    def __init__(self, offset: int = 0):
        self.offset = offset
        super().__init__()

    @property
    def expected_model_types(self) -> set:
        return {float, typing.Dict}

    @Inference.model.setter
    def model(self, model) -> None:
        self._raise_error_if_model_is_wrong_type(model)
        self._model = model

    def _predict(self, input_data: InferenceData) -> InferenceData:
        return {"y": input_data["x"].sum(axis=1) + self.offset}


class SumBuilder(InferenceBuilder):
    @property
    def inference(self) -> type:
        return Sum

    def create(self, config: CustomInferenceConfig) -> Sum:
        made = self.inference(offset=len(config.model_path.name))
        made.model = 1.0
        return made


def test_an_author_tries_a_model_on_the_own_machine():
    config = CustomInferenceConfig(framework="custom", model_path="./byop/", modules_to_include={"*.py"})
    assert config.model_path == Path("byop")
    inference = SumBuilder().create(config)
    assert inference.predict(input_data={"x": np.ones((2, 3))})["y"].tolist() == [7, 7]


def test_a_class_without_a_model_predicts():
    assert Sum().predict({"x": np.ones((1, 1))})["y"].tolist() == [1]


@pytest.mark.parametrize("check", ["_raise_error_if_model_is_not_assigned", "raise_error_if_model_is_not_assigned"])
def test_both_names_check_that_a_model_is_there(check):
    with pytest.raises(ModelNotAssignedError, match=r"^The model is not assigned to the Inference object\.$"):
        getattr(Sum(), check)()


@pytest.mark.parametrize("check", ["_raise_error_if_model_is_wrong_type", "raise_error_if_model_is_wrong_type"])
def test_both_names_check_the_models_type(check):
    getattr(Sum(), check)({"any": "dict"})
    with pytest.raises(
        TypeError, match="The model is of type str, which is none of the expected model types: float, typ"
    ):
        getattr(Sum(), check)("text")


@pytest.mark.parametrize("check", ["_raise_error_if_model_is_wrong_type", "raise_error_if_model_is_wrong_type"])
def test_without_an_argument_the_assigned_model_is_checked(check):
    inference = Sum()
    with pytest.raises(TypeError, match="is of type NoneType"):
        getattr(inference, check)()
    inference.model = 1.0
    getattr(inference, check)()


def test_an_assigned_model_of_another_type_is_refused():
    with pytest.raises(TypeError, match="is of type int"):
        Sum().model = 3


def of_types(types, *, how="attribute"):
    members = {"_predict": lambda self, data: data}
    if how == "attribute":
        members["expected_model_types"] = types
    elif how == "method":
        members["expected_model_types"] = lambda self: types
    return type("Some", (Inference,), members)()


@pytest.mark.parametrize(
    ("types", "model"),
    [
        ({int}, 3),
        ({str}, "x"),
        ({typing.Dict}, {}),
        ({typing.Dict[str, int]}, {}),
        ({typing.List[int]}, []),
        ({typing.Any}, object()),
        ({typing.Optional[int]}, 3),
        ({typing.Callable}, print),
        ({int, type(None)}, 3),
        ([int], 3),
        (int, 3),
    ],
)
@pytest.mark.parametrize("how", ["attribute", "method"])
def test_expected_types_may_be_declared_in_many_ways(types, model, how):
    if types is int and how == "method":
        pytest.skip("a class given by a method is covered by the sets")
    some = of_types(types, how=how)
    some.model = model
    assert some.model is model


def test_a_wrong_expected_type_is_refused():
    with pytest.raises(TypeError, match=r"expected_model_types holds 'KMeans', which is not a type"):
        of_types({"KMeans"}).model = 3


def test_a_class_that_replaces_predict_needs_no_other_method():
    class Own(Inference):
        expected_model_types: typing.ClassVar = {int}

        def predict(self, input_data):
            return {"y": input_data["x"]}

    assert Own().predict({"x": 1}) == {"y": 1}


def test_half_made_classes_cannot_be_made():
    class NoPredict(Inference):
        expected_model_types: typing.ClassVar = {int}

    class NoTypes(Inference):
        def _predict(self, input_data):
            return input_data

    with pytest.raises(TypeError, match="_predict"):
        NoPredict()
    with pytest.raises(TypeError, match="expected_model_types"):
        NoTypes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "must be a dictionary of numpy arrays, not list"),
        ({1: np.ones(1)}, "keys must be strings, not 1"),
        ({"x": [1]}, "field 'x' must be a numpy array, not list"),
        ({"x": np.array(1)}, "field 'x' has no rows"),
        ({"x": np.ones(1), "z": np.ones(2)}, "differ in their number of rows: x has 1, z has 2"),
    ],
)
def test_input_that_is_not_a_batch_is_refused(data, message):
    made = Sum()
    made.model = 1.0
    with pytest.raises(InferenceDataValidationError, match=message):
        made.predict(data)
    with pytest.raises(ValueError, match=message):
        made.predict(data)
