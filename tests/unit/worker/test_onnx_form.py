"""A converted graph gets the inputs and outputs of the model's schemas."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from trivet.domain.schema import parse_schema
from trivet_worker.converting.onnx_form import FEATURES, Conversion, in_form, input_name

FLOAT = TensorProto.FLOAT


def graph(inputs: dict[str, int], node: Any, *, gives: int = FLOAT, shape: tuple[Any, ...] = (None, 2)) -> Any:
    """A graph of one node from inputs with these numbers of columns to `out`."""
    takes = [helper.make_tensor_value_info(name, FLOAT, [None, size]) for name, size in inputs.items()]
    made = helper.make_graph([node], "g", takes, [helper.make_tensor_value_info("out", gives, list(shape))])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def session(found: Conversion, inputs: str, outputs: str) -> ort.InferenceSession:
    file = in_form(found, list(parse_schema(inputs)), list(parse_schema(outputs)))
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"])


def test_a_list_column_feeds_all_features() -> None:
    doubled = graph({"X": 2}, helper.make_node("Add", ["X", "X"], ["out"]))
    made = session(Conversion(doubled, (), {"predictions": "out"}), "inputs: float64[2]", "predictions: float64[2]")
    (answer,) = made.run(None, {"inputs": np.array([[1.0, 2.0], [3.0, 4.0]])})
    assert (answer.dtype, answer.tolist()) == (np.float64, [[2.0, 4.0], [6.0, 8.0]])


def test_columns_are_joined_in_the_order_of_the_training() -> None:
    same = graph({FEATURES: 2}, helper.make_node("Identity", [FEATURES], ["out"]))
    made = session(Conversion(same, ("b", "a"), {"y": "out"}), "a: float64; b: int64", "y: float32[2]")
    (answer,) = made.run(None, {"a": np.array([1.0, 2.0]), "b": np.array([3, 4])})
    assert answer.tolist() == [[3.0, 1.0], [4.0, 2.0]]


def test_columns_with_inputs_of_their_own_are_fed_by_place() -> None:
    beside = graph(
        {input_name(0): 1, input_name(1): 1},
        helper.make_node("Sub", [input_name(0), input_name(1)], ["out"]),
        shape=(None, 1),
    )
    made = session(Conversion(beside, ("b", "a"), {"y": "out"}), "a: float32; b: float32", "y: float32")
    (answer,) = made.run(None, {"a": np.float32([1, 2]), "b": np.float32([5, 7])})
    assert answer.tolist() == [4.0, 5.0]


def test_a_column_may_have_the_name_of_a_tensor_of_the_graph() -> None:
    doubled = graph({"X": 1}, helper.make_node("Add", ["X", "X"], ["out"]), shape=(None, 1))
    made = session(Conversion(doubled, (), {"X": "out"}), "out: float32[1]", "X: float32")
    assert made.run(None, {"out": np.float32([[2.0]])})[0].tolist() == [4.0]


def test_an_integer_label_is_cast_to_the_integer_of_the_schema() -> None:
    label = graph(
        {"X": 2}, helper.make_node("ArgMax", ["X"], ["out"], axis=1, keepdims=0), gives=TensorProto.INT64, shape=(None,)
    )
    made = session(Conversion(label, (), {"y": "out"}), "x: float32[2]", "y: int32")
    (answer,) = made.run(None, {"x": np.float32([[0, 1], [1, 0]])})
    assert (answer.dtype, answer.tolist()) == (np.int32, [1, 0])


def test_a_text_for_a_number_is_an_error() -> None:
    label = graph({"X": 2}, helper.make_node("Cast", ["X"], ["out"], to=TensorProto.STRING), gives=TensorProto.STRING)
    with pytest.raises(ValueError, match="the converted file answers 'y' with another type than double"):
        session(Conversion(label, (), {"y": "out"}), "x: float32[2]", "y: float64")


def test_the_graph_of_the_converter_stays_as_it_is() -> None:
    doubled = graph({"X": 2}, helper.make_node("Add", ["X", "X"], ["out"]))
    before = doubled.SerializeToString()
    in_form(
        Conversion(doubled, (), {"y": "out"}), list(parse_schema("x: float64[2]")), list(parse_schema("y: float64[2]"))
    )
    assert doubled.SerializeToString() == before
