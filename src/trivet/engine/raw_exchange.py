"""The second stream to a worker, with the path `raw`: a request is one message, its answer one or more."""

import contextlib
from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec
import pyarrow as pa
from pyarrow import flight

from trivet.engine.calls import Piece, Raw
from trivet.engine.model_errors import ModelError, error_of
from trivet.errors import Internal, ModelFailed, TrivetError, Unavailable
from trivet_worker.raw import RAW_SCHEMA

__all__ = ["OpenStream", "RawExchange", "Stream"]

Stream: TypeAlias = tuple[flight.FlightStreamWriter, flight.FlightStreamReader]
OpenStream: TypeAlias = Callable[[bytes], Stream]

# What goes into a header must not hold a line's end. The worker checks this too, and names what is wrong.
_Text = Annotated[str, msgspec.Meta(pattern=r"\A[\x20-\x7e]*\Z")]
_Status = Annotated[int, msgspec.Meta(ge=200, le=599)]

# What a worker of protocol version 1, which an older platform started, says of the path `raw`.
_OLD_WORKER = "there is no [b'raw'] here"


class _Metadata(msgspec.Struct):
    last: bool = False
    status: _Status | None = None
    content_type: _Text = ""
    headers: tuple[tuple[_Text, _Text], ...] = ()
    error: ModelError | None = None


_decode = msgspec.json.Decoder(_Metadata).decode
_encode = msgspec.json.Encoder().encode


class RawExchange:
    """Answers raw calls on a stream that is opened for the first of them. Belongs to the link's thread.

    Args:
        open_stream: opens a stream with a path.
        most_bytes: that an answer may have.
    """

    def __init__(self, open_stream: OpenStream, *, most_bytes: int) -> None:
        self._open_stream = open_stream
        self._most_bytes = most_bytes
        self._stream: Stream | None = None

    def answer(
        self, raw: Raw, *, on_piece: Callable[[Piece], None], left: Callable[[], bool]
    ) -> Piece | TrivetError | None:
        """Send a request and read its answer.

        Args:
            raw: the request.
            on_piece: called with each piece but the last.
            left: whether the answer is not needed any more. Asked after each piece.

        Returns:
            The last piece; or the error that ends the answer; or None where the answer is not needed any more.

        Raises:
            pyarrow.ArrowException, msgspec.MsgspecError, StopIteration: the stream broke or cannot be trusted any more.
        """
        try:
            head = _encode({"content_type": raw.content_type, "path": raw.path, "headers": raw.headers})
            body = pa.RecordBatch.from_arrays([pa.array([raw.body], RAW_SCHEMA.field(0).type)], schema=RAW_SCHEMA)
        except (pa.ArrowException, ValueError, TypeError) as error:
            return Internal("the request cannot be sent to the worker", why=str(error))
        writer, reader = self._open()
        try:
            writer.write_with_metadata(body, head)
            piece = _read(reader, first=True)
        except flight.FlightServerError as error:
            if _OLD_WORKER not in str(error):
                raise
            self._drop()
            return Unavailable(
                "this worker does not take raw requests",
                why="a release of Trivet before this one started it",
                fix="start the platform again with `trivet down` and `trivet up`",
                reason="old_worker",
            )
        nbytes = 0
        while isinstance(piece, Piece):
            nbytes += len(piece.data)
            if nbytes > self._most_bytes:
                self._drop()
                return ModelFailed(
                    "the model's answer is too large",
                    why=f"it has more than {self._most_bytes} bytes, which is the limit",
                    fix="have the model answer less at once",
                    reason="model_output_too_large",
                )
            if piece.last:
                break
            if left():
                self._drop()
                return None
            on_piece(piece)
            piece = _read(reader)
        return piece

    def close(self) -> None:
        """End the stream. Raises as the stream does where it is broken."""
        if self._stream is not None:
            self._stream[0].close()

    def _open(self) -> Stream:
        if self._stream is None:
            self._stream = self._open_stream(b"raw")
            self._stream[0].begin(RAW_SCHEMA)
        return self._stream

    def _drop(self) -> None:
        """End the stream in the midst of an answer: the worker ends the answer, and the next request opens another stream."""
        if self._stream is not None:
            (writer, reader), self._stream = self._stream, None
            reader.cancel()
            with contextlib.suppress(pa.ArrowException):
                writer.close()


def _read(reader: flight.FlightStreamReader, *, first: bool = False) -> Piece | TrivetError:
    chunk = reader.read_chunk()
    metadata = _decode(chunk.app_metadata or b"")
    if metadata.error is not None:
        return error_of(metadata.error)
    if chunk.data is None or chunk.data.num_rows != 1 or (first and metadata.status is None):
        raise msgspec.ValidationError("an answer's message holds one row, and the first one a status")
    return Piece(
        data=chunk.data.column(0)[0].as_py(),
        last=metadata.last,
        status=metadata.status or 0,
        content_type=metadata.content_type,
        headers=metadata.headers,
    )
