"""The client for programs with an event loop. It awaits the operations of `operations`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import httpx

from trivet.domain.batching import Batching
from trivet.domain.frameworks import Framework
from trivet.domain.network import NetworkUse
from trivet.sdk import answers, operations, progress, uploads, waits
from trivet.sdk.calls import AsyncDriver, Operation
from trivet.sdk.config import DynamicBatchingConfig
from trivet.sdk.connecting import find_token, find_url, trusted
from trivet.sdk.model import ModelState, configuration, runtime_logs, shown_line, upload_logs
from trivet.sdk.packing import as_file, guess_framework
from trivet.sdk.pipeline_state import DEPLOY_S, INFER_S, PipelineState
from trivet.sdk.row_errors import OnError
from trivet.sdk.short_tracebacks import short_tracebacks

if TYPE_CHECKING:
    import pyarrow as pa

    from trivet.domain.version import Acceleration, Architecture

__all__ = ["AsyncClient", "AsyncModelVersion", "AsyncPipeline"]

T = TypeVar("T")


@short_tracebacks
class AsyncModelVersion(ModelState):
    """One upload of a model."""

    def __init__(
        self, client: "AsyncClient", document: Mapping[str, Any], config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(document, config)
        self._client = client

    async def status(self) -> str:
        """`ready`, `error`, or its stage of loading."""
        self._document = await self._client.run(operations.call("GET", f"/v1/versions/{self.version()}"))
        return str(self._document["status"])

    async def configure(
        self,
        tensor_fields: list[str] | None = None,
        batch_config: Batching | None = None,
        *,
        batching: Batching | None = None,
        network: NetworkUse | None = None,
        input_schema: "pa.Schema | None" = None,
        output_schema: "pa.Schema | None" = None,
        dynamic_batching_config: DynamicBatchingConfig | None = None,
        runtime: Literal["native", "isolated"] | None = None,
    ) -> "AsyncModelVersion":
        """The version under another configuration: see `ModelVersion.configure`."""
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
        path = f"/v1/versions/{self.version()}/configurations"
        made = await self._client.run(operations.call("POST", path, body=body))
        return AsyncModelVersion(self._client, self._document, made)

    async def get_upload_logs(self) -> str:
        """The lines logged while it loaded."""
        return await self._client.run(upload_logs(self.version()))

    async def logs(
        self, limit: int = 200, *, since: timedelta | float | None = None, request_id: str | None = None
    ) -> str:
        """What its workers wrote: see `ModelVersion.logs`."""
        found = await self._client.run(runtime_logs(self.version(), limit=limit, since=since, request_id=request_id))
        return "\n".join(shown_line(line) for line in found["lines"])


@short_tracebacks
class AsyncPipeline(PipelineState):
    """Steps under a name."""

    def __init__(self, client: "AsyncClient", document: Mapping[str, Any], *, version: str | None = None) -> None:
        super().__init__(document, version=version)
        self._client = client

    async def deploy(
        self,
        deployment_config: Mapping[str, Any] | None = None,
        wait_for_status: bool = True,
        *,
        within_s: float = DEPLOY_S,
    ) -> Self:
        """Run the steps: see `Pipeline.deploy`."""
        answer = await self._client.run(
            waits.deploy(
                self.name(),
                workspace=self.workspace,
                steps=self._steps.documents,
                version=None,
                config=deployment_config,
            )
        )
        self._infer_url = None
        if wait_for_status:
            await self._client.run(
                waits.wait_for_deployment(
                    self.name(),
                    workspace=self.workspace,
                    generation=answer["deployment"]["generation"],
                    timeout_s=within_s,
                    say=self._client.say,
                )
            )
        return self

    async def undeploy(self, *, within_s: float = DEPLOY_S) -> Self:
        """Stop it."""
        await self._client.run(
            waits.undeploy(self.name(), workspace=self.workspace, timeout_s=within_s, say=self._client.say)
        )
        return self

    async def status(self) -> dict[str, Any]:
        """What runs: see `Pipeline.status`."""
        path = f"/v1/pipelines/{self.name()}/status"
        found: dict[str, Any] = await self._client.run(
            operations.call("GET", path, query={"workspace": self.workspace})
        )
        return found

    async def infer(
        self,
        tensor: Any,
        *,
        within_s: float = INFER_S,
        dataset: Sequence[str] | str | None = None,
        dataset_exclude: Sequence[str] | str | None = None,
        dataset_separator: str | None = ".",
        retries: int = 0,
        on_error: OnError = "raise",
    ) -> Any:
        """Send rows: see `Pipeline.infer`."""
        return await self._client.run(
            self._asking(
                tensor, within_s, dataset, dataset_exclude, dataset_separator, retries=retries, on_error=on_error
            )
        )

    async def logs(
        self,
        limit: int = 100,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
        dataset: Sequence[str] | None = None,
        arrow: bool = False,
    ) -> Any:
        """Logged requests and answers: see `Pipeline.logs`."""
        table, _, _ = await self._client.run(
            operations.logs(
                self.name(),
                workspace=self.workspace,
                limit=limit,
                start=start_datetime,
                end=end_datetime,
                dataset=dataset,
                exclude=None,
            )
        )
        table = answers.as_answered(table)
        return table if arrow else answers.to_frame(table)


@short_tracebacks
class AsyncClient:
    """A platform, for programs with an event loop.

    Args:
        url: of the control API; by default `TRIVET_URL`, or `http://127.0.0.1:8000`.
        token: by default `TRIVET_TOKEN`, or the token in the home of this machine's platform.
        workspace: the workspace to use.
        verify: whether to check certificates, or a file with trusted ones; `SSL_CERT_FILE` names one, too.
        quiet: print nothing while waiting.

    Example:
        `async with AsyncClient() as client: …`
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        workspace: str = "default",
        verify: bool | str = True,
        quiet: bool = True,
    ) -> None:
        self.url = find_url(url)
        self._workspace = workspace
        self.say: Callable[[str], None] = progress.say_nothing if quiet else progress.say_on_stdout
        self._http = httpx.AsyncClient(verify=trusted(verify), trust_env=False)
        self._driver = AsyncDriver(self.url, find_token(token, url=self.url), self._http)

    async def run(self, operation: Operation[T]) -> T:
        """Run an operation of the SDK."""
        return await self._driver.run(operation)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def upload_model(
        self,
        name: str,
        path: str | Path,
        framework: Framework | str | None = None,
        *,
        input_schema: "pa.Schema | None" = None,
        output_schema: "pa.Schema | None" = None,
        example: Any = None,
        convert_wait: bool = True,
        arch: "Architecture | str | None" = None,
        accel: "Acceleration | str" = "none",
        python: str | None = None,
        network: NetworkUse | None = None,
        allow_nulls: bool | None = None,
        trust: bool = False,
        within_s: float = 600.0,
    ) -> AsyncModelVersion:
        """Upload a model: see `Client.upload_model`."""
        fields = uploads.announcement(
            name, framework or guess_framework(path),
            workspace=self._workspace, input_schema=input_schema, output_schema=output_schema,
            arch=arch, accel=accel, python=python, network=network, trust=trust, example=example,
            allow_nulls=allow_nulls,
        )  # fmt: skip
        opened = as_file(path)
        # Zipping a folder may take long.
        file, file_name = await asyncio.to_thread(opened.__enter__)
        try:
            version = await self.run(uploads.upload(file=file, file_name=file_name, fields=fields, progress=None))
        finally:
            opened.__exit__(None, None, None)
        if convert_wait:
            version = await self.run(waits.wait_until_loaded(version, timeout_s=within_s, say=self.say))
        return AsyncModelVersion(self, version)

    async def get_model(self, name: str, version: str | None = None) -> AsyncModelVersion:
        """A model's newest version, or the one with a UUID.

        Raises:
            NotFound: the model or the version does not exist.
        """
        found = await self.run(operations.find_version(name, version, workspace=self._workspace))
        return AsyncModelVersion(self, found)

    async def list_models(self) -> list[AsyncModelVersion]:
        """The newest version of every model in the workspace."""
        found = await self.run(operations.call("GET", "/v1/models", query={"workspace": self._workspace}))
        return [AsyncModelVersion(self, each["newest"]) for each in found["models"]]

    async def delete_model(self, name: str) -> None:
        """Delete a model with all its versions.

        Raises:
            Conflict: a deployment uses it.
        """
        await self.run(operations.call("DELETE", operations.at("models", name), query={"workspace": self._workspace}))

    async def build_pipeline(self, name: str) -> AsyncPipeline:
        """A pipeline by its name, without steps; created if it does not exist."""
        body = {"name": name, "workspace": self._workspace}
        return AsyncPipeline(self, await self.run(operations.call("POST", "/v1/pipelines", body=body))).clear()

    async def get_pipeline(self, name: str, version: str | None = None) -> AsyncPipeline:
        """A pipeline with the steps of its newest version, or of the one with a UUID."""
        found = await self.run(operations.find("pipelines", name, workspace=self._workspace))
        return AsyncPipeline(self, found, version=version)

    async def list_pipelines(self) -> list[AsyncPipeline]:
        """The pipelines of the workspace."""
        found = await self.run(operations.call("GET", "/v1/pipelines", query={"workspace": self._workspace}))
        return [AsyncPipeline(self, each) for each in found["pipelines"]]

    async def delete_pipeline(self, name: str) -> None:
        """Delete a pipeline with all its versions.

        Raises:
            Conflict: it is deployed.
        """
        query = {"workspace": self._workspace}
        await self.run(operations.call("DELETE", operations.at("pipelines", name), query=query))

    async def status(self, pipeline: str | None = None) -> list[dict[str, Any]]:
        """What runs: see `Client.status`."""
        query = {"workspace": self._workspace, "pipeline": pipeline}
        found: list[dict[str, Any]] = (await self.run(operations.call("GET", "/v1/status", query=query)))["pipelines"]
        return found
