"""The messages on the socket between supervisor and gateway: the routes to serve, and their states.

Each message is one JSON line. A `RouteTable` and a `GatewayReport` are complete: the newest replaces all before it, so a lost
or repeated one does no harm.
"""

from typing import Any, Literal, TypeAlias

import msgspec
import pyarrow as pa

from trivet.domain.batching import Batching
from trivet.domain.fault import Fault
from trivet.domain.memory_bounds import MemoryBounds
from trivet.domain.pipeline import Validation
from trivet.domain.proof import Refused
from trivet.domain.statistics import PipelineStatistics

__all__ = [
    "CPU",
    "AskStatistics",
    "EndWorker",
    "FlushLogs",
    "Flushed",
    "GatewayMessage",
    "GatewayReport",
    "NativeStep",
    "Route",
    "RouteState",
    "RouteStep",
    "RouteTable",
    "StatisticsAnswer",
    "StepKey",
    "ToGateway",
    "ValidationStep",
    "WorkerAddress",
    "WorkerEnded",
    "WorkerStep",
]

CPU = ("CPUExecutionProvider",)
"""The providers of a native step that runs on processors, by ONNX Runtime's names."""

StepKey: TypeAlias = tuple[str, int | None]
"""A model version's UUID and the id of its configuration: a step is prepared once for all pipelines that have it."""


class WorkerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a ready worker answers. It holds a token that opens the worker, so it is kept in private files only.

    Attributes:
        id: never used twice.
        location: an Arrow Flight location: `grpc+unix://…`, `grpc+tcp://…` or `grpc+tls://…`.
        handle: what the launcher that started it needs to find it again; opaque to everything else.
        token: sent with each call; empty for a worker of a release that did not ask for one.
        ca: certificates in PEM that a `grpc+tls` location is checked with.
    """

    id: str
    location: str
    handle: dict[str, str] = {}
    token: str = ""
    ca: str = ""

    def __repr__(self) -> str:
        return f"WorkerAddress(id={self.id!r}, location={self.location!r})"


class NativeStep(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="native"):
    """A step that the gateway's process runs itself.

    Attributes:
        version_id: the version's number among all versions, `version` its UUID.
        path: the checked model file, unpacked.
        tensor_fields, input_schema, output_schema: of version and configuration; None where neither says.
        batch_config: which rows share a call; None is `whole`.
        example: rows to try it with; empty tries zeros.
        must_answer: whether the made-up row has to be answered: it was, when the version was uploaded.
        threads: for operators inside one call; None leaves it to the gateway.
        providers: what ONNX Runtime runs it on, the preferred first.
        bounds: of the memory of its calls; None if its graph was not proved harmless, or not examined.
        refused: numbers that it must not answer, because the model that it was converted from does not.
    """

    name: str
    version: str
    version_id: int
    sha: str
    framework: str
    path: str
    tensor_fields: tuple[str, ...] | None = None
    batch_config: Batching | None = None
    input_schema: pa.Schema | None = None
    output_schema: pa.Schema | None = None
    example: tuple[dict[str, Any], ...] = ()
    must_answer: bool = False
    timeout_s: float | None = None
    threads: int | None = None
    providers: tuple[str, ...] = CPU
    bounds: MemoryBounds | None = None
    refused: Refused | None = None


class WorkerStep(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="isolated"):
    """A step that workers run.

    Attributes:
        batch_config: which rows share a call; None is `whole`.
        must_answer: whether the made-up row has to be answered: it was, when the version was uploaded.
        workers: those that are ready now. They come and go without the route being another one.
        stuck: why none will be ready soon, for the clients: their requests do not wait then. None if they may wait.
        max_batch_delay_ms, batch_size_target, batch_size_limit: see `ModelConfig`.
    """

    name: str
    version: str
    version_id: int
    sha: str
    framework: str
    input_schema: pa.Schema
    output_schema: pa.Schema
    batch_config: Batching | None = None
    example: tuple[dict[str, Any], ...] = ()
    must_answer: bool = False
    timeout_s: float | None = None
    max_batch_delay_ms: int | None = None
    batch_size_target: int | None = None
    batch_size_limit: int | None = None
    workers: tuple[WorkerAddress, ...] = ()
    stuck: str | None = None


class ValidationStep(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="check"):
    """Validations of the step before."""

    validations: tuple[Validation, ...]


RouteStep: TypeAlias = NativeStep | WorkerStep | ValidationStep


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One deployed pipeline.

    Attributes:
        deployment_id: it replaces the route of the same deployment. 0 where a single model is served without a platform.
        digest: of everything but the workers: another one is another version, which is warmed up beside the one that
            serves and takes its place at once.
        pipeline_version: its UUID.
    """

    deployment_id: int
    pipeline: str
    workspace_id: int
    pipeline_version: str
    digest: str
    steps: tuple[RouteStep, ...]
    log_inferences: bool = True


class RouteTable(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="routes"):
    """Everything that shall be served. A deployment that is not in it is taken away once its requests are answered."""

    number: int
    routes: tuple[Route, ...]


class WorkerEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="worker_ended"):
    """How a worker ended, for the errors of the requests that it held."""

    id: str
    ending: str


class EndWorker(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="end_worker"):
    """Asks the supervisor to end a worker that is of no use any more: a call in it ran over its deadline, or its stream broke.

    Repeated on each connection until the worker has ended or is no longer in the table. A worker that is gone stays gone.
    """

    worker: WorkerAddress


class FlushLogs(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="flush_logs"):
    """Asks that everything answered so far be in the inference log's files. Answered with `Flushed`."""

    token: str


class AskStatistics(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ask_statistics"):
    """Asks for what was measured in the last minutes. Answered with `StatisticsAnswer`."""

    token: str


ToGateway: TypeAlias = RouteTable | WorkerEnded | FlushLogs | AskStatistics


class RouteState(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one offered route.

    Attributes:
        offered: digest of the newest offer; None once the deployment is no longer in the table but requests still run.
        state: of the offer: `loading`, `serving`, or `failed` with `fault`.
        serving: digest and pipeline version of what answers requests now, whatever was offered since.
        using: digests of every route of this deployment whose workers are still needed: the serving one, one that is
            loading, and those whose last requests run.
    """

    deployment_id: int
    offered: str | None
    state: Literal["loading", "serving", "failed", "leaving"]
    serving: str | None = None
    serving_version: str | None = None
    using: tuple[str, ...] = ()
    fault: Fault | None = None


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="report"):
    """What the gateway serves. Sent on connection, and whenever it changes.

    Attributes:
        gateway: names the process.
        number: of the newest table that came over this connection; 0 if none did, whatever is served.
        native_faults: versions that ended or blocked a gateway, by UUID, with how: they are to run in workers.
    """

    gateway: str
    number: int
    states: tuple[RouteState, ...]
    native_faults: dict[str, str] = {}


class Flushed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="flushed"):
    """Answers `FlushLogs`."""

    token: str


class StatisticsAnswer(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="statistics"):
    """Answers `AskStatistics`: every pipeline that is served."""

    token: str
    pipelines: tuple[PipelineStatistics, ...]


GatewayMessage: TypeAlias = GatewayReport | EndWorker | Flushed | StatisticsAnswer
