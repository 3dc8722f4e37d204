"""What an exported program of PyTorch says about itself: its release, and the tensors that it takes and answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from trivet.errors import BadPackage

__all__ = ["ExportFacts", "read_export"]

ELEMENTS: Final = {
    1: pa.uint8(),
    2: pa.int8(),
    3: pa.int16(),
    4: pa.int32(),
    5: pa.int64(),
    6: pa.float16(),
    7: pa.float32(),
    8: pa.float64(),
    12: pa.bool_(),
    13: pa.float32(),
}
"""Arrow types by the numbers of `torch.export`'s format. A bfloat16 is answered as float32."""
MAX_SIZE: Final = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportFacts:
    """What a graph says. The schemas are None where it has a tensor without rows, or of a type that columns do not have."""

    release: str | None = None
    input_schema: pa.Schema | None = None
    output_schema: pa.Schema | None = None


def read_export(text: bytes, *, shown: str) -> ExportFacts:
    """Read the graph of an exported program.

    Args:
        text: its JSON document.
        shown: the model file's name in messages.

    Raises:
        BadPackage: it is not such a document.
    """
    try:
        document = json.loads(text)
        module = document["graph_module"]
        signature, tensors = module["signature"], module["graph"]["tensor_values"]
        inputs = list(_arguments(signature["input_specs"], "user_input"))
        outputs = list(_arguments(signature["output_specs"], "user_output"))
        release = document.get("torch_version")
        return ExportFacts(
            release=release if isinstance(release, str) else None,
            input_schema=_schema([tensors[each] for each in inputs], "input"),
            output_schema=_schema([tensors[each] for each in outputs], "output"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadPackage(
            f"the graph in {shown!r} cannot be read",
            why=f"{type(error).__name__}: {error}",
            fix="write the file again with torch.export.save",
            path=shown,
            reason="no_model",
        ) from error


def _arguments(specs: list[dict[str, Any]], kind: str) -> Iterator[str]:
    """The names of the tensors that a caller gives, or gets."""
    for spec in specs:
        if kind in spec and "as_tensor" in spec[kind]["arg"]:
            yield spec[kind]["arg"]["as_tensor"]["name"]


def _schema(tensors: list[dict[str, Any]], which: str) -> pa.Schema | None:
    names = [which] if len(tensors) == 1 else [f"{which}_{index}" for index in range(1, len(tensors) + 1)]
    kinds = [_kind(each) for each in tensors]
    if not kinds or None in kinds:
        return None
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in zip(names, kinds, strict=True)])


def _kind(tensor: dict[str, Any]) -> pa.DataType | None:
    """The type of one row; None for a tensor without a dimension of rows."""
    kind = ELEMENTS.get(tensor["dtype"])
    sizes = [each.get("as_int") for each in tensor["sizes"]]
    if kind is None or not sizes:
        return None
    for size in reversed(sizes[1:]):
        if size is not None and not 0 < size <= MAX_SIZE:
            return None
        kind = pa.list_(kind) if size is None else pa.list_(kind, size)
    return kind
