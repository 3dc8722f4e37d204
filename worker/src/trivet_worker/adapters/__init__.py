"""Adapters, one file a framework: each loads a package into an object that predicts."""

import importlib
from typing import Any, Callable, Dict, Mapping, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from trivet_worker.protocol import Entry
from trivet_worker.raw import RawAnswer, RawRequest

__all__ = ["ADAPTERS", "Adapter", "AnswersRaw", "Columns", "PackageFiles", "load_adapter"]

Columns = Dict[str, "np.ndarray[Any, Any]"]
"""Arrays by field name; the first dimension of each is rows."""

ADAPTERS = {
    "custom": "trivet_worker.adapters.custom:load",
    "python": "trivet_worker.adapters.python_step:load",
    "onnx": "trivet_worker.adapters.onnx_session:load",
    "pytorch": "trivet_worker.adapters.pytorch_model:load",
    "keras": "trivet_worker.adapters.keras_model:load",
    "tensorflow": "trivet_worker.adapters.tensorflow_model:load",
    "sklearn": "trivet_worker.adapters.sklearn_model:load",
    "hugging_face": "trivet_worker.adapters.hugging_face:load",
    "xgboost": "trivet_worker.adapters.xgboost_model:load",
    "lightgbm": "trivet_worker.adapters.lightgbm_model:load",
    "catboost": "trivet_worker.adapters.catboost_model:load",
    "sklearn_onnx": "trivet_worker.adapters.sklearn_onnx:load",
}
"""A framework's name, and the function that loads its packages."""


class Adapter(Protocol):
    """A loaded model. One whose `any_thread` is true may be called in any thread, though in one at a time."""

    def predict(self, columns: Columns) -> Any:
        """Answer a batch: arrays by field name, one row for each row.

        Args:
            columns: arrays that the model may keep and change.

        Raises:
            BaseException: any exception of the model's code.
        """


class AnswersRaw(Protocol):
    """An adapter whose model reads raw requests has this method too."""

    def answer(self, request: RawRequest) -> RawAnswer:
        """Answer one raw request; if the body is a generator, each piece is sent at once.

        Raises:
            BaseException: any exception of the model's code.
        """


class PackageFiles(NamedTuple):
    """A package on disk: its folder (no links in the path), and by role its entry points and the paths of files in it.

    `options` is what else the adapter needs to know, as the platform found it. The schemas are those of the model's rows and answers.
    """

    root: str
    entry: Mapping[str, Entry]
    files: Mapping[str, str]
    options: Mapping[str, Any]
    input_schema: pa.Schema
    output_schema: pa.Schema


def load_adapter(name: str, package: PackageFiles, *, stage: Callable[[str], None]) -> Adapter:
    """Load a package with the adapter of that name.

    Args:
        name: a key of `ADAPTERS`, or a function itself: `module:function`.
        package: what to load.
        stage: called with `loading` after the adapter's imports.

    Raises:
        PackageError: the package does not follow its framework's contract.
        BaseException: any exception of the package's code.
    """
    module, _, function = ADAPTERS.get(name, name).partition(":")
    load = getattr(importlib.import_module(module), function)
    adapter: Adapter = load(package, stage)
    return adapter
