"""Inputs of an ONNX model that have a default."""

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from trivet.domain.schema import format_schema
from trivet.engine.batch import Batch
from trivet.engine.native.declared import declared_schemas
from trivet.engine.native.graphs.harmless import examine
from trivet.engine.native.session import NativeSession
from trivet.errors import Invalid

FLOAT = TensorProto.FLOAT


def scaled(write_model, default, shape, *, rows="N", operator="Mul"):
    """`y = x * factor`, where `factor` has a default."""
    weight = numpy_helper.from_array(np.array(default, np.float32), "factor")
    node = helper.make_node(operator, ["x", "factor"], ["y"])
    inputs = {"x": (FLOAT, [rows, 2]), "factor": (FLOAT, shape)}
    return write_model([node], inputs, {"y": (FLOAT, [rows, 2])}, [weight])


def asked(session, x, factor):
    columns = [pa.array(values, field.type) for values, field in zip((x, factor), session.input_schema, strict=True)]
    answer = session.run(Batch(session.input_schema, columns, len(x)))
    return answer.record_batch().column(0).to_pylist()


ROWS = [[1, 1], [2, 2], [3, 3]]


@pytest.mark.parametrize(
    ("default", "shape", "kind", "given", "expected"),
    [
        (10, [], "float32?", [None, 100, 100], [[10, 10], [200, 200], [300, 300]]),
        ([10], [1], "float32?", [5, None, 7], [[5, 5], [20, 20], [21, 21]]),
        ([[10]], ["N", 1], "float32[1]?", [[5], None, [7]], [[5, 5], [20, 20], [21, 21]]),
        ([10, 20], [2], "float32[2]?", [None, [1, 2], [None, None]], [[10, 20], [2, 4], [30, 60]]),
        ([10, 20], ["K"], "float32[]?", [[], [1, 2], [2]], [[10, 20], [2, 4], [6, 6]]),
    ],
    ids=["scalar", "vector of one", "value a row", "vector", "any length"],
)
def test_rows_without_a_value_get_the_default(write_model, default, shape, kind, given, expected):
    path = scaled(write_model, default, shape)
    session = NativeSession(path)
    assert format_schema(session.input_schema) == f"x: float32[2]; factor: {kind}"
    assert declared_schemas(path, tensor_fields=None, single=False)[0] == session.input_schema
    assert asked(session, ROWS, given) == expected
    absent = [[]] * 3 if "[]" in kind else [None] * 3
    own = np.broadcast_to(np.array(default, np.float32).reshape(-1), (2,))
    assert asked(session, ROWS, absent) == [[row[0] * own[0], row[1] * own[1]] for row in ROWS]


@pytest.mark.parametrize("rows", [1, 4])
def test_a_fixed_number_of_rows_is_filled_up_beside_a_value(write_model, rows):
    session = NativeSession(scaled(write_model, 10, [], rows=rows))
    assert asked(session, ROWS, [None, 2, 2]) == [[10, 10], [4, 4], [6, 6]]


def test_a_value_with_some_nulls_is_refused(write_model):
    session = NativeSession(scaled(write_model, [10, 20], [2]))
    with pytest.raises(Invalid) as caught:
        asked(session, ROWS, [None, [1, None], None])
    assert caught.value.what == "row 1 of 'factor' is not a tensor"
    assert caught.value.why == "some of its values are null"
    assert caught.value.path == "[1].factor"


def test_names_may_be_given_for_required_inputs_or_for_all(write_model):
    path = scaled(write_model, 10, [])
    assert NativeSession(path, tensor_fields=["a"]).input_schema.names == ["a", "factor"]
    session = NativeSession(path, tensor_fields=["a", "b"])
    assert session.input_schema.names == ["a", "b"]
    assert session.calls.columns == ("a", "b")
    assert session.calls.optional == ("factor",)
    with pytest.raises(Invalid) as caught:
        NativeSession(path, tensor_fields=["a", "b", "c"])
    assert caught.value.why == "the model's inputs are x, and the optional ones factor"


def test_a_graph_whose_default_may_be_replaced_is_not_harmless(write_model):
    assert examine(scaled(write_model, 10, [])).reason == "a request may replace the default of the input 'factor'"


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_that_are_listed_as_inputs_stay_as_they_are(write_model, ir_version):
    path = scaled(write_model, [[1, 2], [3, 4]], [2, 2], operator="Mul" if ir_version == 3 else "MatMul", rows=2)
    model = onnx.load(path)
    model.ir_version = ir_version
    onnx.save(model, path)
    assert NativeSession(path).input_schema.names == ["x"]
    assert declared_schemas(path, tensor_fields=None, single=False)[0].names == ["x"]
    assert examine(path).reason is None
