"""ONNX models that the gateway's process does not run: the same session, with the same rows in a call, in a worker."""

import importlib
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping

import numpy as np

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters import Columns, PackageFiles
from trivet_worker.onnx_rows import NotATensor, RowCalls, WrongRows, session_reason
from trivet_worker.onnx_tensors import input_tensor, optional_nodes, optional_tensor
from trivet_worker.tensors import OutputMismatch

__all__ = ["OnnxAdapter", "load"]


class Refused(Exception):
    """ONNX Runtime refused the values."""


class OnnxAdapter:
    """Answers with a session.

    Args:
        session: loaded.
        calls: how rows become calls, as the platform's trial found: `columns`, `single`, `rows_a_call`, `whole_row`,
            `shapes` of the outputs that change shape, and the names of `optional` inputs.
    """

    any_thread = True

    def __init__(self, session: Any, calls: Mapping[str, Any]) -> None:
        required = session.get_inputs()
        optional = optional_nodes(session.get_overridable_initializers(), calls.get("optional", ()))
        inputs = [
            input_tensor(node, column=column, single=calls["single"])
            for node, column in zip(required, calls["columns"])
        ] + [
            optional_tensor(node, column=column, rows_like=required)
            for node, column in zip(optional, calls["columns"][len(required) :])
        ]
        self._columns = [tensor.column for tensor in inputs]
        self._names = [node.name for node in session.get_outputs()]
        self._rows = RowCalls(inputs, self._names, rows_a_call=calls["rows_a_call"], whole_row=calls["whole_row"])
        self._shapes = [None if shape is None else tuple(shape) for shape in calls["shapes"]]
        self._session = session

    def predict(self, columns: Columns) -> Dict[str, Any]:
        """See `Adapter.predict`."""
        values = [columns[name] for name in self._columns]
        try:
            answers = self._rows.answer(self._call, values, len(values[0]))
        except WrongRows as error:
            raise OutputMismatch(
                error.name, expected="a row for each row of input", got=f"shape {error.shape}"
            ) from None
        except NotATensor as error:
            raise InferenceDataValidationError(f"{error}: {error.why}") from None
        return {
            name: answer if shape is None else np.reshape(answer, shape)
            for name, answer, shape in zip(self._names, answers, self._shapes)
        }

    def _call(self, feeds: Dict[str, Any]) -> List[Any]:
        try:
            answers: List[Any] = self._session.run(self._names, feeds)
        except Exception as error:
            raise Refused(f"the model refused the values: {session_reason(error)}") from None
        return answers


def load(package: PackageFiles, stage: Callable[[str], None]) -> OnnxAdapter:
    """Open the model's file. The platform has checked it, as it checks each ONNX file."""
    runtime: Any = importlib.import_module("onnxruntime")
    stage("loading")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = Path(package.root, package.files["model"])
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return OnnxAdapter(session, package.options)
