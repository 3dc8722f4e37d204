"""Write `fraud.onnx`: 29 numbers of a card transaction in, a probability of fraud out.

The network is made by hand, so it is the same on every machine: its hidden layer splits every number into its positive
and its negative part, its last layer adds these up. A transaction whose numbers lie far from the usual is a fraud.

    python examples/fraud_onnx/make_model.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper, save

WIDTH = 29
OUT = Path(__file__).resolve().parent.parent / "build"


def fraud_model() -> ModelProto:
    """A dense layer, a ReLU, a dense layer, a sigmoid: `dense_input` float32[rows, 29] -> `dense_1` float32[rows, 1]."""
    split = np.concatenate([np.eye(WIDTH), -np.eye(WIDTH)], axis=1).astype(np.float32)
    add_up = np.full((2 * WIDTH, 1), 0.1, dtype=np.float32)
    threshold = np.array([-6.0], dtype=np.float32)
    graph = helper.make_graph(
        name="fraud",
        inputs=[helper.make_tensor_value_info("dense_input", TensorProto.FLOAT, ["rows", WIDTH])],
        outputs=[helper.make_tensor_value_info("dense_1", TensorProto.FLOAT, ["rows", 1])],
        initializer=[
            numpy_helper.from_array(split, "split"),
            numpy_helper.from_array(add_up, "add_up"),
            numpy_helper.from_array(threshold, "threshold"),
        ],
        nodes=[
            helper.make_node("MatMul", ["dense_input", "split"], ["parts"]),
            helper.make_node("Relu", ["parts"], ["magnitudes"]),
            helper.make_node("MatMul", ["magnitudes", "add_up"], ["sum"]),
            helper.make_node("Add", ["sum", "threshold"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["dense_1"]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model


def main() -> None:
    """Write the model into the folder given, or into `examples/build`."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    folder.mkdir(parents=True, exist_ok=True)
    save(fraud_model(), str(folder / "fraud.onnx"))
    print(f"wrote {folder / 'fraud.onnx'}")


if __name__ == "__main__":
    main()
