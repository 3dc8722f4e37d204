"""The gateway called in-process, as any ASGI server calls it, in front of a small runner that a test writes itself."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from trivet.domain.schema import parse_schema
from trivet.engine.batch import Batch
from trivet.engine.canned import canned_batch
from trivet.engine.pipeline import ServedPipeline, ServedStep
from trivet.engine.served import Probe, Runner
from trivet.gateway.access import GatewayAccess
from trivet.gateway.doors.table import open_doors
from trivet.gateway.http.app import GatewayApp
from trivet.gateway.pipelines import Pipelines

RECORDS = "application/json; format=pandas-records"
FILE = "application/vnd.apache.arrow.file"
STREAM = "application/vnd.apache.arrow.stream"
VERSION = "3f6c3f5e-0000-4000-8000-000000000001"


class FunctionRunner:
    """Keeps the contract of `Runner` with a plain function."""

    capacity = 1

    def __init__(self, inputs: pa.Schema, outputs: pa.Schema, function: Callable[[Batch], Batch]) -> None:
        self.input_schema = inputs
        self.output_schema = outputs
        self.calls = 0
        self._function = function

    def predict(self, batch: Batch) -> Batch:
        self.calls += 1
        return self._function(batch)


@dataclass
class Reply:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body under the strict grammar: no NaN, no Infinity, no byte that is not UTF-8."""
        return json.loads(self.body.decode(), parse_constant=no_such_word)

    @property
    def table(self) -> pa.Table:
        reader = pa.ipc.open_file if self.body.startswith(b"ARROW1") else pa.ipc.open_stream
        return reader(self.body).read_all()


def no_such_word(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


@dataclass
class Server:
    """A gateway and what stands behind it."""

    pipelines: Pipelines
    app: GatewayApp
    runner: FunctionRunner | None = None
    sound: bytes = b""
    sent: list[bytes] = field(default_factory=list)

    def ask(
        self,
        body: bytes | Sequence[bytes] = b"",
        *,
        content_type: str = RECORDS,
        accept: str = "",
        query: str = "",
        method: str = "POST",
        path: str = "/infer",
        **headers: str,
    ) -> Reply:
        """One request; a list of bodies is sent in pieces."""
        pieces = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": piece, "more_body": index + 1 < len(pieces)}
            for index, piece in enumerate(pieces)
        ]
        named = {"content-type": content_type, "accept": accept, **{k.replace("_", "-"): v for k, v in headers.items()}}
        scope = {
            "type": "http",
            "state": {},
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items() if value],
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def call() -> None:
            await self.app(scope, receive, send)

        asyncio.run(call())
        if not sent:
            return Reply(0, {}, b"")
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        content = b"".join(bytes(message.get("body", b"")) for message in sent[1:])
        assert method == "HEAD" or int(headers["content-length"]) == len(content)
        return Reply(sent[0]["status"], headers, content)

    def rows(self, rows: Any, **options: Any) -> Reply:
        """Rows as pandas-records."""
        return self.ask(json.dumps(rows).encode(), **options)

    def arrow(self, data: pa.Table | pa.RecordBatch, *, form: str = FILE, **options: Any) -> Reply:
        """A table in Arrow, answered in Arrow."""
        return self.ask(ipc(data, form=form), content_type=form, **options)

    def still_answers(self) -> bool:
        """Whether a sound request is answered, as it always must be."""
        return self.ask(self.sound).status == 200


def ipc(data: pa.Table | pa.RecordBatch, *, form: str = FILE, compression: str | None = None) -> bytes:
    """A table as the bytes of an Arrow file or stream."""
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_file if form == FILE else pa.ipc.new_stream
    with new(sink, data.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write(data)
    return sink.getvalue().to_pybytes()


def echo(batch: Batch) -> Batch:
    return Batch(batch.schema, batch.columns, batch.rows)


def serve_model(
    inputs: str | pa.Schema,
    outputs: str | pa.Schema | None = None,
    function: Callable[[Batch], Batch] = echo,
    *,
    sound: str = "",
    max_body: int = 4 * 2**20,
    name: str = "model",
    access: GatewayAccess | None = None,
) -> Server:
    input_schema = parse_schema(inputs) if isinstance(inputs, str) else inputs
    output_schema = input_schema if outputs is None else parse_schema(outputs) if isinstance(outputs, str) else outputs
    runner = FunctionRunner(input_schema, output_schema, function)
    server = serve_pipelines(Pipelines(), max_body=max_body, access=access)
    server.pipelines.put(pipeline_of(runner, name=name))
    server.runner, server.sound = runner, sound.encode()
    return server


def serve_pipelines(pipelines: Pipelines, *, max_body: int = 4 * 2**20, access: GatewayAccess | None = None) -> Server:
    doors = open_doors(pipelines, partition="here")
    return Server(pipelines, GatewayApp(pipelines, doors, max_body=max_body, access=access))


def pipeline_of(
    runner: Runner,
    *,
    name: str,
    version: str = VERSION,
    deployment_id: int | None = None,
    workspace_id: int = 0,
) -> ServedPipeline:
    """A pipeline of one native step that is named like it."""
    step = ServedStep(
        name=name,
        version=version,
        version_id=0,
        sha="ab" * 32,
        framework="onnx",
        runtime="native",
        runner=runner,
    )
    return ServedPipeline(
        name=name,
        version=version,
        deployment_id=deployment_id,
        workspace_id=workspace_id,
        steps=(step,),
        runner=runner,
        probe=Probe(runner, canned_batch(runner.input_schema), synthetic=True),
        checks=None,
    )


@pytest.fixture(scope="session")
def serve() -> Callable[..., Server]:
    """`serve("x: float32[2]")` is a gateway whose model answers its input; a function may answer something else."""
    return serve_model


@pytest.fixture(scope="session")
def as_ipc() -> Callable[..., bytes]:
    return ipc


@pytest.fixture(scope="session")
def served_by() -> Callable[..., Server]:
    """A gateway over pipelines that a test puts together itself."""
    return serve_pipelines


@pytest.fixture(scope="session")
def pipeline_around() -> Callable[..., ServedPipeline]:
    """`pipeline_around(runner, name=…)`."""
    return pipeline_of


@pytest.fixture(scope="session")
def make_pipeline() -> Callable[..., ServedPipeline]:
    """`make_pipeline(inputs, outputs, function, name=…, deployment_id=…)`."""

    def make(inputs: pa.Schema, outputs: pa.Schema, function: Callable[[Batch], Batch], **about: Any) -> ServedPipeline:
        return pipeline_of(FunctionRunner(inputs, outputs, function), **about)

    return make
