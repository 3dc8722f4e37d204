"""Raw requests and their answers on the `raw` stream: the head is JSON, the body a column of bytes."""

import json
from typing import Any, Generator, Iterable, List, NamedTuple, Sequence, Tuple, Union

import pyarrow as pa

from trivet_worker.tensors import OutputMismatch

__all__ = ["RAW_SCHEMA", "Headers", "RawAnswer", "RawRequest", "pieces_of", "read_request"]

RAW_SCHEMA = pa.schema([pa.field("body", pa.large_binary(), nullable=False)])
"""In both directions; each message has one row."""

_PIECE_BYTES = 4 * 2**20

Headers = Sequence[Tuple[str, str]]
"""Names and values, in their original order."""

Message = Tuple[pa.RecordBatch, bytes]
"""A message of the stream: a batch of one row with its metadata."""


class RawRequest(NamedTuple):
    """A request that the model reads itself.

    Attributes:
        content_type: of the body; empty if the client sent none.
        path: the rest of the URL after the model's address, with its query.
        headers: those that the model may need.
        body: the bytes from the client, decompressed.
    """

    content_type: str
    path: str
    headers: Headers
    body: bytes


class RawAnswer(NamedTuple):
    """A model's answer to a raw request.

    Attributes:
        status: an HTTP status, 200 to 599.
        content_type: of the body.
        body: all bytes; or an iterable of pieces, each of which is sent at once.
        headers: more headers of the answer.
    """

    status: int
    content_type: str
    body: Union[bytes, Iterable[bytes]]
    headers: Headers = ()


def read_request(chunk: Any) -> RawRequest:
    """The request in a message of the stream."""
    head = json.loads(chunk.app_metadata.to_pybytes().decode())
    return RawRequest(
        content_type=head["content_type"],
        path=head["path"],
        headers=[(name, value) for name, value in head["headers"]],
        body=chunk.data.column(0)[0].as_py(),
    )


def pieces_of(answer: Any) -> "Generator[Message, None, None]":
    """The messages of an answer. The first one carries its head; the last one is marked.

    Raises:
        OutputMismatch: the answer, or a piece of it, does not have the type in `RawAnswer`.
    """
    head = _head_of(answer)
    body = answer.body
    if isinstance(body, (bytes, bytearray, memoryview)):
        parts = _cut(memoryview(body).cast("B"))
        for index, part in enumerate(parts):
            yield _piece(dict(head, last=index == len(parts) - 1), part)
            head = {}
        return
    try:
        for part in body:
            if not isinstance(part, (bytes, bytearray, memoryview)):
                raise OutputMismatch("body", expected="pieces of bytes", got=type(part).__name__)
            for smaller in _cut(memoryview(part).cast("B")):
                yield _piece(dict(head, last=False), smaller)
                head = {}
        yield _piece(dict(head, last=True), b"")
    finally:
        # Closes a generator of the model if the client has closed the stream.
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _head_of(answer: Any) -> "dict[str, Any]":
    if not isinstance(answer, RawAnswer):
        raise OutputMismatch("output", expected="a RawAnswer", got=type(answer).__name__)
    values: Tuple[Any, ...] = answer  # made by a model, so the fields may hold anything
    status, content_type, body, more = values
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise OutputMismatch("status", expected="a number from 200 to 599", got=repr(status)[:200])
    headers = [[name, value] for name, value in more]
    for path, text in [("content_type", content_type), *(("headers", text) for pair in headers for text in pair)]:
        if not (isinstance(text, str) and text.isascii() and text.isprintable()):
            raise OutputMismatch(path, expected="printable ASCII text", got=repr(text)[:200])
    if not isinstance(body, Iterable) or isinstance(body, str):
        raise OutputMismatch("body", expected="bytes or an iterable of bytes", got=type(body).__name__)
    return {"status": int(status), "content_type": content_type, "headers": headers}


def _cut(data: memoryview) -> List[memoryview]:
    """Parts of at most one message each. Empty data is one part."""
    return [data[start : start + _PIECE_BYTES] for start in range(0, max(len(data), 1), _PIECE_BYTES)]


def _piece(metadata: "dict[str, Any]", part: Union[bytes, memoryview]) -> Message:
    column = pa.array([bytes(part)], RAW_SCHEMA.field(0).type)
    return pa.RecordBatch.from_arrays([column], schema=RAW_SCHEMA), json.dumps(metadata).encode()
