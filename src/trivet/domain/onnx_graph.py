"""What the graph of an ONNX file says about its inputs with a default, and about outputs that may leave out rows."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["optional_inputs", "outputs_that_select", "weights_among_inputs"]

OVERRIDABLE_SINCE_IR = 4
"""Files of earlier versions list all of their weights as inputs, and ONNX Runtime takes no other value for them."""

MOST_VALUES = 1024
"""A default with more values is a weight."""

WEIGHT_PLACES = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2, 3, 4),
    "Gather": (0,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "PRelu": (1,),
}
"""Where operators have the weights that a training learns."""

SELECTING = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""The length of what these return depends on values."""

VALUELESS = frozenset({"ConstantOfShape", "Shape", "Size"})
"""What these return depends on the shapes of their inputs only."""


def optional_inputs(model: "onnx.ModelProto") -> tuple[str, ...]:
    """Inputs that have a default, which a request may replace. None where the file lists its weights among the inputs."""
    names = _with_default(model)
    return () if _are_weights(model, set(names)) else names


def weights_among_inputs(model: "onnx.ModelProto") -> tuple[str, ...]:
    """Inputs that have a default, which is always used, because the program that wrote the file lists weights as inputs."""
    names = _with_default(model)
    return names if _are_weights(model, set(names)) else ()


def outputs_that_select(model: "onnx.ModelProto") -> frozenset[str]:
    """Outputs whose first dimension may depend on values: they are computed from what an operator has selected by its inputs."""
    valued = {each.name for each in model.graph.input}
    selected = set[str]()
    for node in model.graph.node:
        if valued.isdisjoint(node.input) or node.op_type in VALUELESS:
            continue
        valued.update(node.output)
        if node.op_type in SELECTING or not selected.isdisjoint(node.input):
            selected.update(node.output)
    return frozenset(each.name for each in model.graph.output if each.name in selected)


def _with_default(model: "onnx.ModelProto") -> tuple[str, ...]:
    constants = {each.name for each in model.graph.initializer}
    return tuple(each.name for each in model.graph.input if each.name in constants)


def _are_weights(model: "onnx.ModelProto", names: set[str]) -> bool:
    if model.ir_version < OVERRIDABLE_SINCE_IR:
        return True
    for tensor in model.graph.initializer:
        values = 1
        for size in tensor.dims:
            values *= size
        if tensor.name in names and values > MOST_VALUES:
            return True
    return any(
        node.input[place] in names
        for node in model.graph.node
        for place in WEIGHT_PLACES.get(node.op_type, ())
        if place < len(node.input)
    )
