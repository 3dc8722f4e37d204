"""One call of a model: columns in, a checked record batch or an error out. All of it in the main thread."""

# ruff: noqa: PTH109 - model code hands over anything; a string is all that a look at the folder needs

import json
import os
import sys
import time
from queue import SimpleQueue
from typing import Any, Dict, List, NamedTuple, Optional, Union

import pyarrow as pa

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters import Adapter
from trivet_worker.failures import message_of, printable, trace_of
from trivet_worker.tensors import OutputMismatch, describe, to_arrow, to_numpy

__all__ = ["Answer", "Call", "Model", "run_calls"]

_MAX_PATH = 1_000


class Answer(NamedTuple):
    """What goes back: a batch with its metadata, or metadata alone for an error."""

    batch: Optional[pa.RecordBatch]
    metadata: bytes


class Call(NamedTuple):
    """A batch that waits for the model, and where its answer goes."""

    batch: pa.RecordBatch
    reply: "SimpleQueue[Answer]"


class Model:
    """A loaded model under its schemas."""

    def __init__(self, adapter: Adapter, *, input_schema: pa.Schema, output_schema: pa.Schema, root: str) -> None:
        self._predict = adapter.predict
        self._inputs = [(field.name, field) for field in input_schema]
        self._outputs: List[pa.Field] = list(output_schema)
        self._output_schema = output_schema
        self._root = root
        self._folder = os.getcwd()

    def answer(self, batch: pa.RecordBatch) -> Answer:
        """Predict. Nothing that model code raises gets out of here, `SystemExit` and `KeyboardInterrupt` included."""
        try:
            columns = {
                name: to_numpy(column, field, writable=True)
                for (name, field), column in zip(self._inputs, batch.columns)
            }
            start = time.perf_counter_ns()
            output = self._predict(columns)
            model_ns = time.perf_counter_ns() - start
            answer = Answer(self._encode(output, batch.num_rows), b'{"model_ns": %d}' % model_ns)
        except OutputMismatch as mismatch:
            answer = _error("model_output_mismatch", mismatch, path=mismatch.path)
        except InferenceDataValidationError as error:
            self._log(error)
            answer = _error("invalid_input", error)
        except BaseException as error:
            self._log(error)
            answer = _error("model_error", error)
        self._return_to_folder()
        return answer

    def _encode(self, output: Any, rows: int) -> pa.RecordBatch:
        if not isinstance(output, dict):
            raise OutputMismatch(
                "output", expected="a dictionary of numpy arrays by field name", got=type(output).__name__
            )
        arrays = []
        for field in self._outputs:
            if field.name not in output:
                known = ", ".join(sorted(map(repr, output))) or "no fields"
                raise OutputMismatch(field.name, expected=describe(field.type), got=f"no such field (but {known})")
            arrays.append(to_arrow(output[field.name], field, rows=rows, copy=True))
        if len(output) != len(arrays):
            names = {field.name for field in self._outputs}
            surplus = next(name for name in output if name not in names)
            raise OutputMismatch(
                str(surplus), expected="only the fields of the output schema", got="a field that it does not have"
            )
        return pa.RecordBatch.from_arrays(arrays, schema=self._output_schema)

    def _log(self, error: BaseException) -> None:
        sys.stderr.write(trace_of(error, self._root))
        sys.stderr.flush()

    def _return_to_folder(self) -> None:
        """A call that changes the working folder changes it for itself."""
        try:
            if os.getcwd() != self._folder:
                os.chdir(self._folder)
        except OSError:
            os.chdir(self._root)


def _error(reason: str, error: BaseException, *, path: Optional[str] = None) -> Answer:
    fields: Dict[str, Optional[str]] = {"reason": reason, "type": type(error).__name__, "message": message_of(error)}
    if path is not None:
        fields["path"] = printable(path[:_MAX_PATH])
    return Answer(None, json.dumps({"error": fields}).encode())


def run_calls(model: Model, calls: "SimpleQueue[Union[Call, None]]") -> None:
    """Answer calls one after another until a None comes."""
    while True:
        call = calls.get()
        if call is None:
            return
        call.reply.put(model.answer(call.batch))
