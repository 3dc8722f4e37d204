"""The worker's server: Arrow Flight's `DoExchange` with the paths `predict` and `raw`. Requests and answers alternate on a stream."""

import time
import weakref
from queue import SimpleQueue
from typing import Callable, Optional, Tuple

import pyarrow as pa
from pyarrow import flight

from trivet_worker.access import TokenCheck
from trivet_worker.calls import Answer, Call, RawCall, RawReply, RowsCall
from trivet_worker.raw import RAW_SCHEMA, read_request

__all__ = ["ModelServer"]

_PREDICT, _RAW = [b"predict"], [b"raw"]
_LAST_BYTES_S = 0.02  # for gRPC's threads to hand the last answer to the system


class ModelServer(flight.FlightServerBase):  # type: ignore[misc]
    """Reads batches and raw requests from streams and passes them to the thread that runs the model.

    Args:
        location: `grpc+unix://…`, `grpc+tcp://…` or `grpc+tls://…`.
        token: required in each call.
        identity: certificate and key in PEM, for `grpc+tls`.
        calls: the queue of that thread.
        predict: answers a batch in the thread that read it, in place of the queue.
    """

    def __init__(
        self,
        location: str,
        *,
        token: str,
        identity: Optional[Tuple[str, str]],
        calls: "SimpleQueue[Optional[Call]]",
        predict: "Optional[Callable[[pa.RecordBatch], Answer]]" = None,
        input_schema: pa.Schema,
        output_schema: pa.Schema,
    ) -> None:
        certificates = None if identity is None else [identity]
        super().__init__(location, tls_certificates=certificates, middleware={"token": TokenCheck(token)})
        self.tcp_port = 0 if location.startswith("grpc+unix:") else int(self.port)
        self._skip_the_graceful_end()
        self._calls = calls
        self._predict_here = predict
        self._input_schema = input_schema
        self._output_schema = output_schema
        self._unanswered = 0

    def _skip_the_graceful_end(self) -> None:
        """At exit, Flight waits until the clients end their streams; a client that keeps one open would block it."""
        # pyarrow does not expose this finalizer; without it, the end takes as long as the parent allows.
        for finalizer in list(getattr(weakref.finalize, "_registry", ())):
            alive = finalizer.peek()
            if alive is not None and alive[0] is self:
                finalizer.atexit = False

    def settle(self, limit_s: float) -> None:
        """Wait until all requests are answered, `limit_s` at most."""
        end = time.monotonic() + limit_s
        while self._unanswered and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(_LAST_BYTES_S)

    def do_exchange(
        self,
        context: flight.ServerCallContext,  # noqa: ARG002
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.MetadataRecordBatchWriter,
    ) -> None:
        """Answer one request after another until the client ends the stream."""
        if descriptor.path == _PREDICT:
            self._predict(reader, writer)
        elif descriptor.path == _RAW:
            self._answer_raw(reader, writer)
        else:
            raise flight.FlightServerError(f"path {descriptor.path!r} not found: use {_PREDICT!r} or {_RAW!r}")

    def _predict(self, reader: flight.MetadataRecordBatchReader, writer: flight.MetadataRecordBatchWriter) -> None:
        _check_schema(reader.schema, self._input_schema)
        reply: SimpleQueue[Answer] = SimpleQueue()
        writer.begin(self._output_schema)
        while True:
            try:
                batch = reader.read_chunk().data
            except StopIteration:
                return
            if batch is None:
                raise flight.FlightServerError("a request is a record batch, not metadata alone")
            self._unanswered += 1
            try:
                if self._predict_here is None:
                    self._calls.put(RowsCall(batch, reply))
                    answer = reply.get()
                else:
                    answer = self._predict_here(batch)
                _write(writer, answer)
            finally:
                self._unanswered -= 1

    def _answer_raw(self, reader: flight.MetadataRecordBatchReader, writer: flight.MetadataRecordBatchWriter) -> None:
        _check_schema(reader.schema, RAW_SCHEMA)
        writer.begin(RAW_SCHEMA)
        while True:
            try:
                request = read_request(reader.read_chunk())
            except StopIteration:
                return
            reply = RawReply()
            self._unanswered += 1
            try:
                self._calls.put(RawCall(request, reply))
                while True:
                    message = reply.get()
                    if message is None:
                        break
                    _write(writer, message)
            finally:
                reply.close()
                self._unanswered -= 1


def _check_schema(schema: pa.Schema, expected: pa.Schema) -> None:
    if not schema.equals(expected):
        raise flight.FlightServerError(
            f"this stream's schema is not the model's: {schema} where {expected} is expected"
        )


def _write(writer: flight.MetadataRecordBatchWriter, answer: Answer) -> None:
    if answer.batch is None:
        writer.write_metadata(answer.metadata)
    else:
        writer.write_with_metadata(answer.batch, answer.metadata)
