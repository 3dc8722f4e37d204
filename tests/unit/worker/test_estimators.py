"""How columns become the rows of an estimator, and its answers output fields. The models only look like ones."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters.estimators import Booster, EstimatorAdapter, Features, answers_of
from trivet_worker.failures import PackageError

NUMBERS = pa.list_(pa.float64(), 2)
TWO = [pa.field("a", pa.float64()), pa.field("b", pa.int64())]


class Model:
    """Answers with what it gets."""

    def predict(self, rows):
        return rows

    def predict_proba(self, rows):
        return np.full((len(rows), 2), 0.5)


class Transformer:
    def transform(self, rows):
        return np.asarray(rows) * 2


class Sparse:
    def transform(self, rows):
        class Rows:
            def toarray(self):
                return rows

        return Rows()


class Clusterer:
    def fit_predict(self, rows):
        return rows


def answered(model, features: Features, fields: list[pa.Field], **columns):
    adapter = EstimatorAdapter(features, answers_of(model, fields, title=type(model).__name__))
    return adapter.predict({name: np.asarray(values) for name, values in columns.items()})


def test_a_list_column_is_the_rows():
    features = Features([pa.field("inputs", NUMBERS)], [], 2)
    rows = features.rows({"inputs": np.array([[1.0, 2.0], [3.0, 4.0]])})
    assert rows.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_columns_are_stacked_in_the_order_of_the_schema():
    rows = Features(TWO, [], 2).rows({"b": np.array([2]), "a": np.array([1.5])})
    assert rows.tolist() == [[1.5, 2.0]]
    texts = Features([TWO[0], pa.field("c", pa.string())], [], 2)
    mixed = texts.rows({"a": np.array([1.5]), "c": np.array(["x"], object)})
    assert mixed.tolist() == [[1.5, "x"]]


@pytest.mark.parametrize("fields", [TWO, [pa.field("inputs", NUMBERS)]])
def test_a_model_of_a_data_frame_gets_columns_by_name(fields):
    values = {"a": np.array([1.0]), "b": np.array([2])} if len(fields) == 2 else {"inputs": np.array([[2.0, 1.0]])}
    rows = Features(fields, ["b", "a"], 2).rows(values)
    assert isinstance(rows, pd.DataFrame)
    assert (list(rows.columns), rows["a"][0], rows["b"][0]) == (["b", "a"], 1.0, 2)


def test_a_column_of_text_goes_to_a_vectorizer_as_it_is():
    rows = Features([pa.field("text", pa.string())], [], None).rows({"text": np.array(["one", "two"], object)})
    assert rows.tolist() == ["one", "two"]


def test_lists_of_several_lengths_are_invalid_input():
    features = Features([pa.field("inputs", pa.list_(pa.float64()))], [], 2)
    ragged = np.empty(2, object)
    ragged[:] = [np.array([1.0]), np.array([1.0, 2.0])]
    with pytest.raises(InferenceDataValidationError, match="the lists of 'inputs' differ in length"):
        features.rows({"inputs": ragged})


@pytest.mark.parametrize(
    ("features", "text"),
    [
        (
            Features([pa.field("inputs", NUMBERS)], [], 3),
            "M takes 3 features, and column 'inputs' has 2 values. A schema that fits: 'inputs: float64[3]'",
        ),
        (
            Features(TWO, ["a"], 1),
            (
                "M takes 1 feature, and the input schema has 2 columns ('a', 'b'). "
                "A schema that fits: 'inputs: float64[1]', or 'a: float64'"
            ),
        ),
        (
            Features(TWO, ["a", "c"], 2),
            (
                "M was trained with 1 column ('c'), which the input schema does not have. "
                "A schema that fits: 'inputs: float64[2]', or 'a: float64; c: float64'"
            ),
        ),
    ],
)
def test_a_schema_that_does_not_fit_is_refused_with_one_that_does(features: Features, text: str):
    with pytest.raises(PackageError) as caught:
        features.check("M")
    assert str(caught.value) == text


def test_a_schema_that_fits_passes():
    Features(TWO, ["b", "a"], 2).check("M")
    Features([pa.field("inputs", pa.list_(pa.float64()))], [], 7).check("M")
    Features(TWO, [], None).check("M")


def test_each_field_is_answered_by_its_method():
    inputs = Features([pa.field("inputs", NUMBERS)], [], 2)
    fields = [pa.field("predictions", NUMBERS), pa.field("probabilities", NUMBERS)]
    answer = answered(Model(), inputs, fields, inputs=[[1.0, 2.0]])
    assert {name: each.tolist() for name, each in answer.items()} == {
        "predictions": [[1.0, 2.0]],
        "probabilities": [[0.5, 0.5]],
    }


@pytest.mark.parametrize("name", ["predictions", "any"])
@pytest.mark.parametrize("model", [Transformer(), Sparse()])
def test_a_transformer_answers_with_what_it_makes(name, model):
    inputs = Features([pa.field("inputs", NUMBERS)], [], 2)
    answer = answered(model, inputs, [pa.field(name, NUMBERS)], inputs=np.array([[1.0, 2.0]]))
    assert np.asarray(answer[name]).shape == (1, 2)


def test_one_value_a_row_is_a_scalar_or_a_list_of_one_as_the_field_is():
    inputs = Features([TWO[0]], [], 1)
    scalar = answered(Model(), inputs, [pa.field("y", pa.float64())], a=[1.0, 2.0])
    assert scalar["y"].tolist() == [1.0, 2.0]
    features = Features([pa.field("text", pa.string())], [], None)
    lists = answered(Model(), features, [pa.field("y", pa.list_(pa.string(), 1))], text=np.array(["x"], object))
    assert lists["y"].tolist() == [["x"]]


def test_a_field_that_the_model_cannot_answer_is_refused():
    fields = [pa.field("predictions", pa.int64()), pa.field("colour", pa.string())]
    with pytest.raises(PackageError) as caught:
        answers_of(Model(), fields, title="Model")
    text = "Model has no answer for the output field 'colour': its fields are predictions, probabilities"
    assert str(caught.value) == text
    with pytest.raises(PackageError, match="DBSCAN .* it only answers the rows that it was trained with"):
        answers_of(Clusterer(), fields[:1], title="DBSCAN")


def test_an_integer_field_gets_the_class_of_a_booster():
    model = Booster("Booster", lambda rows: rows[:, 0], lambda rows: rows[:, 0])
    inputs = Features([pa.field("inputs", NUMBERS)], [], 2)
    rows = [[0.25, 9.0], [0.75, 9.0]]
    fields = [pa.field("predictions", pa.int64()), pa.field("probabilities", NUMBERS)]
    answer = answered(model, inputs, fields, inputs=rows)
    assert answer["predictions"].tolist() == [0, 1]
    assert answer["probabilities"].tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert answered(model, inputs, [pa.field("y", pa.float64())], inputs=rows)["y"].tolist() == [0.25, 0.75]
