"""A wire protocol that is as small as one can be: a number a line in, a number a line out. One file, and one row in a table."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from trivet.engine.batch import Batch
from trivet.errors import Invalid, NotFound, TrivetError
from trivet.gateway.allowance import Allowance
from trivet.gateway.answer import Answer, BatchInputs
from trivet.gateway.doors.door import Find, OpenExchange, Page, PageMaker, Source
from trivet.gateway.live_pipeline import LivePipeline
from trivet.gateway.pipelines import Pipelines, Place

__all__ = ["TextDoor"]

TEXT: Final = b"text/plain; charset=utf-8"


class TextDoor:
    """See `Door`."""

    def __init__(self, pipelines: Pipelines, *, partition: str) -> None:
        self._pipelines = pipelines

    def addresses(self) -> Mapping[str, Place | TrivetError]:
        return {f"/text/{place.name}": place for place in self._pipelines.places}

    def exchanges(self, pipeline: LivePipeline) -> OpenExchange:
        exchange = TextExchange(pipeline.pipeline.runner.input_schema)
        return lambda _path, _query, _headers: exchange

    def page(self, path: str, find: Find) -> PageMaker | None:
        live = find(path) if path.startswith("/text/") else None
        if live is None:
            return None

        async def columns() -> Page:
            return Page(200, "\n".join(live.pipeline.runner.input_schema.names).encode(), TEXT)

        return columns

    def unknown(self, path: str, *, pages: Sequence[str]) -> TrivetError | None:
        return NotFound(f"{path} is not an address") if path.startswith("/text/") else None

    def error(self, error: TrivetError, *, status: int, request_id: str, source: Source) -> Page:
        return Page(status, f"{error.reason}: {error.message}".encode(), TEXT)


class TextExchange:
    """See `HttpExchange`."""

    content_type = TEXT

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    def in_thread(self, body: bytes) -> bool:
        return len(body) > 2**20

    def read(self, body: bytes, allowance: Allowance) -> BatchInputs:
        try:
            values = np.array([int(line) for line in body.decode().split()], np.int64)
        except (ValueError, OverflowError) as error:
            raise Invalid("the body is not a number a line", why=str(error)) from error
        if not len(values):
            raise Invalid("the body is empty")
        return BatchInputs(Batch(self._schema, [values], len(values)))

    def write(self, answer: Answer[BatchInputs]) -> bytes:
        return "\n".join(map(str, answer.outputs.numpy(0).tolist())).encode()
