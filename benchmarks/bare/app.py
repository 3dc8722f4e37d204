"""The baseline: the ASGI app that a strong engineer would write by hand for this one model.

msgspec, numpy and ONNX Runtime, nothing else; it returns the outputs alone and checks no more than its decoder does.
`POST /infer` takes `[{"tensor": [29 numbers]}, …]` and answers `{"dense_1": [[…], …]}`; `POST /arrow` takes and answers an
Arrow file. Run it as Trivet runs its gateway: uvicorn with uvloop and httptools, one process.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort

__all__ = ["app"]

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["BARE_MODEL"], options)
INPUT = session.get_inputs()[0].name
OUTPUTS = [output.name for output in session.get_outputs()]


class Row(msgspec.Struct):
    """One row of the request."""

    tensor: list[float]


decode = msgspec.json.Decoder(list[Row]).decode
encode = msgspec.json.Encoder().encode

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def body_of(receive: Receive) -> bytes:
    """Read the whole request body."""
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


def infer_json(body: bytes) -> bytes:
    """Rows in, outputs out."""
    rows = decode(body)
    values = session.run(OUTPUTS, {INPUT: np.array([row.tensor for row in rows], dtype=np.float32)})
    return encode({name: value.tolist() for name, value in zip(OUTPUTS, values, strict=True)})


def infer_arrow(body: bytes) -> bytes:
    """An Arrow file in, an Arrow file out."""
    import pyarrow as pa

    table = pa.ipc.open_file(pa.py_buffer(body)).read_all()
    column = table.column("tensor").combine_chunks()
    tensor = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
    values = session.run(OUTPUTS, {INPUT: tensor})
    arrays = [pa.FixedSizeListArray.from_arrays(value.ravel(), value.shape[1]) for value in values]
    batch = pa.record_batch(arrays, names=OUTPUTS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    answer: bytes = sink.getvalue().to_pybytes()
    return answer


JSON_HEADERS = [(b"content-type", b"application/json")]
ARROW_HEADERS = [(b"content-type", b"application/vnd.apache.arrow.file")]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    body = await body_of(receive)
    if scope["path"] == "/arrow":
        answer, headers = infer_arrow(body), ARROW_HEADERS
    else:
        answer, headers = infer_json(body), JSON_HEADERS
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
