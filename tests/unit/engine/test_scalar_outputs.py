"""The output schema beside an ONNX model: an output of one value a row can be a plain value; all else must match the model."""

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from trivet.domain.routes import CPU
from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.native.opening import open_session
from trivet.errors import Invalid


@pytest.fixture
def opened(tmp_path):
    """`opened("score: float32")` is a session whose model answers `score` as `[n, 1]` and `pair` as `[n, 2]`."""
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["score"], keepdims=1),
        helper.make_node("Identity", ["x"], ["pair"]),
    ]
    info = helper.make_tensor_value_info
    outputs = [info("score", TensorProto.FLOAT, ["N", 1]), info("pair", TensorProto.FLOAT, ["N", 2])]
    graph = helper.make_graph(nodes, "graph", [info("x", TensorProto.FLOAT, ["N", 2])], outputs, [axes])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)

    def open_with(schema):
        return open_session(
            path,
            tensor_fields=None,
            single=False,
            input_schema=None,
            output_schema=None if schema is None else parse_schema(schema),
            example=None,
            threads=1,
            providers=CPU,
        )

    return open_with


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (None, pa.list_(pa.float32(), 1)),
        ("score: float32[1]", pa.list_(pa.float32(), 1)),
        ("score: float32[1]; pair: float32[2]", pa.list_(pa.float32(), 1)),
        ("score: float32", pa.float32()),
        ("score: float32; pair: float32[2]", pa.float32()),
    ],
)
def test_an_output_of_one_value_is_a_list_or_that_value_as_its_owner_says(opened, said, kind):
    session = opened(said)
    assert session.output_schema.field("score").type == kind
    assert session.output_schema.field("pair").type == pa.list_(pa.float32(), 2)
    answer = session.run(Batch(session.input_schema, [np.array([[1, 2], [3, 4]], np.float32)], 2))
    expected = [3.0, 7.0] if kind == pa.float32() else [[3.0], [7.0]]
    assert answer.arrow(0).to_pylist() == expected


@pytest.mark.parametrize(
    "said", ["score: float64", "score: float32[2]", "pair: float32", "pair: float32[1]", "no: float32"]
)
def test_an_output_schema_that_the_model_does_not_keep_is_refused(opened, said):
    with pytest.raises(Invalid) as caught:
        opened(said)
    assert caught.value.what.startswith(f"the output schema has {said}, and the model score: float32[1]; pair")


@pytest.mark.parametrize(
    ("said", "expected"), [(None, [[3], [1]]), ("label: int64[1]", [[3], [1]]), ("label: int64", [3, 1])]
)
def test_an_output_without_a_second_dimension_is_a_list_of_one_by_default(tmp_path, said, expected):
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0)]
    graph = helper.make_graph(
        nodes, "graph", [info("x", TensorProto.FLOAT, ["N", 4])], [info("label", TensorProto.INT64, ["N"])]
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    session = open_session(
        path,
        tensor_fields=None,
        single=False,
        input_schema=None,
        output_schema=None if said is None else parse_schema(said),
        example=None,
        threads=1,
        providers=CPU,
    )
    rows = np.array([[0, 0, 0, 1], [0, 1, 0, 0]], np.float32)
    answer = session.run(Batch(session.input_schema, [rows], 2))
    assert answer.schema == session.output_schema == parse_schema(said or "label: int64[1]")
    assert answer.arrow(0).to_pylist() == expected
