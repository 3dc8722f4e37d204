"""What an ONNX file says about itself."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from trivet.packaging import onnx_facts


def value(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, (None, 2))


def saved(tmp_path, *, operator="Add", domain="", **said):
    node = helper.make_node(operator, ["x", "w"], ["y"], domain=domain)
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w")
    graph = helper.make_graph([node], said.pop("graph_name", "g"), [value("x"), value("w")], [value("y")], [weight])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, **said)
    metadata = {"author": "me", "notes": "n" * 200}
    helper.set_model_props(model, metadata)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_file_says_who_made_it_and_what_it_needs(tmp_path):
    path = saved(
        tmp_path,
        operator="FusedMatMul",
        domain="com.microsoft",
        producer_name="skl2onnx",
        producer_version="1.16.0",
        doc_string="Scores\nfraud.",
        model_version=3,
    )
    assert onnx_facts(path) == (
        "made by 'skl2onnx 1.16.0', IR version 8, opset ai.onnx 17, com.microsoft 1",
        "graph 'g', version '3'",
        "documentation of the model: 'Scores\\nfraud.'",
        f"metadata: 'author': 'me', 'notes': '{'n' * 77}...'",
        "operators outside of the ONNX standard: com.microsoft.FusedMatMul",
        "inputs with a default, which are optional: 'w'",
    )


def test_a_file_that_says_little_is_described_in_short(tmp_path):
    first, *_ = onnx_facts(saved(tmp_path, graph_name=""))
    assert first == "made by an unnamed program, IR version 8, opset ai.onnx 17, com.microsoft 1"


def test_a_file_that_lists_its_weights_as_inputs_says_so(tmp_path):
    facts = onnx_facts(saved(tmp_path, operator="MatMul"))
    assert facts[-1] == "weights that the file lists as inputs: 'w'"


def test_outputs_that_select_rows_are_named(tmp_path):
    facts = onnx_facts(saved(tmp_path, operator="Compress"))
    assert facts[-1] == "outputs whose number of rows may depend on values: 'y'"
