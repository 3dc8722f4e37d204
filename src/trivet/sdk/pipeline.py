"""Pipelines."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from trivet.errors import Invalid, NotFound, TrivetError
from trivet.sdk import answers, frames, operations, waits
from trivet.sdk.calls import Platform
from trivet.sdk.given_rows import split_rows
from trivet.sdk.lists import PipelineVersionList, table_of
from trivet.sdk.parallel import ask_all, join_answers, name_row
from trivet.sdk.pipeline_state import DEPLOY_S, INFER_S, PipelineState, PipelineVersion, live_facts
from trivet.sdk.row_errors import OnError, checked_on_error
from trivet.sdk.short_tracebacks import short_tracebacks

if TYPE_CHECKING:
    import httpx
    import pyarrow as pa

__all__ = ["Pipeline", "PipelineVersion"]

MORE = "Warning: There are more logs available. Please set a larger limit or request a file using export_logs."
TOO_MANY_BYTES = (
    "Warning: Pipeline log size limit exceeded. Only displaying {rows} log messages. "
    "Please request a file using export_logs."
)
MORE_TO_EXPORT = "Warning: There are more logs available. Please set a larger limit to export more data."
EXPORT_ROWS = 1_000_000


@short_tracebacks
class Pipeline(PipelineState):
    """Steps under a name, as `Client.build_pipeline` and `Client.get_pipeline` return them."""

    def __init__(self, client: Platform, document: Mapping[str, Any], *, version: str | None = None) -> None:
        super().__init__(document, version=version)
        self._client = client

    def versions(self) -> PipelineVersionList:
        """Every deploy, the newest first."""
        self._refresh()
        return PipelineVersionList(PipelineVersion(self.name(), each) for each in self._document["versions"])

    def deploy(
        self,
        pipeline_name: str | None = None,
        deployment_config: Mapping[str, Any] | None = None,
        wait_for_status: bool = True,
        *,
        timeout: float = DEPLOY_S,
    ) -> Self:
        """Run the steps: a new version of the pipeline, which replaces the previous one once it is warm.

        Args:
            pipeline_name: ignored; accepted for the reference's sake.
            deployment_config: from `DeploymentConfigBuilder`.
            wait_for_status: wait until it answers.
            timeout: seconds to wait at most.

        Raises:
            Conflict: steps do not fit, a model is not ready, or it cannot run. The previous version keeps running.
            DeadlineExceeded: it takes longer than `timeout`.
        """
        del pipeline_name
        answer = self._client.run(
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
            self.wait_until_running(answer["deployment"]["generation"], timeout=timeout)
        else:
            self._client.say(f"Deployment initiated for {self.name()}. Please check pipeline status.\n")
        self._refresh()
        return self

    def wait_until_running(self, generation: int = 0, *, timeout: float = DEPLOY_S) -> Self:
        """Wait until the last deploy answers.

        Raises:
            Conflict: it cannot run.
            DeadlineExceeded: it takes longer than `timeout` seconds.
        """
        self._client.run(
            waits.wait_for_deployment(
                self.name(),
                workspace=self.workspace,
                generation=generation or self._generation(),
                timeout_s=timeout,
                say=self._client.say,
            )
        )
        return self

    def rollback(self, wait_for_status: bool = True, *, timeout: float = DEPLOY_S) -> Self:
        """Deploy the version before the one that is deployed, with the same configuration.

        Args:
            wait_for_status: wait until it answers.
            timeout: seconds to wait at most.

        Raises:
            Conflict: it is not deployed, there is no earlier version, or that one cannot run.
            DeadlineExceeded: it takes longer than `timeout`.
        """
        path = operations.at("pipelines", self.name(), "rollback")
        answer = self._client.run(operations.call("POST", path, body={}, query={"workspace": self.workspace}))
        if wait_for_status:
            self.wait_until_running(answer["deployment"]["generation"], timeout=timeout)
        self._refresh()
        return self

    def undeploy(self, *, timeout: float = DEPLOY_S) -> Self:
        """Stop it after the requests in flight are answered."""
        self._client.run(waits.undeploy(self.name(), workspace=self.workspace, timeout_s=timeout, say=self._client.say))
        self._refresh()
        return self

    def status(self) -> dict[str, Any]:
        """Its state in the reference's form: `status` is `Running`, `Starting`, `Error`, or a text that it is not deployed."""
        found: dict[str, Any] = self._client.run(
            operations.call(
                "GET", operations.at("pipelines", self.name(), "status"), query={"workspace": self.workspace}
            )
        )
        return found

    def url(self) -> str:
        """Its URL for predictions.

        Raises:
            NotFound: it is not deployed.
        """
        found = self._client.run(operations.infer_url(self.name(), workspace=self.workspace))
        if found["url"] is None:
            raise NotFound(f"Pipeline {self.name()} is not deployed", fix="deploy it first")
        return str(found["url"])

    def _url(self) -> str:
        """`url`, by the name that notebooks use."""
        return self.url()

    def infer(
        self,
        tensor: Any,
        timeout: float = INFER_S,
        dataset: Sequence[str] | str | None = None,
        dataset_exclude: Sequence[str] | str | None = None,
        dataset_separator: str | None = ".",
        *,
        on_error: OnError = "raise",
    ) -> Any:
        """Send rows: a DataFrame in, a DataFrame with the same index out; a Table in, a Table out; a list of records in, a
        list out. The columns `in.*` come in the order in which they were sent.

        Args:
            tensor: the rows: a DataFrame of pandas or polars, a pyarrow Table, or records. A Series is a column if it has a
                name, and a row if its labels are names. An array holds the rows of a pipeline with one input; the answer
                is a pandas DataFrame.
            timeout: seconds that the answer may take.
            dataset: parts (`time`, `in`, `out`, `anomaly`, `metadata`) or columns (`out.variable`); all but metadata if None.
            dataset_exclude: parts or columns to leave out.
            dataset_separator: between a part and a column in the answer's names.
            on_error: what becomes of rows that fail. `raise` raises an error for all rows. With `null` their columns `out.*` and
                `anomaly.*` are null, and `error.message`, `error.reason`, `error.path` and `error.fix` say why. `split`
                returns a tuple: the answers of the other rows, and the rows that failed with these errors.

        Raises:
            Invalid: the rows do not fit, or may be read in two ways; `path` names the row.
            ModelFailed: the model raised an error; `path` names the row, if one fails alone.
            DeadlineExceeded: it took longer than `timeout`.
        """
        return self._client.run(
            self._asking(tensor, timeout, dataset, dataset_exclude, dataset_separator, retries=0, on_error=on_error)
        )

    def infer_from_file(
        self,
        path: str | Path | None = None,
        timeout: float = INFER_S,
        dataset: Sequence[str] | str | None = None,
        dataset_exclude: Sequence[str] | str | None = None,
        dataset_separator: str | None = ".",
        *,
        filename: str | Path | None = None,
        on_error: OnError = "raise",
    ) -> Any:
        """Send a file's rows, as `infer` does: a DataFrame out for a `.json` file, a Table for an `.arrow` one.

        The argument may also be called `filename`: notebooks use both.
        """
        rows = frames.load_rows(_one_of(path, filename, "path"))
        return self.infer(rows, timeout, dataset, dataset_exclude, dataset_separator, on_error=on_error)

    async def async_infer(
        self,
        tensor: Any,
        async_client: "httpx.AsyncClient",
        timeout: float = INFER_S,
        retries: int = 0,
        dataset: Sequence[str] | str | None = None,
        dataset_exclude: Sequence[str] | str | None = None,
        *,
        on_error: OnError = "raise",
    ) -> Any:
        """Send rows without blocking, with the given HTTP client; retry while the pipeline is unavailable.

        For the rows and for `on_error` see `infer`.
        """
        driver = self._client.async_driver(async_client)
        return await driver.run(
            self._asking(tensor, timeout, dataset, dataset_exclude, ".", retries=retries, on_error=on_error)
        )

    async def parallel_infer(
        self,
        tensor: Any = None,
        timeout: float = INFER_S,
        num_parallel: int = 8,
        retries: int = 0,
        dataset: Sequence[str] | str | None = None,
        dataset_exclude: Sequence[str] | str | None = None,
        *,
        tensor_list: Any = None,
        on_error: OnError = "raise",
    ) -> Any:
        """Send many requests at once: one for each DataFrame or Table of a list, whose answers are a list in the same order;
        or one for each row of a DataFrame or Table, whose answers are joined.

        The argument may also be called `tensor_list`: notebooks use both. For `on_error` see `infer`: with `split` each answer
        of a list is a tuple, and so is the joined one.
        """
        asked_with = _one_of(tensor, tensor_list, "tensor")
        if num_parallel < 1:
            raise Invalid(f"num_parallel is {num_parallel}", fix="use at least 1")
        on_error = checked_on_error(on_error)
        whole = not isinstance(asked_with, list)
        parts = split_rows(asked_with) if whole else asked_with
        async with self._client.async_http(num_parallel) as http:

            async def ask(numbered: tuple[int, Any]) -> Any:
                row, part = numbered
                try:
                    return await self.async_infer(
                        part, http, timeout, retries, dataset, dataset_exclude, on_error=on_error
                    )
                except TrivetError as error:
                    if whole:
                        name_row(error, row)
                    raise

            found = await ask_all(ask, list(enumerate(parts)), num_parallel=num_parallel)
        return join_answers(found, on_error=on_error) if whole else found

    def logs(
        self,
        limit: int | None = None,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
        dataset: Sequence[str] | None = None,
        dataset_exclude: Sequence[str] | None = None,
        dataset_separator: str | None = ".",
        arrow: bool = False,
    ) -> Any:
        """Logged requests and answers: the newest request first, its rows in their order, 100 rows by default; between two
        times in order of time.

        Returns:
            A DataFrame; a Table with `arrow=True`.
        """
        table, status, _ = self._client.run(
            operations.logs(
                self.name(),
                workspace=self.workspace,
                limit=100 if limit is None else limit,
                start=start_datetime,
                end=end_datetime,
                dataset=dataset,
                exclude=dataset_exclude,
                reverses_rows=self.references_order,
            )
        )
        if status == "RecordLimited":
            self._client.say(MORE + "\n")
        elif status == "ByteLimited":
            self._client.say(TOO_MANY_BYTES.format(rows=table.num_rows) + "\n")
        elif status == "SchemaChange":
            self._client.say(_schema_changed(table) + "\n")
        table = answers.rename(answers.as_answered(table), dataset_separator)
        return table if arrow else answers.to_frame(table)

    def export_logs(
        self,
        directory: str | Path | None = None,
        file_prefix: str | None = None,
        data_size_limit: str | int | None = None,
        limit: int | None = None,
        start_datetime: datetime | None = None,
        end_datetime: datetime | None = None,
        dataset: Sequence[str] | None = None,
        dataset_exclude: Sequence[str] | None = None,
        arrow: bool = False,
    ) -> None:
        """Write the log to files, `<directory>/<prefix>-1.json` (a record a line) or `.arrow` and so on: one for each schema,
        and more where one would be larger than the limit.

        Args:
            directory: created if it does not exist; by default `logs`.
            file_prefix: by default the pipeline's name.
            data_size_limit: of one file, as in `100MB`, which is the default.
            limit: rows at most.
            start_datetime: the first time.
            end_datetime: the last time.
            dataset: parts or columns.
            dataset_exclude: parts or columns to leave out.
            arrow: Arrow files rather than JSON.
        """
        prefix = file_prefix or self.name()
        from trivet.sdk.log_files import LogFiles, read_size

        most_bytes = read_size(data_size_limit or "100MB")
        left = EXPORT_ROWS if limit is None else limit
        cursor: str | None = None
        with LogFiles(Path(directory or "logs"), prefix=prefix, most_bytes=most_bytes, arrow=arrow) as files:
            while left > 0:
                before = cursor
                table, status, cursor = self._client.run(
                    operations.logs(
                        self.name(),
                        workspace=self.workspace,
                        limit=min(left, 10_000),
                        start=start_datetime,
                        end=end_datetime,
                        dataset=dataset,
                        exclude=dataset_exclude,
                        reverses_rows=self.references_order,
                        cursor=cursor,
                    )
                )
                left -= table.num_rows
                files.write(answers.as_answered(table))
                if status == "All" or cursor is None or (cursor == before and table.num_rows == 0):
                    return
        if cursor is not None:
            self._client.say(MORE_TO_EXPORT + "\n")

    def _repr_html_(self) -> str:
        shown = self._shown()
        try:
            self._refresh()
            shown = self._shown()
            shown |= self._client.run(live_facts(self.name(), self._document, workspace=self.workspace))
        except TrivetError as error:
            # A notebook shows what is known without the platform, too.
            shown["live"] = error.message
        return table_of(shown)

    def _generation(self) -> int:
        answer = self._client.run(
            operations.call(
                "GET", operations.at("pipelines", self.name(), "deployment"), query={"workspace": self.workspace}
            )
        )
        if answer["deployment"] is None:
            raise NotFound(f"Pipeline {self.name()} is not deployed", fix="deploy it first")
        return int(answer["deployment"]["generation"])

    def _refresh(self) -> None:
        self._document = self._client.run(
            operations.call("GET", operations.at("pipelines", self.name()), query={"workspace": self.workspace})
        )


def _one_of(first: Any, second: Any, name: str) -> Any:
    """The argument that was given under one of two names."""
    if (first is None) == (second is None):
        raise Invalid(f"{name} is missing" if first is None else f"{name} is given twice", fix=f"give {name} once")
    return second if first is None else first


def _schema_changed(table: "pa.Table") -> str:
    import pyarrow.compute as pc

    newest = pc.max(table["time"]).as_py() if table.num_rows and "time" in table.column_names else None
    return (
        f"Pipeline log schema has changed over the logs requested {table.num_rows} newest records retrieved successfully, "
        f"newest record seen was at {newest}. Please request additional records separately"
    )
