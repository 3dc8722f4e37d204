"""ONNX graphs whose rows decide what they cost, or that can trap."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from trivet_tests.hostile.entry import Hostile

__all__ = ["FLOATS", "GRAPHS", "ML", "NUMBER", "ONE", "WHOLE", "Shape", "body", "branch", "doubled", "model", "node"]

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

TABLE: dict[str, tuple[onnx.ModelProto, str]] = {
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

GRAPHS = [
    Hostile(kind="onnx", name=name, make=made.SerializeToString, outcome=reason, most_s=5.0)
    for name, (made, reason) in TABLE.items()
]
