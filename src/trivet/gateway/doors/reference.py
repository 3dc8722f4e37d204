"""The reference's protocol: records in JSON or Arrow in, records or Arrow out, with what is known of each row beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import orjson

from trivet.domain.frameworks import Framework
from trivet.errors import NotAcceptable, TrivetError
from trivet.gateway.allowance import Allowance, uncounted_rows
from trivet.gateway.answer import Answer
from trivet.gateway.doors.door import Find, OpenExchange, Page, PageMaker, Source
from trivet.gateway.doors.reference_addresses import (
    DESCRIPTION,
    INFER,
    PIPELINES,
    addresses_of,
    full_path,
    named_paths,
    unknown_address,
)
from trivet.gateway.doors.reference_formats import CONTENT_TYPES, Format, negotiate
from trivet.gateway.doors.reference_openapi import describe
from trivet.gateway.formats.arrow_in import decode_arrow
from trivet.gateway.formats.arrow_out import ArrowWriter
from trivet.gateway.formats.dataset import Selection, check_columns, parse_selection
from trivet.gateway.formats.inflation import inflate
from trivet.gateway.formats.inputs import EchoedInputs
from trivet.gateway.formats.records import RecordsDecoder
from trivet.gateway.formats.records_out import RecordsWriter
from trivet.gateway.formats.rowwise_arrow import RowwiseArrowWriter, SentTable
from trivet.gateway.formats.rowwise_json import RowwiseRecordsWriter, SentRecords
from trivet.gateway.formats.stamp import Stamp
from trivet.gateway.formats.widths import is_fixed, row_bytes
from trivet.gateway.live_pipeline import LivePipeline
from trivet.gateway.pipelines import Phase, Pipelines, Place
from trivet.gateway.rowwise import RowwiseExchange, SentRows

__all__ = ["ReferenceDoor", "pipeline_entry", "pipeline_status"]

JSON = b"application/json"
# Beyond this many bytes, or compressed, a body is decoded in a thread, so that other requests go on meanwhile.
LARGE_BODY: Final = 2**20
# Sets of headers whose meaning is kept; a client that makes up new ones only costs itself.
MOST_EXCHANGES: Final = 256


class ReferenceDoor:
    """See `Door`.

    Args:
        pipelines: what answers.
        partition: names this process in `metadata.partition`.
    """

    def __init__(self, pipelines: Pipelines, *, partition: str) -> None:
        self._pipelines = pipelines
        self._partition = partition

    def addresses(self) -> Mapping[str, Place | TrivetError]:
        """See `Door.addresses`."""
        return addresses_of(self._pipelines.places)

    def exchanges(self, pipeline: LivePipeline) -> OpenExchange:
        """See `Door.exchanges`."""
        return _Exchanges(pipeline, partition=self._partition).of

    def page(self, path: str, find: Find) -> PageMaker | None:
        """See `Door.page`: a pipeline's entry in the list of them, and its own description."""
        described = path.removesuffix(DESCRIPTION)
        if described == path:
            name = path.removeprefix(PIPELINES)
            live = None if name == path or "/" in name else find(path)
            return None if live is None else partial(self._entry, live)
        live = find(described)
        return None if live is None or described == INFER else partial(self._description, live, described)

    def unknown(self, path: str, *, pages: Sequence[str]) -> TrivetError:
        """See `Door.unknown`."""
        single = self.addresses().get(INFER)
        answers = isinstance(single, Place) and self._pipelines.at(single) is not None
        known = [INFER if answers else f"{PIPELINES}{{name}}/infer", *pages]
        return unknown_address(path, places=self._pipelines.places, known=known)

    def error(self, error: TrivetError, *, status: int, request_id: str, source: Source) -> Page:
        """See `Door.error`.

        `code`, `status`, `error` and `source` are those of the reference's engine; `reason` is a slug that programs can match,
        `path` says where in the request, `fix` what to do.
        """
        body: dict[str, object] = {
            "code": status,
            "status": "error",
            "error": error.message,
            "source": source,
            "reason": error.reason,
        }
        if error.path is not None:
            body["path"] = error.path
        if error.fix is not None:
            body["fix"] = error.fix
        body["request_id"] = request_id
        return Page(status, orjson.dumps(body, default=str), JSON)

    async def _entry(self, live: LivePipeline) -> Page:
        return Page(200, orjson.dumps(pipeline_entry(live, phase=self._pipelines.phase)), JSON)

    async def _description(self, live: LivePipeline, path: str) -> Page:
        short, shortest = named_paths(live.pipeline.name)
        document = describe(live.pipeline, path=short if path == shortest else path)
        return Page(200, orjson.dumps(document), JSON)


@dataclass(frozen=True, slots=True)
class ReferenceExchange:
    """See `HttpExchange`: what a set of headers and a query string ask for.

    Attributes:
        read: bytes become a request.
        write: an answer becomes bytes.
        compressed: whether the request's body has to be inflated.
    """

    read: Callable[[bytes, Allowance], EchoedInputs]
    write: Callable[[Answer[EchoedInputs]], bytes | memoryview]
    content_type: bytes
    compressed: bool

    def in_thread(self, body: bytes) -> bool:
        """See `Exchange.in_thread`."""
        return self.compressed or len(body) > LARGE_BODY


_Exchange: TypeAlias = ReferenceExchange | RowwiseExchange[bytes, bytes | memoryview]


class _Exchanges:
    """The exchanges of one pipeline, kept by what the headers say: clients repeat themselves."""

    def __init__(self, live: LivePipeline, *, partition: str) -> None:
        pipeline = live.pipeline
        last = pipeline.steps[-1]
        last_model = orjson.dumps({"model_name": last.name, "model_sha": last.sha}).decode()
        self._stamp = Stamp(
            last_model=last_model,
            pipeline_version=pipeline.version,
            partition=partition,
            runs_package=pipeline.steps[0].framework != Framework.ONNX,
        )
        self._input_schema = pipeline.runner.input_schema
        self._output_schema = pipeline.runner.output_schema
        self._checks = () if pipeline.checks is None else pipeline.checks.names
        self._output_bytes = sum(row_bytes(field.type) for field in self._output_schema)
        fixed = all(is_fixed(field.type) for field in self._input_schema)
        self._input_bytes = sum(row_bytes(field.type) for field in self._input_schema) if fixed else None
        self._records = RecordsDecoder(self._input_schema)
        self._known: dict[tuple[bytes, bytes, bytes, bytes], _Exchange] = {}

    def of(self, _path: str, query: bytes, headers: Mapping[bytes, bytes]) -> _Exchange:
        """What a request asks for.

        Raises:
            Unsupported, NotAcceptable, Invalid: it asks for something that is not there.
        """
        content_type, accept = headers.get(b"content-type", b""), headers.get(b"accept", b"")
        encoding = headers.get(b"content-encoding", b"")
        key = (content_type, accept, encoding, query)
        known = self._known.get(key)
        if known is not None:
            return known
        came, wanted = negotiate(content_type, accept)
        selection = parse_selection(query)
        exchange: _Exchange = (
            self._rowwise(came, wanted, encoding, selection)
            if selection.by_row
            else ReferenceExchange(
                read=self._reader(came, encoding),
                write=self._writer(wanted, selection).write,
                content_type=CONTENT_TYPES[wanted],
                compressed=encoding.strip().lower() not in (b"", b"identity"),
            )
        )
        if len(self._known) >= MOST_EXCHANGES:
            self._known.clear()
        self._known[key] = exchange
        return exchange

    def _reader(self, came: Format, encoding: bytes) -> Callable[[bytes, Allowance], EchoedInputs]:
        decode = self._records.decode if came is Format.RECORDS else self._decode_arrow
        bytes_a_row, column_bytes = self._output_bytes, self._input_bytes
        few = 0 if column_bytes is None else uncounted_rows(column_bytes + bytes_a_row)

        def read(body: bytes, allowance: Allowance) -> EchoedInputs:
            inputs = decode(inflate(body, encoding, allowance) if encoding else body, allowance)
            batch = inputs.batch
            if batch.rows <= few:
                return inputs
            columns = batch.nbytes if column_bytes is None else batch.rows * column_bytes
            allowance.hold_rows(batch.rows, columns=columns, bytes_a_row=bytes_a_row)
            return inputs

        return read

    def _rowwise(
        self, came: Format, wanted: Format, encoding: bytes, selection: Selection
    ) -> RowwiseExchange[bytes, bytes | memoryview]:
        """What a request with `on_error=null` asks for."""
        if (came is Format.RECORDS) is not (wanted is Format.RECORDS):
            raise NotAcceptable(
                "with on_error=null the answer has the request's format",
                fix="send and accept JSON, or send and accept Arrow",
            )

        def split(body: bytes, allowance: Allowance) -> SentRows:
            body = inflate(body, encoding, allowance) if encoding else body
            if came is Format.RECORDS:
                return SentRecords(body, self._reader(came, b""), allowance)
            return SentTable(body, self._input_schema, self._output_bytes, allowance)

        writer = self._writer(wanted, selection)
        rowwise = (
            RowwiseRecordsWriter(selection, self._output_schema, self._checks, writer)
            if isinstance(writer, RecordsWriter)
            else RowwiseArrowWriter(writer, self._output_schema, self._checks, flatten=selection.flatten)
        )
        return RowwiseExchange(split=split, write=rowwise.write, content_type=CONTENT_TYPES[wanted])

    def _decode_arrow(self, body: bytes, allowance: Allowance) -> EchoedInputs:
        return decode_arrow(body, self._input_schema, allowance)

    def _writer(self, wanted: Format, selection: Selection) -> RecordsWriter | ArrowWriter:
        check_columns(selection, outputs=self._output_schema.names, checks=self._checks)
        if wanted is Format.RECORDS:
            return RecordsWriter(selection, self._output_schema, self._stamp, self._checks)
        return ArrowWriter(selection, self._stamp, stream=wanted is Format.ARROW_STREAM)


def pipeline_status(live: LivePipeline, *, phase: Phase) -> str:
    """A pipeline's status, in the reference's words."""
    if phase is Phase.STOPPING:
        return "Stopping"
    return "Running" if live.pipeline.runner.capacity else "Starting"


def pipeline_entry(live: LivePipeline, *, phase: Phase) -> dict[str, Any]:
    """A pipeline in the list of them."""
    pipeline = live.pipeline
    entry: dict[str, Any] = {
        "id": pipeline.name,
        "version": pipeline.version,
        "status": pipeline_status(live, phase=phase),
    }
    if pipeline.deployment_id is not None:
        entry |= {"deployment_id": pipeline.deployment_id, "url": full_path(Place.of(pipeline))}
    return entry
