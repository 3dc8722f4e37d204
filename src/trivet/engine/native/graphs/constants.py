"""What is known of the weights and constants of a graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trivet.engine.native.graphs.sizes import NotHarmless, Size
from trivet.engine.native.graphs.values import INTEGERS, Kind, Value

if TYPE_CHECKING:
    import onnx

__all__ = ["constant", "constant_of"]

FEW = 4096
"""Shapes, scales and the like are short; longer floats are not looked into."""


def constant(tensor: "onnx.TensorProto") -> Value:
    """A weight. Its numbers are followed where they are few and in the file itself."""
    dims = list(map(int, tensor.dims))
    if min(dims, default=0) < 0:
        raise NotHarmless("has a negative size")
    value = Value.of(tensor.data_type, list(map(Size.of, dims)))
    outside = bool(tensor.external_data) or tensor.data_location == tensor.EXTERNAL
    count = value.elements.known or 0
    if not outside and (count <= FEW or tensor.data_type == Kind.STRING or tensor.data_type in INTEGERS):
        from onnx import numpy_helper

        try:
            return Value.fixed(numpy_helper.to_array(tensor), tensor.data_type)
        except (ValueError, TypeError):
            raise NotHarmless("cannot be read") from None
    if tensor.data_type == Kind.STRING:
        raise NotHarmless("holds text outside of the file")
    return value


def constant_of(proto: "onnx.NodeProto") -> Value:
    """The result of a node `Constant`."""
    (attribute,) = proto.attribute if len(proto.attribute) == 1 else (None,)
    if attribute is not None and attribute.name == "value":
        return constant(attribute.t)
    single: dict[str, tuple[int, type | str]] = {
        "value_float": (Kind.FLOAT, np.float32),
        "value_floats": (Kind.FLOAT, np.float32),
        "value_int": (Kind.INT64, np.int64),
        "value_ints": (Kind.INT64, np.int64),
        "value_string": (Kind.STRING, object),
        "value_strings": (Kind.STRING, object),
    }
    if attribute is None or attribute.name not in single:
        raise NotHarmless("holds what is not followed")
    kind, dtype = single[attribute.name]
    given: Sequence[object] | object = {
        "value_float": attribute.f,
        "value_floats": list(attribute.floats),
        "value_int": attribute.i,
        "value_ints": list(attribute.ints),
        "value_string": attribute.s,
        "value_strings": list(attribute.strings),
    }[attribute.name]
    return Value.fixed(np.array(given, dtype=dtype), kind)
