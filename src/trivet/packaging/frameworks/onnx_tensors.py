"""Checks of unusual tensors of ONNX models: values in other files, and sparse tensors.

ONNX Runtime reads any file or memory that a tensor names.
"""

from collections.abc import Mapping
from math import prod
from pathlib import PurePosixPath
from typing import Any

from trivet.errors import BadPackage

__all__ = ["check_dense_size", "check_external", "quoted"]

EXTERNAL_KEYS = frozenset({"location", "offset", "length", "checksum"})
ELEMENT_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
}
"""Bits of one element, by the numbers of `TensorProto.DataType`."""
STRING_TYPE = 8
MAX_DENSE_BYTES = 2**31


def check_external(tensor: Any, *, beside: str, sizes: Mapping[str, int], model: str) -> None:
    """Check a tensor with values in another file: only a file beside the model, and bytes inside of it, are accepted.

    Args:
        tensor: a `TensorProto`.
        beside: the model file's path in the package.
        sizes: the package's files, with their sizes in bytes.
        model: the model's name in errors.

    Raises:
        BadPackage: it names another file, or its size does not match its shape.
    """
    name = quoted(tensor.name) if tensor.name else "without a name"
    where = f"{model}: tensor {name}"
    data: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key not in EXTERNAL_KEYS or entry.key in data:
            why = f"{quoted(entry.key)} " + ("occurs twice" if entry.key in data else "is not a key of the format")
            raise _external(where, why=why)
        data[entry.key] = entry.value
    location = data.get("location", "")
    if location in {"", ".", ".."} or not location.isprintable() or any(character in location for character in "/\\:"):
        raise BadPackage(
            "the model reads a file that is not its own",
            why=f"a tensor's values lie in {quoted(location)}, which is not a plain file name",
            fix="save the model again with onnx.save(model, path, save_as_external_data=True, location='weights.bin')",
            path=where,
            reason="onnx_external_data",
        )
    folder = PurePosixPath(beside).parent
    size = sizes.get(str(folder / location))
    if size is None:
        raise BadPackage(
            "the model's weights are missing",
            why=f"a tensor's values lie in {quoted(location)}, and the package has no such file beside the model",
            fix="put both files into a folder or a zip, and upload that",
            path=where,
            reason="onnx_external_data",
        )
    offset, length = (_number(data.get(key), key, where) for key in ("offset", "length"))
    needed = _bytes_of(tensor, where)
    if length is not None and needed is not None and length != needed:
        raise _external(where, why=f"it has {length} bytes, and its shape and type need {needed}")
    end = (offset or 0) + (length or needed or 0)
    if end > size:
        why = f"its values end at byte {end} of {quoted(location)}, which has {size}"
        raise _external(where, why=why, fix="check that the file is complete")


def check_dense_size(sparse: Any, *, model: str) -> None:
    """Check a `SparseTensorProto`: ONNX Runtime makes it dense when it loads a model.

    Raises:
        BadPackage: it becomes huge.
    """
    bits = ELEMENT_BITS.get(sparse.values.data_type, 64)
    if any(size < 0 for size in sparse.dims) or prod(sparse.dims) * bits // 8 > MAX_DENSE_BYTES:
        raise BadPackage(
            "a sparse tensor is too large",
            why=f"its shape is {list(sparse.dims)[:8]}, and ONNX Runtime makes it dense",
            fix="export the model with dense weights",
            path=f"{model}: tensor {quoted(sparse.values.name)}",
            reason="onnx_sparse_tensor",
        )


def _external(where: str, *, why: str, fix: str = "save the model again with onnx.save") -> BadPackage:
    return BadPackage("a tensor's external data is invalid", why=why, fix=fix, path=where, reason="onnx_external_data")


def _number(text: str | None, key: str, where: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _external(where, why=f"{key} {quoted(text)} is not a number of bytes")
    return int(text)


def _bytes_of(tensor: Any, where: str) -> int | None:
    """The bytes that a tensor's shape and type need; None for unknown types."""
    if any(size < 0 for size in tensor.dims):
        raise _external(where, why=f"its shape is {list(tensor.dims)[:8]}")
    if tensor.data_type == STRING_TYPE:
        raise _external(where, why="strings cannot be in another file")
    bits = ELEMENT_BITS.get(tensor.data_type)
    return None if bits is None else (prod(tensor.dims) * bits + 7) // 8


def quoted(text: str) -> str:
    """Text from the file for a message: one line, shortened."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
