"""The schemas that an ONNX file declares, read from it without opening a session."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from trivet.domain.onnx_graph import optional_inputs
from trivet.engine.native.ends import input_tensors, output_tensors

if TYPE_CHECKING:
    import onnx

__all__ = ["declared_schemas", "parsed_file"]


class _Node(NamedTuple):
    """An input or output, as a session would show it."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


def declared_schemas(path: Path, *, tensor_fields: Sequence[str] | None, single: bool) -> tuple[pa.Schema, pa.Schema]:
    """The schemas of a model's inputs and outputs. A session may know more of an output that the file leaves open.

    Args:
        path: a file that `packaging` has checked; weights in other files are not read.
        tensor_fields: names for its inputs, in their order.
        single: whether each row is a call.

    Raises:
        BadPackage: rows cannot hold one of them.
        Invalid: `tensor_fields` does not fit.
    """
    model = parsed_file(path)
    graph, optional = model.graph, optional_inputs(model)
    defaults = {each.name for each in graph.initializer}
    required = [each for each in graph.input if each.name not in defaults]
    replaceable = [each for each in graph.input if each.name in optional]
    inputs = input_tensors(
        list(_nodes(required)), list(_nodes(replaceable)), tensor_fields=tensor_fields, single=single
    )
    outputs = output_tensors(list(_nodes(graph.output)))
    return pa.schema([each.field for each in inputs]), pa.schema([each.field for each in outputs])


def parsed_file(path: Path) -> "onnx.ModelProto":
    """A model file that `packaging` has checked, without weights in other files."""
    # This import takes more than a tenth of a second.
    import onnx

    parsed: onnx.ModelProto = onnx.ModelProto.FromString(path.read_bytes())
    return parsed


def _nodes(values: "Iterable[onnx.ValueInfoProto]") -> Iterable[_Node]:
    import onnx

    for value in values:
        if value.type.WhichOneof("value") != "tensor_type":
            yield _Node(value.name, f"{value.type.WhichOneof('value')}", ())
            continue
        tensor = value.type.tensor_type
        shape = tuple(each.dim_value or each.dim_param or None for each in tensor.shape.dim)
        yield _Node(value.name, f"tensor({onnx.TensorProto.DataType.Name(tensor.elem_type).lower()})", shape)
