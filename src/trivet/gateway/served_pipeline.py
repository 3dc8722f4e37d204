"""The prediction route: bytes in, bytes out, for one version of one pipeline."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import orjson

from trivet.engine.batch import Batch
from trivet.engine.pipeline import ServedPipeline
from trivet.gateway.formats.answer import Answer, Stamp
from trivet.gateway.formats.arrow_in import decode_arrow
from trivet.gateway.formats.arrow_out import ArrowWriter
from trivet.gateway.formats.dataset import Selection, check_columns, parse_selection
from trivet.gateway.formats.inflation import inflate
from trivet.gateway.formats.inputs import Inputs
from trivet.gateway.formats.negotiation import CONTENT_TYPES, Format, negotiate
from trivet.gateway.formats.records import RecordsDecoder
from trivet.gateway.formats.records_out import RecordsWriter
from trivet.gateway.metrics import PipelineMetrics

__all__ = ["Exchange", "InferRoute", "InferenceSink"]

# Beyond this many bytes, or compressed, a body is decoded in a thread, so that other requests go on meanwhile.
LARGE_BODY: Final = 2**20
# Sets of headers whose meaning is remembered; a client that makes up new ones only costs itself.
REMEMBERED: Final = 256


class InferenceSink(Protocol):
    """Where answered requests are kept."""

    @property
    def dropped(self) -> Mapping[tuple[int, str], int]:
        """Rows that there was no room for, by workspace and pipeline."""

    def append(self, pipeline: ServedPipeline, inputs: Inputs, answer: Answer) -> None:
        """Keep a request and its answer, or drop them where there is no room. Takes microseconds, waits for nothing and
        raises nothing: it is called before the answer leaves.
        """

    def finish(self, pipeline: ServedPipeline) -> None:
        """A pipeline answers no more: what is kept for its sake can go. Waits for nothing and raises nothing."""


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
        pipeline: what answers.
        partition: names this process in `metadata.partition`.
        metrics: where its measurements go.
        max_body: bytes of a request, inflated.
        log: keeps what was answered.

    Attributes:
        in_flight: requests that wait or are being answered.
        retired: whether another version answers in its place, or none.
        closed: whether it can answer no more at all.
    """

    def __init__(
        self,
        pipeline: ServedPipeline,
        *,
        partition: str,
        metrics: PipelineMetrics,
        max_body: int,
        log: InferenceSink | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.metrics = metrics
        self.in_flight = 0
        self.retired = False
        self.closed = False
        last = pipeline.steps[-1]
        last_model = orjson.dumps({"model_name": last.name, "model_sha": last.sha}).decode()
        self._stamp = Stamp(last_model=last_model, pipeline_version=pipeline.version, partition=partition)
        self._runner = pipeline.runner
        self._checks = pipeline.checks
        self._log = log
        self._max_body = max_body
        self._records = RecordsDecoder(pipeline.runner.input_schema)
        self._exchanges: dict[tuple[bytes, bytes, bytes, bytes], Exchange] = {}
        metrics.routes.add(self)

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
        outputs, checks = self._runner.output_schema, () if self._checks is None else self._checks.names
        check_columns(selection, outputs=outputs.names, checks=checks)
        if wanted is Format.RECORDS:
            return RecordsWriter(selection, outputs, self._stamp, checks)
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
        if self._checks is not None:
            evaluate = partial(self._checks.evaluate, inputs.arrays(), outputs)
            answer.anomalies = await asyncio.to_thread(evaluate) if large else evaluate()
        write: Callable[[Answer], bytes | memoryview] = exchange.writer.write
        content = await asyncio.to_thread(write, answer) if large else write(answer)
        if self._log is not None:
            self._log.append(self.pipeline, inputs, answer)
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
