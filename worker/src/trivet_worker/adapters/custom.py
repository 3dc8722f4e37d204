"""Custom models: an `Inference` that an `InferenceBuilder` makes (package `mac`)."""

from pathlib import Path
from typing import Any, Callable

from mac.config.inference import CustomInferenceConfig
from trivet_worker.adapters import Columns, PackageFiles
from trivet_worker.failures import PackageError
from trivet_worker.modules import find_entry

__all__ = ["CustomAdapter", "load"]


class CustomAdapter:
    """Predicts with an `Inference`."""

    def __init__(self, inference: Any) -> None:
        self._predict = inference.predict

    def predict(self, columns: Columns) -> Any:
        """See `Adapter.predict`."""
        return self._predict(columns)


def load(package: PackageFiles, stage: Callable[[str], None]) -> CustomAdapter:
    """Import builder and inference, and create the inference from the package's folder."""
    # This order decides which missing class is reported first; most builders import their inference themselves.
    inference_class = find_entry(package.root, package.entry["inference"])
    builder_class = find_entry(package.root, package.entry["builder"])
    stage("loading")
    builder = builder_class()
    made = builder.create(CustomInferenceConfig(framework="custom", model_path=Path(package.root)))
    if made is None:
        # Some builders return None and fill in the object of their `inference`.
        made = builder.inference
        if callable(made) and not isinstance(made, type) and not hasattr(made, "predict"):
            made = made()
        # A new object each time is not the one that `create` filled in.
        is_new = builder.inference is not made and getattr(made, "_model", made) is None
        if isinstance(made, type) or is_new:
            raise PackageError(
                f"{builder_class.__name__}.create gave None, not a {inference_class.__name__} with its model: "
                "end it with `return inference`"
            )
    if isinstance(made, type):
        made = made()
    if not callable(getattr(made, "predict", None)):
        raise PackageError(
            f"{builder_class.__name__}.create gave {type(made).__name__}, not a {inference_class.__name__} that can predict"
        )
    return CustomAdapter(made)
