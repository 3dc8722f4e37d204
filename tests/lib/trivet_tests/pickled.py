"""Pickles by hand, opcode by opcode, as joblib and numpy write them and as an attacker does."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from typing import Final

import pyarrow as pa

__all__ = ["CONTAINERS", "array", "called", "dtype", "framed", "named", "pickled", "text", "wrapped"]

CONTAINERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "plain": bytes,
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "xz": lzma.compress,
    "lz4": lambda data: pa.Codec("lz4").compress(data).to_pybytes(),
}


def pickled(*parts: bytes) -> bytes:
    """A pickle of protocol 4 that loads what the parts leave on the stack."""
    return b"\x80\x04" + b"".join(parts) + b"."


def framed(*parts: bytes) -> bytes:
    """A frame."""
    inside = b"".join(parts)
    return b"\x95" + len(inside).to_bytes(8, "little") + inside


def text(value: str) -> bytes:
    """A text."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(module: str, name: str) -> bytes:
    """A class or a function."""
    return text(module) + text(name) + b"\x93"


def called(module: str, name: str, *args: bytes) -> bytes:
    """A call."""
    return named(module, name) + b"(" + b"".join(args) + b"tR"


def dtype(code: str, *, size: int = -1, fields: bytes = b"NN", flags: int = 0) -> bytes:
    """A dtype with its state, as numpy writes it."""
    size_bytes = b"J" + size.to_bytes(4, "little", signed=True)
    return b"".join([
        called("numpy", "dtype", text(code), b"\x89", b"\x88"),
        b"(K\x03", text("<"), b"N", fields, size_bytes, b"J\xff\xff\xff\xff", b"K", bytes([flags]), b"tb",
    ])  # fmt: skip


def wrapped(*, shape: bytes = b"K\x02\x85", of: bytes | None = None, extra: bytes = b"") -> bytes:
    """A joblib array wrapper with its state: the array's bytes follow."""
    return b"".join([
        named("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81}(",
        text("subclass"), named("numpy", "ndarray"),
        text("shape"), shape,
        text("order"), text("C"),
        text("dtype"), dtype("f8") if of is None else of,
        text("allow_mmap"), b"\x88",
        extra, b"ub",
    ])  # fmt: skip


def array(data: bytes = bytes(16)) -> bytes:
    """Two numbers of eight bytes, with padding before them."""
    return wrapped(extra=text("numpy_array_alignment_bytes") + b"K\x10") + b"\x03\xff\xff\xff" + data
