"""Model versions."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from trivet.domain.batching import Batching
from trivet.domain.network import NetworkUse
from trivet.errors import Invalid
from trivet.sdk import operations, progress, waits
from trivet.sdk.calls import Operation, Platform
from trivet.sdk.config import DynamicBatchingConfig
from trivet.sdk.lists import ModelVersionList, shown_time, table_of
from trivet.sdk.short_tracebacks import short_tracebacks

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ModelConfig", "ModelState", "ModelVersion", "configuration", "runtime_logs", "shown_line"]

REFERENCES_RUNTIMES: Final = frozenset({"onnx", "tensorflow", "flight", "mlflow"})
"""The reference's names of runtimes. They change nothing, because Trivet decides where a model runs."""


class ModelConfig:
    """How a model version is run.

    Args:
        version: the version's document.
        config: the configuration's document, or None for the version as uploaded.
    """

    def __init__(self, version: Mapping[str, Any], config: Mapping[str, Any] | None) -> None:
        self._version = version
        self._config: Mapping[str, Any] = config or {}

    def id(self) -> int | None:
        """The configuration's id; None for a version as uploaded."""
        return self._config.get("id")

    def runtime(self) -> str | None:
        """`onnx` for a native model, `flight` for one in workers; None until it is loaded."""
        return self._version.get("runtime")

    def tensor_fields(self) -> list[str] | None:
        """Names of the input columns, in the model's order."""
        return self._config.get("tensor_fields")

    def batch_config(self) -> str | None:
        """What is a call, if that is configured: a `single` row, a `whole` request, or `joined` requests."""
        return self._config.get("batch_config")

    def batching(self) -> str | None:
        """What is a call of the version with its newest configuration, as configured or found; None until it is loaded."""
        return self._version.get("batching")

    def batching_reason(self) -> str | None:
        """Why: what was found when the answers to rows alone and beside others were compared."""
        return self._version.get("batching_reason")

    def network(self) -> str | None:
        """Whether the model's code may use the network, `full` or `none`, if that is configured."""
        return self._config.get("network")

    def input_schema(self) -> "pa.Schema | None":
        """The schema of the input."""
        return _schema(self._config.get("input_schema") or self._version.get("input_schema"))

    def output_schema(self) -> "pa.Schema | None":
        """The schema of the output."""
        return _schema(self._config.get("output_schema") or self._version.get("output_schema"))

    def to_dict(self) -> dict[str, Any]:
        """All settings."""
        return {**self._config, "runtime": self.runtime()}

    def __repr__(self) -> str:
        return f"ModelConfig({self.to_dict()})"


def _schema(text: str | None) -> "pa.Schema | None":
    from trivet.domain.encoding import schema_from_text

    return None if text is None else schema_from_text(text)


def configuration(
    *,
    tensor_fields: list[str] | None,
    batch_config: Batching | None,
    batching: Batching | None,
    runtime: str | None = None,
    network: NetworkUse | None = None,
    input_schema: "pa.Schema | None",
    output_schema: "pa.Schema | None",
    dynamic_batching_config: DynamicBatchingConfig | None,
) -> dict[str, Any]:
    """A configuration as JSON."""
    if batch_config is not None and batching is not None and batch_config != batching:
        raise Invalid(
            f"batching is {batching!r} and batch_config is {batch_config!r}",
            why="they are two names of one setting",
            fix="leave one of them out",
            path="batching",
        )
    if runtime is not None and runtime not in {"native", "isolated", *REFERENCES_RUNTIMES}:
        raise Invalid(
            f"unknown runtime {runtime!r:.80}",
            why="a model runs native, in the gateway's process, or isolated, in workers",
            fix="leave runtime out: Trivet decides it",
            path="runtime",
        )
    fields: dict[str, Any] = {
        "runtime": None if runtime in REFERENCES_RUNTIMES else runtime,
        "network": network,
        "tensor_fields": tensor_fields,
        "batch_config": batch_config or batching,
        "input_schema": operations.schema_text(input_schema, path="input_schema"),
        "output_schema": operations.schema_text(output_schema, path="output_schema"),
    }
    if dynamic_batching_config is not None:
        fields |= {
            "max_batch_delay_ms": dynamic_batching_config.max_batch_delay_ms,
            "batch_size_target": dynamic_batching_config.batch_size_target,
            "batch_size_limit": dynamic_batching_config.batch_size_limit,
        }
    return {name: value for name, value in fields.items() if value is not None}


@short_tracebacks
class ModelState:
    """A model version's facts, without a request."""

    def __init__(self, document: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> None:
        self._document = document
        self._config = config if config is not None else document.get("config")

    def id(self) -> int:
        """The version's number among all versions of all models."""
        return int(self._document["id"])

    def name(self) -> str:
        """The model's name."""
        return str(self._document["name"])

    def version(self) -> str:
        """The version's UUID."""
        return str(self._document["uuid"])

    @property
    def number(self) -> int:
        """Which version of its model it is, from 1."""
        return int(self._document["number"])

    def sha(self) -> str:
        """sha256 of the uploaded bytes."""
        return str(self._document["sha"])

    def file_name(self) -> str:
        """The uploaded file's name."""
        return str(self._document["file_name"])

    def framework(self) -> str:
        """The model's framework."""
        return str(self._document["framework"])

    def image_path(self) -> None:
        """The path of its image; there are no images yet."""
        return

    def arch(self) -> str:
        """The processor that it is meant for."""
        return str(self._document["arch"])

    def accel(self) -> str:
        """The accelerator that it is meant for."""
        return str(self._document["accel"])

    def last_update_time(self) -> datetime:
        """When its status last changed."""
        return datetime.fromisoformat(self._document["updated_at"])

    def error_summary(self) -> str | None:
        """Why it cannot be loaded, or why it is ready without having answered the row that was made up for it."""
        return self._document.get("error_summary")

    def document(self) -> dict[str, Any]:
        """The platform's full document about it."""
        return dict(self._document)

    @property
    def input_schema(self) -> "pa.Schema | None":
        """The schema of the input, as configured; None until it is loaded, unless it was given with the upload."""
        return self.config().input_schema()

    @property
    def output_schema(self) -> "pa.Schema | None":
        """The schema of the output, likewise."""
        return self.config().output_schema()

    def config(self) -> ModelConfig:
        """How it runs."""
        return ModelConfig(self._document, self._config)

    def step(self) -> dict[str, Any]:
        """The step of a pipeline that runs it."""
        config = None if self._config is None else self._config["id"]
        return {"step": "model", "version": self.version(), "config_id": config, "name": self.name(), "sha": self.sha()}

    def __repr__(self) -> str:
        shown = {
            **self._shown(),
            "number": self.number,
            "framework": self.framework(),
            **self._schemas(),
            "status": self._document["status"],
        }
        if self.error_summary() is not None:
            shown["error_summary"] = self.error_summary()
        return str(shown)

    def __str__(self) -> str:
        return str(self._shown())

    def _shown(self) -> dict[str, Any]:
        """What the reference prints."""
        return {
            "name": self.name(),
            "version": self.version(),
            "file_name": self.file_name(),
            "image_path": None,
            "arch": self.arch(),
            "accel": self.accel(),
            "last_update_time": self.last_update_time(),
        }

    def _schemas(self) -> dict[str, str | None]:
        """Its schemas as short texts; None until it is loaded."""
        schemas = {"input_schema": self.input_schema, "output_schema": self.output_schema}
        from trivet.domain.schema_format import format_schema

        return {name: None if schema is None else format_schema(schema) for name, schema in schemas.items()}

    def _repr_html_(self) -> str:
        document = self._document
        return table_of(
            {
                "Name": self.name(),
                "Number": self.number,
                "Version": self.version(),
                "Framework": self.framework(),
                **{name.replace("_", " ").title(): schema for name, schema in self._schemas().items()},
                "File Name": self.file_name(),
                "SHA": self.sha(),
                "Status": document["status"],
                "Runs": document.get("where"),
                "Error Summary": document.get("error_summary"),
                "Image Path": None,
                "Architecture": self.arch(),
                "Acceleration": self.accel(),
                "Updated At": shown_time(self.last_update_time()),
                "Workspace id": document["workspace_id"],
                "Workspace name": document["workspace"],
            }
        )


@short_tracebacks
class ModelVersion(ModelState):
    """One upload of a model, as `Client.upload_model` and `Client.get_model` return it."""

    def __init__(self, client: Platform, document: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> None:
        super().__init__(document, config)
        self._client = client

    def status(self) -> str:
        """`ready`, `error`, or its stage of loading: `pending_load_native`, `attempting_load_container` and so on."""
        self._document = self._client.run(operations.call("GET", f"/v1/versions/{self.version()}"))
        return str(self._document["status"])

    def wait(self, *, timeout: float = 600.0) -> Self:
        """Wait until it is loaded, or loading has failed.

        Raises:
            DeadlineExceeded: it takes longer than `timeout` seconds.
        """
        self._document = self._client.run(
            waits.wait_until_loaded(self.document(), timeout_s=timeout, say=progress.say_nothing)
        )
        return self

    def configure(
        self,
        runtime: str | None = None,
        tensor_fields: list[str] | None = None,
        batch_config: Batching | None = None,
        *,
        batching: Batching | None = None,
        network: NetworkUse | None = None,
        input_schema: "pa.Schema | None" = None,
        output_schema: "pa.Schema | None" = None,
        dynamic_batching_config: DynamicBatchingConfig | None = None,
    ) -> Self:
        """The version under another configuration, for use in pipelines.

        Args:
            runtime: `isolated` runs an ONNX model in workers; `native` asks for the gateway's process, which takes only models
                whose graph was proved harmless. The reference's `onnx`, `tensorflow`, `flight` and `mlflow` change nothing.
            tensor_fields: names of the input columns, in the model's order; native models only.
            batch_config: the reference's name of `batching`.
            batching: what is a call of the model: a `single` row, a `whole` request, or `joined` requests. Without it requests
                are joined where that was proved not to change answers.
            network: `none` keeps the model's code from the network; `full` undoes that, where the operator allows it.
            input_schema: of the input.
            output_schema: of the output.
            dynamic_batching_config: let requests wait for each other.

        Raises:
            Invalid: it does not fit the model.
            Conflict: the model is not ready.
        """
        body = configuration(
            runtime=runtime,
            tensor_fields=tensor_fields,
            batch_config=batch_config,
            batching=batching,
            network=network,
            input_schema=input_schema,
            output_schema=output_schema,
            dynamic_batching_config=dynamic_batching_config,
        )
        if not body:
            return self
        made = self._client.run(
            operations.call("POST", operations.at("versions", self.version(), "configurations"), body=body)
        )
        return type(self)(self._client, self._document, made)

    def get_upload_logs(self) -> str:
        """The lines logged while it loaded."""
        return self._client.run(upload_logs(self.version()))

    def delete(self) -> None:
        """Delete this version; the model too, if it has no other one.

        Raises:
            Conflict: a deployment uses it.
        """
        self._client.run(operations.call("DELETE", operations.at("versions", self.version())))

    def logs(self, limit: int = 200, *, since: timedelta | float | None = None, request_id: str | None = None) -> str:
        """What its workers wrote: output, warnings, the tracebacks of its errors. Each line begins with its time, where that is
        known, a few seconds exact.

        Args:
            limit: the number of last lines, 10,000 at most.
            since: only lines of the last so many seconds, or of a `timedelta`.
            request_id: only the tracebacks of this request; the answer to it has the id, in `X-Request-Id`.
        """
        found = self._client.run(runtime_logs(self.version(), limit=limit, since=since, request_id=request_id))
        return "\n".join(shown_line(line) for line in found["lines"])

    def versions(self) -> ModelVersionList:
        """All versions of the same model, the newest first."""
        found = self._client.run(
            operations.call(
                "GET",
                operations.at("models", self.name(), "versions"),
                query={"workspace": self._document["workspace"]},
            )
        )
        return ModelVersionList(type(self)(self._client, each) for each in found["versions"])


def upload_logs(uuid: str) -> Operation[str]:
    """The lines logged while a version loaded."""
    found = yield from operations.call("GET", f"/v1/versions/{uuid}/logs")
    return "\n".join(f"{line['at']} {line['level']} {line['stage']}: {line['text']}" for line in found["lines"])


def runtime_logs(
    uuid: str,
    *,
    limit: int,
    since: timedelta | float | None = None,
    after: int | None = None,
    request_id: str | None = None,
) -> Operation[dict[str, Any]]:
    """The platform's answer with the last lines that a version's workers wrote, or those after the `end` of an earlier answer."""
    seconds = since.total_seconds() if isinstance(since, timedelta) else since
    query = {"limit": limit, "since_s": seconds, "after": after, "request_id": request_id}
    found: dict[str, Any] = yield from operations.call("GET", f"/v1/versions/{uuid}/runtime-logs", query=query)
    return found


def shown_line(line: Mapping[str, Any]) -> str:
    """A line of a runtime log, after its time."""
    return f"{line['at'] or '-'} {line['text']}"


Progress = Callable[[int, int], None]
