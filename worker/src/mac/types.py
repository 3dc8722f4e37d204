"""What goes into a model and comes out of it."""

from typing import TYPE_CHECKING, Any, Dict

import numpy as np

__all__ = ["InferenceData"]

if TYPE_CHECKING:
    InferenceData = Dict[str, "np.ndarray[Any, Any]"]
else:  # numpy before 1.22 has arrays that take no type arguments
    InferenceData = Dict[str, np.ndarray]
