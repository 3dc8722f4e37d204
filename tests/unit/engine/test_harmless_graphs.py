"""Which graphs are proved harmless, and that what is computed of them before a run bounds what a run makes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from trivet.domain.memory_bounds import MemoryBounds
from trivet.engine.native.graphs.harmless import Examined, examine
from trivet.engine.native.graphs.operators import OPERATORS
from trivet_tests.hostile.corpus import entries
from trivet_tests.hostile.entry import within_bounds
from trivet_tests.hostile.graphs import FLOATS, ML, WHOLE, branch, model, node


def verdict(made: onnx.ModelProto, folder: Path) -> Examined:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return examine(path)


@pytest.mark.parametrize("hostile", entries("onnx"), ids=str)
def test_a_hostile_graph_is_not_proved_harmless(hostile, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(hostile.make())
    with within_bounds(hostile, size=path.stat().st_size):
        examined = examine(path)
    assert examined.reason == hostile.outcome


HARMLESS: dict[str, onnx.ModelProto] = {
    "whole numbers by a constant": model([node("Div", ["a", "b"])], {"a": WHOLE}, weights={"b": np.array([2, 3])}),
    "floats by rows": model([node("Div", ["x", "y0"])], {"x": FLOATS, "y0": FLOATS}),
    "zeros of the rows' own shape": model(
        [node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["z"]), node("Add", ["x", "z"])], {"x": FLOATS}
    ),
    "a shape of parts of a shape": model(
        [
            node("Shape", ["x"], ["s"]),
            node("Gather", ["s", "zero"], ["n"]),
            node("Unsqueeze", ["n", "axis"], ["n1"]),
            node("Concat", ["n1", "rest"], ["target"], axis=0),
            node("Reshape", ["x", "target"], ["r"]),
            node("MatMul", ["r", "w"]),
        ],
        {"x": (T.FLOAT, [None, 2, 8])},
        weights={
            "zero": np.array(0),
            "axis": np.array([0]),
            "rest": np.array([-1]),
            "w": np.ones((16, 3), np.float32),
        },
    ),
    "attention over a fixed number of places": model(
        [
            node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            node("MatMul", ["x", "t"], ["m"]),
            node("Softmax", ["m"], ["p"]),
            node("MatMul", ["p", "x"]),
        ],
        {"x": (T.FLOAT, [None, 128, 64])},
    ),
    "a recurrent network over a free number of places": model(
        [node("LSTM", ["x", "w", "r"], hidden_size=8, layout=0)],
        {"x": (T.FLOAT, [None, None, 4])},
        weights={"w": np.ones((1, 32, 4), np.float32), "r": np.ones((1, 32, 8), np.float32)},
    ),
    "an image network": model(
        [
            node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            node("Relu", ["c"], ["r"]),
            node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", ["p"], ["g"]),
            node("Flatten", ["g"]),
        ],
        {"x": (T.FLOAT, [None, 3, 224, 224])},
        weights={"w": np.ones((64, 3, 3, 3), np.float32)},
    ),
    "branches": model(
        [
            node("ReduceMax", ["x"], ["m"], keepdims=0),
            node("Cast", ["m"], ["c"], to=T.BOOL),
            node(
                "If",
                ["c"],
                then_branch=branch(node("Relu", ["x"], ["a"]), output="a"),
                else_branch=branch(node("Neg", ["x"], ["b"]), output="b"),
            ),
        ],
        {"x": FLOATS},
    ),
    "words that become columns": model(
        [node("OneHotEncoder", ["x"], domain=ML, cats_strings=["a", "b"], zeros=1)], {"x": (T.STRING, [None, 1])}
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_usual_graph_is_proved_harmless(name: str, tmp_path: Path) -> None:
    assert verdict(HARMLESS[name], tmp_path).reason is None


def test_local_functions_are_followed(tmp_path: Path) -> None:
    made = model([node("Twice", ["x"], domain="own")], {"x": FLOATS})
    made.opset_import.append(helper.make_opsetid("own", 1))
    made.functions.append(
        helper.make_function(
            "own", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
        )
    )
    hostile = onnx.ModelProto.FromString(made.SerializeToString())
    hostile.functions[0].node[0].op_type = "Unique"

    assert verdict(made, tmp_path).reason is None
    assert "has a size that its rows decide" in (verdict(hostile, tmp_path).reason or "")


def test_a_file_that_cannot_be_parsed_is_not_harmless(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 100)

    assert examine(tmp_path / "model.onnx").reason == "the file cannot be parsed"


def test_the_memory_of_a_row_follows_from_its_shapes(tmp_path: Path) -> None:
    made = model([node("MatMul", ["x", "w"])], {"x": FLOATS}, weights={"w": np.ones((4, 100), np.float32)})

    assert verdict(made, tmp_path) == Examined(None, MemoryBounds(row_bytes=400))


def test_159_operators_are_listed_each_with_its_reason() -> None:
    assert all(operator.why for operator in OPERATORS.values())
    assert len(OPERATORS) == 159


def test_models_of_other_exporters_are_proved_harmless(conformance: Path) -> None:
    files = sorted((conformance / "onnx").glob("*.onnx"))
    assert [path.stem for path in files] == ["ccfraud", "house_gbr", "house_rf", "multi_io"]
    assert [path.stem for path in files if examine(path).reason is not None] == []


def test_the_native_model_of_the_benchmarks_is_proved_harmless(benchmark_model: Path) -> None:
    assert examine(benchmark_model).reason is None


REAL = Path(onnx.__file__).parent / "backend" / "test" / "data"


@pytest.mark.parametrize(
    "name", ["bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet"]
)
def test_image_networks_are_proved_harmless(name: str) -> None:
    assert examine(REAL / "light" / f"light_{name}.onnx").reason is None


def test_all_layers_of_pytorch_are_proved_harmless() -> None:
    """Those that the ONNX project keeps as an exporter wrote them: layers, activations, pools, recurrent networks."""
    found = sorted(path for folder in REAL.glob("pytorch-*") for path in folder.rglob("model.onnx"))

    assert len(found) == 117
    assert [path.parent.name for path in found if examine(path).reason] == []
