"""Made-up values for the trial of an ONNX session."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from trivet_worker.onnx_tensors import ABSENT, Tensor

__all__ = ["VARIED", "filled", "nothing", "varied"]

VARIED: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda noise: 3 * noise,
    lambda noise: -100 * abs(noise),
    lambda noise: 100 * abs(noise),
)
"""Floats of both signs, all negative, and all positive."""


def filled(tensor: Tensor, rows: int, free: int) -> np.ndarray:
    """Zeros or empty strings for an input, with `free` entries in each free dimension."""
    # Indexing a vector returns a scalar, which ONNX Runtime does not accept: the dtype makes it an array of rank 0.
    return np.asarray(tensor.zeros(1, free)[0], tensor.dtype) if tensor.rows == ABSENT else tensor.zeros(rows, free)


def nothing(field: pa.Field) -> pa.Array:
    """A row that leaves an optional input out."""
    is_any_length = pa.types.is_list(field.type)
    return pa.array([[]], field.type) if is_any_length else pa.nulls(1, field.type)


def varied(values: np.ndarray, *, kind: int) -> np.ndarray:
    """Other values in place of canned floats; integers stay, because some divide by them, or index a table.

    Args:
        values: what the session answered.
        kind: an index of `VARIED`.
    """
    if values.dtype.kind != "f":
        return values
    noise = np.random.default_rng(kind).normal(0.0, 1.0, values.shape)
    return np.asarray(VARIED[kind](noise), values.dtype)
