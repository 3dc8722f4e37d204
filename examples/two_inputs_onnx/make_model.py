"""Write `house_price.onnx`: an area and the name of a district in, a price and a yes or no out.

Two inputs and two outputs of four data types, strings among them. The table of districts is part of the model.

    python examples/two_inputs_onnx/make_model.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper, save

PRICE_A_SQUARE_METRE = {"harbour": 5200.0, "old town": 6100.0, "hill": 4300.0}
ELSEWHERE = 3500.0
EXPENSIVE = 500_000.0
OUT = Path(__file__).resolve().parent.parent / "build"


def price_model() -> ModelProto:
    """`area` float32[rows, 1] and `district` string[rows, 1] -> `price` float32[rows, 1], `expensive` bool[rows, 1]."""
    graph = helper.make_graph(
        name="house_price",
        inputs=[
            helper.make_tensor_value_info("area", TensorProto.FLOAT, ["rows", 1]),
            helper.make_tensor_value_info("district", TensorProto.STRING, ["rows", 1]),
        ],
        outputs=[
            helper.make_tensor_value_info("price", TensorProto.FLOAT, ["rows", 1]),
            helper.make_tensor_value_info("expensive", TensorProto.BOOL, ["rows", 1]),
        ],
        initializer=[numpy_helper.from_array(np.array([EXPENSIVE], dtype=np.float32), "limit")],
        nodes=[
            helper.make_node(
                "LabelEncoder",
                ["district"],
                ["a_square_metre"],
                domain="ai.onnx.ml",
                keys_strings=list(PRICE_A_SQUARE_METRE),
                values_floats=list(PRICE_A_SQUARE_METRE.values()),
                default_float=ELSEWHERE,
            ),
            helper.make_node("Mul", ["area", "a_square_metre"], ["price"]),
            helper.make_node("Greater", ["price", "limit"], ["expensive"]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    checker.check_model(model)
    return model


def main() -> None:
    """Write the model into the folder given, or into `examples/build`."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    folder.mkdir(parents=True, exist_ok=True)
    save(price_model(), str(folder / "house_price.onnx"))
    print(f"wrote {folder / 'house_price.onnx'}")


if __name__ == "__main__":
    main()
