"""Inputs and outputs of an ONNX model, as rows hold them."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from trivet.errors import BadPackage, Invalid
from trivet_worker.onnx_tensors import ELEMENT_TYPES, Tensor, dimensions, input_tensor, optional_tensor

__all__ = ["input_tensors", "output_tensors"]


def input_tensors(
    nodes: Sequence[Any], optional: Sequence[Any] = (), *, tensor_fields: Sequence[str] | None, single: bool
) -> list[Tensor]:
    """The inputs of a model, and then the optional ones.

    Args:
        nodes: each with a name, a type as ONNX Runtime writes it, and a shape.
        optional: those with a default that a request may replace.
        tensor_fields: names for them, in their order; optional ones without a name keep the model's.
        single: whether each row is a call.

    Raises:
        BadPackage: rows cannot hold one of them.
        Invalid: `tensor_fields` does not fit.
    """
    names = [node.name for node in nodes]
    others = [node.name for node in optional]
    columns = [*names, *others]
    if tensor_fields is not None:
        if len(tensor_fields) not in (len(names), len(columns)):
            raise Invalid(
                f"tensor_fields names {len(tensor_fields)} columns and the model has {len(names)} inputs",
                why=f"the model's inputs are {', '.join(names)}"
                + (f", and the optional ones {', '.join(others)}" if others else ""),
                fix="give one name for each input, in that order",
            )
        columns[: len(tensor_fields)] = tensor_fields
        if len(set(columns)) < len(columns):
            raise Invalid("tensor_fields names a column twice", fix="give each input its own name")
    for node in (*nodes, *optional):
        _element(node, "input")
    required = [input_tensor(node, column=column, single=single) for node, column in zip(nodes, columns, strict=False)]
    return required + [
        optional_tensor(node, column=column, rows_like=nodes)
        for node, column in zip(optional, columns[len(names) :], strict=True)
    ]


def output_tensors(nodes: Sequence[Any]) -> list[Tensor]:
    """The outputs of a model, as `input_tensors` takes its inputs.

    Raises:
        BadPackage: rows cannot hold one of them.
    """
    tensors = []
    for node in nodes:
        element, dtype = _element(node, "output")
        shape = dimensions(node)
        tensors.append(
            Tensor(
                name=node.name,
                column=node.name,
                element=element,
                dtype=dtype,
                shape=shape[1:],
                rows=shape[0] if shape else None,
            )
        )
    return tensors


def _element(node: Any, which: str) -> tuple[pa.DataType, Any]:
    try:
        return ELEMENT_TYPES[node.type]
    except KeyError:
        fix = f"export the model with {which}s of numbers, booleans or strings"
        if node.type.startswith("seq(map("):
            fix = "export the classifier with zipmap=False (skl2onnx: options={id(model): {'zipmap': False}})"
        raise BadPackage(f"{which} '{node.name}' is a {node.type}, which rows cannot hold", fix=fix) from None
