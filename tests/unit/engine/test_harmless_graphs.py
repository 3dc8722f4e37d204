"""Which graphs are proved harmless, and that what is computed of them before a run bounds what a run makes."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from trivet.domain.memory_bounds import MemoryBounds
from trivet.engine.native.graphs.harmless import Examined, examine
from trivet.engine.native.graphs.operators import OPERATORS

ML = "ai.onnx.ml"
Shape = Sequence[int | str | None]


def node(op: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(op, inputs, outputs, name=f"{op}_1", domain=domain, **attributes)


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[int, Shape]],
    *,
    weights: Mapping[str, Any] | None = None,
    output: str = "y",
    opset: int = 18,
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    graph = helper.make_graph(
        nodes,
        "graph",
        ends,
        [helper.make_tensor_value_info(output, T.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def verdict(made: onnx.ModelProto, folder: Path) -> Examined:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return examine(path)


def body(*nodes: Any) -> Any:
    """The graph of a Loop that doubles a value."""
    return helper.make_graph(
        [node("Identity", ["c"], ["c2"]), node("Add", ["v", "v"], ["v2"]), *nodes],
        "body",
        [
            helper.make_tensor_value_info("i", T.INT64, []),
            helper.make_tensor_value_info("c", T.BOOL, []),
            helper.make_tensor_value_info("v", T.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("c2", T.BOOL, []), helper.make_tensor_value_info("v2", T.FLOAT, [1])],
    )


def doubled(times: int) -> list[Any]:
    names = ["x", *(f"x{index}" for index in range(times)), "y"]
    return [node("Concat", [one, one], [two], axis=1) for one, two in itertools.pairwise(names)]


def branch(*nodes: Any, output: str) -> Any:
    return helper.make_graph(list(nodes), output, [], [helper.make_tensor_value_info(output, T.FLOAT, None)])


FLOATS: tuple[int, Shape] = (T.FLOAT, [None, 4])
WHOLE: tuple[int, Shape] = (T.INT64, [None])
ONE: tuple[int, Shape] = (T.FLOAT, [None, 1])
NUMBER: tuple[int, Shape] = (T.INT64, [])

HOSTILE: dict[str, tuple[onnx.ModelProto, str]] = {
    "a Loop whose count is a row's": (
        model([node("Loop", ["n", "", "one"], body=body())], {"n": NUMBER}, weights={"one": np.ones(1, np.float32)}),
        "the operator Loop ('Loop_1') repeats its graph as often as its rows say",
    ),
    "int32 divided by a row": (
        model([node("Div", ["a", "b"])], {"a": (T.INT32, [None]), "b": (T.INT32, [None])}),
        "the operator Div ('Div_1') divides whole numbers by what rows decide, or by 0 or -1",
    ),
    "a remainder by a row": (
        model([node("Mod", ["a", "b"])], {"a": WHOLE, "b": WHOLE}),
        "the operator Mod ('Mod_1') divides whole numbers by what rows decide, or by 0 or -1",
    ),
    "whole numbers divided by -1": (
        model([node("Div", ["a", "b"])], {"a": WHOLE}, weights={"b": np.array([2, -1])}),
        "the operator Div ('Div_1') divides whole numbers by what rows decide, or by 0 or -1",
    ),
    "a divisor that is the length of the row": (
        model(
            [node("Shape", ["x"], ["s"]), node("Div", ["a", "s"])],
            {"a": (T.INT64, [None, 2]), "x": (T.FLOAT, [None, None])},
        ),
        "the operator Div ('Div_1') divides whole numbers by what rows decide, or by 0 or -1",
    ),
    "Range up to a row": (
        model([node("Range", ["a", "n", "b"])], {"n": NUMBER}, weights={"a": np.array(0), "b": np.array(1)}),
        "the operator Range ('Range_1') takes its limits from its rows",
    ),
    "ConstantOfShape of a row": (
        model([node("ConstantOfShape", ["n"])], {"n": (T.INT64, [1])}),
        "the operator ConstantOfShape ('ConstantOfShape_1') takes its shape from its rows",
    ),
    "Expand to a row": (
        model([node("Expand", ["x", "n"])], {"x": ONE, "n": (T.INT64, [2])}),
        "the operator Expand ('Expand_1') takes its shape from its rows",
    ),
    "Tile by a row": (
        model([node("Tile", ["x", "n"])], {"x": ONE, "n": (T.INT64, [2])}),
        "the operator Tile ('Tile_1') takes how often it repeats from its rows",
    ),
    "Resize by a row": (
        model([node("Resize", ["x", "", "s"])], {"x": (T.FLOAT, [None, 1, 4, 4]), "s": (T.FLOAT, [4])}),
        "the operator Resize ('Resize_1') takes its sizes from its rows",
    ),
    "Pad by a row": (
        model([node("Pad", ["x", "p"])], {"x": ONE, "p": (T.INT64, [4])}),
        "the operator Pad ('Pad_1') takes its pads from its rows",
    ),
    "OneHot with a row's depth": (
        model([node("OneHot", ["i", "d", "v"])], {"i": WHOLE, "d": NUMBER}, weights={"v": np.float32([0, 1])}),
        "the operator OneHot ('OneHot_1') takes its depth from its rows",
    ),
    "Reshape to a row": (
        model([node("Reshape", ["x", "s"])], {"x": ONE, "s": (T.INT64, [2])}),
        "the operator Reshape ('Reshape_1') takes its shape from its rows",
    ),
    "each row with each other row": (
        model([node("Transpose", ["x"], ["t"]), node("Add", ["x", "t"])], {"x": ONE}),
        "the operator Add ('Add_1') has results that grow with the product of its rows and its rows",
    ),
    "rows times rows": (
        model([node("Transpose", ["x"], ["t"]), node("MatMul", ["x", "t"])], {"x": FLOATS}),
        "the operator MatMul ('MatMul_1') has results that grow with the product of its rows and its rows",
    ),
    "places times places of a free size": (
        model(
            [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"])],
            {"x": (T.FLOAT, [None, "places", 8])},
        ),
        "the operator MatMul ('MatMul_1') has results that grow with the product of its rows and the size 'x.1' and the size 'x.1'",
    ),
    "two free sizes of two inputs": (
        model(
            [node("Unsqueeze", ["a", "w"], ["a1"]), node("Unsqueeze", ["b", "v"], ["b1"]), node("Mul", ["a1", "b1"])],
            {"a": (T.FLOAT, [1, None]), "b": (T.FLOAT, [1, None])},
            weights={"w": np.array([1]), "v": np.array([2])},
        ),
        "the operator Mul ('Mul_1') has results that grow with the product of the size 'a.1' and the size 'b.1'",
    ),
    "a row doubled 40 times": (
        model(doubled(40), {"x": ONE}),
        "a row may take 13,194,139,533,312 bytes of memory, and the limit is 67,109,120",
    ),
    "a Tile by a large constant": (
        model([node("Tile", ["x", "n"])], {"x": ONE, "n2": ONE}, weights={"n": np.array([1, 100_000_000])}),
        "a row may take 400,000,000 bytes of memory, and the limit is 67,109,376",
    ),
    "a Pad by a large constant": (
        model([node("Pad", ["x", "p"])], {"x": ONE}, weights={"p": np.array([0, 0, 0, 2**30])}),
        "a row may take 4,294,967,300 bytes of memory, and the limit is 67,109,120",
    ),
    "an Upsample by a thousand": (
        model(
            [node("Upsample", ["x", "s"])],
            {"x": (T.FLOAT, [None, 1, 8, 8])},
            weights={"s": np.float32([1, 1, 1000, 1000])},
            opset=9,
        ),
        "a row may take 256,064,004 bytes of memory, and the limit is 67,125,248",
    ),
    "constants that fill the memory": (
        model(
            [node("ConstantOfShape", ["n"], ["z"]), node("Add", ["x", "z"])],
            {"x": ONE},
            weights={"n": np.array([2**40])},
        ),
        "a call may take 4,398,046,511,104 bytes of memory, and the limit is 268,435,456",
    ),
    "a row's text copied as often as rows say": (
        model([node("Gather", ["x", "i"])], {"x": (T.STRING, [None]), "i": WHOLE}),
        "the operator Gather ('Gather_1') copies text as often as rows say",
    ),
    "a pattern on text": (
        model([node("RegexFullMatch", ["x"], pattern="(a+)+b")], {"x": (T.STRING, [None])}, opset=20),
        "the operator RegexFullMatch ('RegexFullMatch_1') matches a pattern, which may take long",
    ),
    "NonZero": (
        model([node("NonZero", ["x"])], {"x": FLOATS}),
        "the operator NonZero ('NonZero_1') has a size that its rows decide",
    ),
    "an operator of another domain": (
        model([node("Tokenizer", ["x"], domain="com.microsoft")], {"x": (T.STRING, [None])}),
        "the operator com.microsoft.Tokenizer ('Tokenizer_1') is not on the list of those that are harmless",
    ),
    "a Loop inside a branch": (
        model(
            [
                node("ReduceMax", ["x"], ["m"], keepdims=0),
                node("Cast", ["m"], ["c"], to=T.BOOL),
                node(
                    "If",
                    ["c"],
                    then_branch=branch(node("Loop", ["n", "", "one"], ["a"], body=body()), output="a"),
                    else_branch=branch(node("Identity", ["one"], ["b"]), output="b"),
                ),
            ],
            {"x": FLOATS, "n": NUMBER},
            weights={"one": np.ones(1, np.float32)},
        ),
        "the operator Loop ('Loop_1') repeats its graph as often as its rows say",
    ),
    "an input without a shape": (
        model([node("Identity", ["x"])], {"x": (T.FLOAT, None)}),  # type: ignore[dict-item]
        "the input 'x' has no shape in the file",
    ),
    "a matrix of constants that takes minutes": (
        model(
            [node("Tile", ["x", "n"], ["t"]), node("MaxPool", ["t"], kernel_shape=[4_000_000])],
            {"x": (T.FLOAT, [None, 1, 1])},
            weights={"n": np.array([1, 1, 7_999_999])},
        ),
        "the operator MaxPool ('MaxPool_1') takes 2e+13 steps for a row",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_not_proved_harmless(name: str, tmp_path: Path) -> None:
    made, reason = HOSTILE[name]

    assert verdict(made, tmp_path).reason == reason


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


@pytest.mark.parametrize("name", ["ccfraud", "house_gbr", "house_rf", "multi_io"])
def test_models_of_other_exporters_are_proved_harmless(conformance: Path, name: str) -> None:
    assert examine(conformance / "onnx" / f"{name}.onnx").reason is None


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
