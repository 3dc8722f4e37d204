"""One call of a model: columns in, a checked record batch or an error out; or a raw request in, the pieces of an answer out.

The model runs in the main thread, because code of its author may need that. An adapter without such code may say that it does not.
"""

# ruff: noqa: PTH109 - a plain string is enough to compare the working folder

import importlib
import json
import os
import sys
import threading
import time
from contextlib import closing, suppress
from queue import SimpleQueue
from typing import Any, Dict, List, NamedTuple, Optional, Union

import pyarrow as pa

from mac.exceptions import InferenceDataValidationError
from trivet_worker.adapters import Adapter
from trivet_worker.failures import HidePaths, message_of, printable, trace_of, type_of
from trivet_worker.frames import columns_of
from trivet_worker.raw import RawRequest, pieces_of
from trivet_worker.tensors import OutputMismatch, describe, to_arrow, to_numpy

__all__ = ["Answer", "Call", "Model", "RawCall", "RawReply", "RowsCall", "run_calls"]

_MAX_PATH = 1_000
_MAX_TRACE = 4_000
_PIECES_AHEAD = 4


class Answer(NamedTuple):
    """One message of an answer: a batch with its metadata, or metadata alone for an error."""

    batch: Optional[pa.RecordBatch]
    metadata: bytes


class RowsCall(NamedTuple):
    """A batch that waits for the model, and where its answer goes."""

    batch: pa.RecordBatch
    reply: "SimpleQueue[Answer]"


class RawReply:
    """The messages of an answer to a raw request. The model waits while a few of them are unsent."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Optional[Answer]] = SimpleQueue()
        self._room = threading.Semaphore(_PIECES_AHEAD)
        self._closed = False

    def put(self, message: Answer) -> bool:
        """Send one message. Returns False after the client has closed the stream."""
        if not self._closed:
            self._room.acquire()
            self._messages.put(message)
        return not self._closed

    def end(self) -> None:
        """Mark the end of the answer."""
        self._messages.put(None)

    def get(self) -> Optional[Answer]:
        """Wait for the next message; None at the end."""
        message = self._messages.get()
        self._room.release()
        return message

    def close(self) -> None:
        """Stop the model from sending more of the answer."""
        self._closed = True
        self._room.release()


class RawCall(NamedTuple):
    """A raw request that waits for the model, and where its answer goes."""

    request: RawRequest
    reply: RawReply


Call = Union[RowsCall, RawCall]


class Model:
    """A loaded model with its schemas."""

    def __init__(
        self, adapter: Adapter, *, input_schema: pa.Schema, output_schema: pa.Schema, root: str, hide: HidePaths
    ) -> None:
        self._predict = adapter.predict
        self._answer = getattr(adapter, "answer", None)
        self.any_thread: bool = getattr(adapter, "any_thread", False)
        self._turn = threading.Lock()
        self._inputs = [(field.name, field) for field in input_schema]
        self._outputs: List[pa.Field] = list(output_schema)
        self._output_schema = output_schema
        self._root = root
        self._hide = hide
        self._folder = os.getcwd()
        self._loop: Any = None

    def predict(self, batch: pa.RecordBatch) -> Answer:
        """Predict. Every exception of model code becomes an error answer, `SystemExit` and `KeyboardInterrupt` included."""
        try:
            columns = {
                name: to_numpy(column, field, writable=True)
                for (name, field), column in zip(self._inputs, batch.columns)
            }
            start = time.perf_counter_ns()
            output = self._predict(columns)
            if type(output) is not dict and hasattr(output, "__await__"):
                output = self._awaited(output)
            model_ns = time.perf_counter_ns() - start
            answer = Answer(self._encode(output, batch.num_rows), b'{"model_ns": %d}' % model_ns)
        except BaseException as error:
            answer = self._failure(error)
        self._return_to_folder()
        return answer

    def predict_here(self, batch: pa.RecordBatch) -> Answer:
        """Predict in this thread, one call at a time: only if `any_thread`. Two changes of threads take longer than a small call."""
        with self._turn:
            return self.predict(batch)

    def finish(self) -> None:
        """Wait for the current call of `predict_here`, and begin no other."""
        self._turn.acquire()

    def answer(self, request: RawRequest, reply: RawReply) -> None:
        """Answer a raw request. Errors are as in `predict`; an error after the first piece ends the answer."""
        try:
            if self._answer is None:
                reply.put(_ROWS_ONLY)
            else:
                with closing(pieces_of(self._answer(request))) as pieces:
                    for piece in pieces:
                        if not reply.put(Answer(*piece)):
                            break
        except BaseException as error:
            reply.put(self._failure(error))
        reply.end()
        self._return_to_folder()

    def _awaited(self, output: Any) -> Any:
        """The result of a coroutine. All run on one loop, so that what a model keeps open stays usable."""
        if self._loop is None:
            asyncio = importlib.import_module("asyncio")  # slow, and few models are async
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)

        async def wait() -> Any:
            return await output

        return self._loop.run_until_complete(wait())

    def _encode(self, output: Any, rows: int) -> pa.RecordBatch:
        given, output = output, columns_of(output, self._output_schema.names)
        if output is None:
            raise OutputMismatch(
                "output", expected="a dictionary of numpy arrays by field name", got=type(given).__name__
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

    def _failure(self, error: BaseException) -> Answer:
        if isinstance(error, OutputMismatch):
            return self._error("model_output_mismatch", error, path=error.path)
        trace = self._log(error)
        reason = "invalid_input" if isinstance(error, InferenceDataValidationError) else "model_error"
        return self._error(reason, error, trace=trace)

    def _error(
        self, reason: str, error: BaseException, *, path: Optional[str] = None, trace: Optional[str] = None
    ) -> Answer:
        fields: Dict[str, Optional[str]] = {
            "reason": reason,
            "type": type_of(error),
            "message": message_of(error, self._hide),
        }
        if path is not None:
            fields["path"] = printable(path[:_MAX_PATH])
        if trace is not None:
            fields["trace"] = trace[-_MAX_TRACE:]
        return Answer(None, json.dumps({"error": fields}).encode())

    def _log(self, error: BaseException) -> str:
        trace = trace_of(error, self._root)
        with suppress(Exception):  # the model may have replaced or closed it
            sys.stderr.write(trace)
            sys.stderr.flush()
        return trace

    def _return_to_folder(self) -> None:
        """Restore the working folder, in case model code changed it."""
        try:
            if os.getcwd() != self._folder:
                os.chdir(self._folder)
        except OSError:
            # The model removed its own folder, or the one it went to: a call never runs in the package's.
            with suppress(OSError):
                os.makedirs(self._folder, exist_ok=True)  # noqa: PTH103
                os.chdir(self._folder)


_ROWS_ONLY = Answer(None, b'{"error": {"reason": "rows_only", "message": "its adapter has no `answer`"}}')


def run_calls(model: Model, calls: "SimpleQueue[Union[Call, None]]") -> None:
    """Answer calls one after another until a None."""
    while True:
        call = calls.get()
        if call is None:
            return
        if isinstance(call, RowsCall):
            call.reply.put(model.predict(call.batch))
        else:
            model.answer(call.request, call.reply)
