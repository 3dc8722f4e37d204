"""The prediction route: bytes in, bytes out, for one model."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trivet.engine.batch import Batch
from trivet.engine.served import ServedModel
from trivet.gateway.bodies import inflate
from trivet.gateway.dataset import Selection, parse_selection
from trivet.gateway.formats.answer import Answer, Stamp
from trivet.gateway.formats.arrow_in import decode_arrow
from trivet.gateway.formats.arrow_out import ArrowWriter
from trivet.gateway.formats.inputs import Inputs
from trivet.gateway.formats.records import RecordsDecoder
from trivet.gateway.formats.records_out import RecordsWriter
from trivet.gateway.metrics import ModelMetrics
from trivet.gateway.negotiation import CONTENT_TYPES, Format, negotiate

__all__ = ["Exchange", "InferRoute"]

# Beyond this many bytes, or compressed, a body is decoded in a thread, so that other requests go on meanwhile.
LARGE_BODY: Final = 2**20
# Sets of headers whose meaning is remembered; a client that makes up new ones only costs itself.
REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a set of headers and a query string ask for."""

    came: Format
    encoding: bytes
    compressed: bool
    writer: RecordsWriter | ArrowWriter
    content_type: bytes


class InferRoute:
    """Decodes, predicts, encodes, and measures all three.

    Args:
        served: the model.
        stamp: what its answers say of their origin.
        metrics: where its measurements go.
        max_body: bytes of a request, inflated.
    """

    def __init__(self, served: ServedModel, *, stamp: Stamp, metrics: ModelMetrics, max_body: int) -> None:
        self.served = served
        self.metrics = metrics
        self._runner = served.runner
        self._stamp = stamp
        self._max_body = max_body
        self._records = RecordsDecoder(served.runner.input_schema)
        self._exchanges: dict[tuple[bytes, bytes, bytes, bytes], Exchange] = {}

    def exchange(self, content_type: bytes, accept: bytes, encoding: bytes, query: bytes) -> Exchange:
        """What a request asks for.

        Raises:
            Unsupported, NotAcceptable, Invalid: it asks for something that is not there.
        """
        key = (content_type, accept, encoding, query)
        known = self._exchanges.get(key)
        if known is not None:
            return known
        came, wanted = negotiate(content_type, accept)
        exchange = Exchange(
            came=came,
            encoding=encoding,
            compressed=encoding.strip().lower() not in (b"", b"identity"),
            writer=self._writer(wanted, parse_selection(query)),
            content_type=CONTENT_TYPES[wanted],
        )
        if len(self._exchanges) >= REMEMBERED:
            self._exchanges.clear()
        self._exchanges[key] = exchange
        return exchange

    def _writer(self, wanted: Format, selection: Selection) -> RecordsWriter | ArrowWriter:
        if wanted is Format.RECORDS:
            return RecordsWriter(selection, self._runner.output_schema, self._stamp)
        return ArrowWriter(selection, self._stamp, stream=wanted is Format.ARROW_STREAM)

    async def __call__(self, exchange: Exchange, body: bytes) -> bytes | memoryview:
        """Answer one request.

        Raises:
            TrivetError: whatever was wrong with it.
        """
        started = time.perf_counter_ns()
        large = len(body) > LARGE_BODY or exchange.compressed
        inputs = await asyncio.to_thread(self._decode, exchange, body) if large else self._decode(exchange, body)
        decoded = time.perf_counter_ns()
        outputs = self._runner.predict(inputs.batch)
        if not isinstance(outputs, Batch):
            outputs = await outputs
        answered = time.perf_counter_ns()
        answer = Answer(inputs, outputs, time.time_ns() // 1_000_000, (decoded - started, answered - decoded))
        write: Callable[[Answer], bytes | memoryview] = exchange.writer.write
        content = await asyncio.to_thread(write, answer) if large else write(answer)
        metrics = self.metrics
        metrics.rows += outputs.rows
        metrics.model_s.observe((answered - decoded) * 1e-9)
        metrics.request_s.observe((time.perf_counter_ns() - started) * 1e-9)
        return content

    def _decode(self, exchange: Exchange, body: bytes) -> Inputs:
        if exchange.encoding:
            body = inflate(body, exchange.encoding, max_bytes=self._max_body)
        if exchange.came is Format.RECORDS:
            return self._records.decode(body)
        return decode_arrow(body, self._runner.input_schema, max_bytes=self._max_body)
