"""Gives a converted graph the inputs and outputs that the model's schemas say, so that a session of it needs no adapter."""

import importlib
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import pyarrow as pa
import pyarrow.types as pat

__all__ = ["FEATURES", "Conversion", "in_form"]

FEATURES = "features"
"""The only input of a graph that takes all features together."""

ELEMENTS = {
    "float": "FLOAT",
    "double": "DOUBLE",
    "halffloat": "FLOAT16",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "bool": "BOOL",
    "string": "STRING",
}


class Conversion(NamedTuple):
    """A converted model.

    Attributes:
        graph: from the converter.
        order: the columns of the schema in the order of the training; empty where one list column has all features.
        outputs: the graph's output for each field of the output schema.
    """

    graph: Any
    order: "Sequence[str]"
    outputs: "Dict[str, str]"


def in_form(found: Conversion, inputs: "Sequence[pa.Field]", outputs: "Sequence[pa.Field]") -> bytes:
    """The file of a conversion, with the columns of the schemas as inputs and outputs.

    Args:
        found: the conversion.
        inputs: fields of the input schema.
        outputs: fields of the output schema.

    Raises:
        ValueError: a field has no form in ONNX.
    """
    onnx = importlib.import_module("onnx")
    model = onnx.ModelProto()
    model.CopyFrom(found.graph)
    graph = model.graph
    given = {value.name: value for value in graph.input}
    made = {value.name: value for value in graph.output}
    _rename(graph)
    before, takes = _inputs(onnx, given, found.order, inputs)
    after, gives = _outputs(onnx, made, found.outputs, outputs)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(takes)
    graph.output.extend(gives)
    graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(importlib.import_module("numpy").array([-1, 1], "int64"), "to column"),
            onnx.numpy_helper.from_array(importlib.import_module("numpy").array([-1], "int64"), "to vector"),
        ]
    )
    onnx.checker.check_model(model)
    file: bytes = model.SerializeToString()
    return file


INNER = "inner "


def _rename(graph: Any) -> None:
    """Give all tensors of a graph names that no column has."""
    for node in graph.node:
        node.input[:] = [INNER + name if name else "" for name in node.input]
        node.output[:] = [INNER + name if name else "" for name in node.output]
    for value in graph.initializer:
        value.name = INNER + value.name
    del graph.value_info[:]


def _inputs(
    onnx: Any, given: "Dict[str, Any]", order: "Sequence[str]", fields: "Sequence[pa.Field]"
) -> "Tuple[List[Any], List[Any]]":
    make = onnx.helper.make_node
    takes = [_value(onnx, field) for field in fields]
    if not order:
        (name,) = given
        return [_cast(onnx, fields[0].name, INNER + name, given[name])], takes
    nodes = [make("Reshape", [field.name, "to column"], [f"column {field.name}"]) for field in fields]
    if list(given) == [FEATURES]:
        width = given[FEATURES]
        nodes += [_cast(onnx, f"column {name}", f"number {name}", width) for name in order]
        nodes.append(make("Concat", [f"number {name}" for name in order], [INNER + FEATURES], axis=1))
        return nodes, takes
    for place, name in enumerate(order):
        value = given[input_name(place)]
        nodes.append(_cast(onnx, f"column {name}", INNER + value.name, value))
    return nodes, takes


def input_name(place: int) -> str:
    """The input of a graph for a feature, where each feature has its own."""
    return f"feature_{place}"


def _outputs(
    onnx: Any, made: "Dict[str, Any]", sources: "Dict[str, str]", fields: "Sequence[pa.Field]"
) -> "Tuple[List[Any], List[Any]]":
    nodes = []
    for field in fields:
        source = made[sources[field.name]]
        kind = _element(onnx, field.type)
        value, shaped = INNER + source.name, f"shaped {field.name}"
        if pat.is_nested(field.type):
            rank = len(source.type.tensor_type.shape.dim)
            if rank == 1:
                nodes.append(onnx.helper.make_node("Reshape", [value, "to column"], [shaped]))
                value = shaped
        else:
            nodes.append(onnx.helper.make_node("Reshape", [value, "to vector"], [shaped]))
            value = shaped
        if source.type.tensor_type.elem_type == kind:
            nodes.append(onnx.helper.make_node("Identity", [value], [field.name]))
        elif onnx.TensorProto.STRING in (kind, source.type.tensor_type.elem_type):
            raise ValueError(f"the converted file answers {field.name!r} with another type than {field.type}")
        else:
            nodes.append(onnx.helper.make_node("Cast", [value], [field.name], to=kind))
    return nodes, [_value(onnx, field) for field in fields]


def _cast(onnx: Any, name: str, target: str, value: Any) -> Any:
    return onnx.helper.make_node("Cast", [name], [target], to=value.type.tensor_type.elem_type)


def _value(onnx: Any, field: pa.Field) -> Any:
    shape: List[Any] = ["rows"]
    if pat.is_fixed_size_list(field.type):
        shape.append(field.type.list_size)
    elif pat.is_nested(field.type):
        shape.append("size")
    return onnx.helper.make_tensor_value_info(field.name, _element(onnx, field.type), shape)


def _element(onnx: Any, kind: pa.DataType) -> int:
    if pat.is_nested(kind):
        kind = kind.value_type
    name = ELEMENTS.get(str(kind))
    if name is None:
        raise ValueError(f"ONNX has no {kind}")
    element: int = getattr(onnx.TensorProto, name)
    return element
