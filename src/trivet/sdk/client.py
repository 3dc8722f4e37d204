"""The client: models, pipelines and workspaces of one platform."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import httpx

from trivet.domain.frameworks import Framework
from trivet.domain.network import NetworkUse
from trivet.errors import NotFound, Unauthorized
from trivet.sdk import operations, progress, uploads, waits
from trivet.sdk.calls import AsyncDriver, Operation, SyncDriver
from trivet.sdk.connecting import find_token, find_url, trusted
from trivet.sdk.lists import ModelVersionList, PipelineList, WorkspaceList, table_of
from trivet.sdk.local import local_platform
from trivet.sdk.model import ModelVersion
from trivet.sdk.packing import as_file, guess_framework
from trivet.sdk.pipeline import Pipeline
from trivet.sdk.short_tracebacks import short_tracebacks
from trivet.sdk.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

    from trivet.domain.version import Acceleration, Architecture

__all__ = ["Client"]

T = TypeVar("T")


@short_tracebacks
class Client:
    """A connection to a platform.

    Args:
        url: of the control API; by default `TRIVET_URL`, or the address of this machine's platform, usually
            `http://127.0.0.1:8000`.
        token: by default `TRIVET_TOKEN`, or the token in the home of this machine's platform.
        home: of that platform; by default `TRIVET_HOME`, or `~/.trivet`.
        workspace: the workspace to start in.
        request_timeout: seconds that the platform may send nothing, unless a call gives its own limit.
        verify: whether to check certificates, or a file with trusted ones; `SSL_CERT_FILE` names one, too.
        quiet: print nothing while waiting.

    A pickle of it (Spark, joblib) does not hold the token: the process that reads it uses `TRIVET_TOKEN`, or the token in the home
    of the platform there.

    Example:
        `client = Client()`, or `with Client.local() as client:` for the program's own platform.
    """

    # The classes of its objects; a subclass may replace them.
    workspace_type: ClassVar[type[Workspace]] = Workspace
    version_type: ClassVar[type[ModelVersion]] = ModelVersion
    pipeline_type: ClassVar[type[Pipeline]] = Pipeline

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        home: str | Path | None = None,
        workspace: str = "default",
        request_timeout: float = 30.0,
        verify: bool | str = True,
        quiet: bool = False,
    ) -> None:
        folder = None if home is None else Path(home)
        self.url = find_url(url, folder)
        self._workspace = workspace
        self.say: Callable[[str], None] = progress.say_nothing if quiet else progress.say_on_stdout
        self._home = folder
        self._verify_with = verify
        self._connect(find_token(token, folder, url=self.url), request_timeout)

    def _connect(self, token: str | None, request_timeout: float) -> None:
        self._verify = trusted(self._verify_with)
        self._http = httpx.Client(timeout=request_timeout, verify=self._verify, trust_env=False)
        self._token = token
        self._driver = SyncDriver(self.url, token, self._http, request_timeout)

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: no connections, and no token, because pickles are stored and sent."""
        return {
            "url": self.url,
            "workspace": self._workspace,
            "say": self.say,
            "home": self._home,
            "verify": self._verify_with,
            "request_timeout": self._driver.timeout_s,
            "had_token": self._token is not None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.url, self._workspace, self.say = state["url"], state["workspace"], state["say"]
        self._home, self._verify_with = state["home"], state["verify"]
        token = find_token(None, self._home, url=self.url)
        if token is None and state["had_token"]:
            raise Unauthorized(
                "a Client was unpickled where its token is missing",
                why="pickles do not hold the token",
                fix="set TRIVET_TOKEN in that process, or call Client(url, token=…) in the function that it runs",
            )
        self._connect(token, state["request_timeout"])

    @classmethod
    @contextlib.contextmanager
    def local(cls, home: str | Path | None = None, *, quiet: bool = False) -> "Iterator[Client]":
        """The program's own platform, for the length of a `with` block.

        Args:
            home: the platform's folder; by default a temporary one, which is removed afterwards.
            quiet: print nothing while waiting.

        Raises:
            Unavailable: it does not start.
        """
        with (
            local_platform(home) as platform,
            cls(platform.url, token=platform.token, home=platform.home, quiet=quiet) as client,
        ):
            yield client

    def run(self, operation: Operation[T]) -> T:
        """Run an operation of the SDK."""
        return self._driver.run(operation)

    def async_driver(self, http: httpx.AsyncClient) -> AsyncDriver:
        """A driver for the same platform in an event loop."""
        return AsyncDriver(self.url, self._token, http, self._driver.timeout_s)

    def async_http(self, connections: int) -> httpx.AsyncClient:
        """Connections for an event loop, with the certificates that this client trusts."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.AsyncClient(limits=limits, verify=self._verify, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r}, workspace={self._workspace!r})"

    def _repr_html_(self) -> str:
        return table_of({"address": self.url, "workspace": self._workspace})

    def auth_header(self) -> dict[str, str]:
        """The header that requests to the control API need, and to a gateway beyond this machine."""
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}

    # Workspaces

    def list_workspaces(self) -> list[Workspace]:
        """All workspaces; a notebook shows them as a table."""
        found = self.run(operations.call("GET", "/v1/workspaces"))["workspaces"]
        return WorkspaceList(self.workspace_type(self, each) for each in found)

    def create_workspace(self, name: str) -> Workspace:
        """Create a workspace.

        Raises:
            Conflict: the name exists.
        """
        return self.workspace_type(self, self.run(operations.call("POST", "/v1/workspaces", body={"name": name})))

    def get_workspace(self, name: str, create_if_not_exist: bool = False) -> Workspace:
        """A workspace by its name.

        Raises:
            NotFound: it does not exist, and is not to be created.
        """
        try:
            return self.workspace_type(self, self.run(operations.call("GET", operations.at("workspaces", name))))
        except NotFound as error:
            if create_if_not_exist:
                return self.create_workspace(name)
            # The platform's advice starts with the nearest name, followed by the sentence below.
            hint = (error.fix or "").partition("If you would like")[0].strip()
            raise NotFound(
                f"Error: Workspace with name {name} does not exist. If you would like to create one, send in the request "
                "with `create_if_not_exist` flag set to True.",
                fix=hint or None,
            ) from None

    def get_current_workspace(self) -> Workspace:
        """The workspace whose models and pipelines this client uses."""
        return self.get_workspace(self._workspace)

    def set_current_workspace(self, workspace: Workspace) -> Workspace:
        """Use the models and pipelines of another workspace from now on."""
        self._workspace = workspace.name()
        return workspace

    # Models

    def upload_model(
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
        timeout: float = 600.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> ModelVersion:
        """Upload a model: a new one, or a new version of the model with this name.

        It is `ready` after it was loaded in its own environment and answered a row. One that cannot be loaded has the status
        `error`; `error_summary()` and `get_upload_logs()` say why.

        Args:
            name: lower-case letters, digits and dashes.
            path: a model's file, a zip, or a folder, which is zipped.
            framework: the model's framework; by default it is detected from the name or the files.
            input_schema: of the input; ONNX files contain it.
            output_schema: of the output.
            example: rows that are tried before the model is ready (a DataFrame, a Table, a list of records, or the path of a
                file): the first ten. Where nothing else gives the input schema, it is made from all of them.
            convert_wait: wait until it is loaded.
            arch: the processor that it is built for; by default the platform's. On another it is not run.
            accel: the accelerator that it is built for; without that it is not run.
            python: the version of the interpreter, as in `3.10`.
            network: `none` keeps the model's code from the network.
            allow_nulls: whether a Python step takes nulls where `input_schema` is nullable. By default it does if the schema is
                a text, where nullable is typed (`?`), and not if it is pyarrow's, where nullable is the default.
            trust: load a pickle or code that the check refuses: it runs in a worker. The upload log has what it names.
            timeout: seconds to wait at most.
            progress: called with the number of bytes sent and the total.

        Raises:
            ModelUploadError: the file was refused.
            Unavailable: the upload was interrupted; the error says whether a part of it was stored.
            DeadlineExceeded: it is still loading after `timeout` seconds.
        """
        fields = uploads.announcement(
            name, framework or guess_framework(path),
            workspace=self._workspace, input_schema=input_schema, output_schema=output_schema,
            arch=arch, accel=accel, python=python, network=network, trust=trust, example=example,
            allow_nulls=allow_nulls,
        )  # fmt: skip
        with as_file(path) as (file, file_name):
            version = self.run(uploads.upload(file=file, file_name=file_name, fields=fields, progress=progress))
        if convert_wait:
            version = self.run(waits.wait_until_loaded(version, timeout_s=timeout, say=self.say))
        return self.version_type(self, version)

    def get_model(self, name: str, version: str | None = None) -> ModelVersion:
        """A model's newest version, or the one with a UUID.

        Raises:
            NotFound: there is none of that name, or no such version of it.
        """
        return self.version_type(self, self.run(operations.find_version(name, version, workspace=self._workspace)))

    def list_models(self) -> list[ModelVersion]:
        """The newest version of every model in the workspace; a notebook shows them as a table."""
        found = self.run(operations.call("GET", "/v1/models", query={"workspace": self._workspace}))["models"]
        return ModelVersionList(self.version_type(self, each["newest"]) for each in found)

    def delete_model(self, name: str) -> None:
        """Delete a model with all its versions.

        Raises:
            Conflict: a deployment uses it.
        """
        self.run(operations.call("DELETE", operations.at("models", name), query={"workspace": self._workspace}))

    # Pipelines

    def build_pipeline(self, name: str) -> Pipeline:
        """A pipeline by its name, created if it does not exist. It has no steps, even if an earlier deploy had some."""
        found = self.run(operations.call("POST", "/v1/pipelines", body={"name": name, "workspace": self._workspace}))
        return self.pipeline_type(self, found).clear()

    def get_pipeline(self, name: str, version: str | None = None) -> Pipeline:
        """A pipeline with the steps of its newest version, or of the one with a UUID.

        Raises:
            NotFound: there is none of that name, or no such version of it.
        """
        found = self.run(operations.find("pipelines", name, workspace=self._workspace))
        return self.pipeline_type(self, found, version=version)

    def list_pipelines(self) -> list[Pipeline]:
        """The pipelines of the workspace; a notebook shows them as a table."""
        found = self.run(operations.call("GET", "/v1/pipelines", query={"workspace": self._workspace}))
        return PipelineList(self.pipeline_type(self, each) for each in found["pipelines"])

    def delete_pipeline(self, name: str) -> None:
        """Delete a pipeline with all its versions.

        Raises:
            Conflict: it is deployed.
        """
        self.run(operations.call("DELETE", operations.at("pipelines", name), query={"workspace": self._workspace}))

    # The platform

    def platform(self) -> dict[str, Any]:
        """The platform's version, and the address for predictions."""
        found: dict[str, Any] = self.run(operations.call("GET", "/v1/platform"))
        return found

    def status(self, pipeline: str | None = None) -> list[dict[str, Any]]:
        """What runs in the workspace: for each pipeline, or for one, its state, the versions that answer, its workers with their
        restarts, the last error, and the requests of the last five minutes.

        Raises:
            NotFound: there is no such pipeline.
        """
        query = {"workspace": self._workspace, "pipeline": pipeline}
        found: list[dict[str, Any]] = self.run(operations.call("GET", "/v1/status", query=query))["pipelines"]
        return found

    def events(
        self, after: int = 0, limit: int = 100, *, newest: bool = False, wait_s: float = 0.0
    ) -> list[dict[str, Any]]:
        """The events after a given one, the oldest first.

        Args:
            after: the `id` of the last known event.
            limit: events at most.
            newest: the last ones instead of the first.
            wait_s: how long to wait if there is none, 30 seconds at most.
        """
        query = {"after": after, "limit": limit, "newest": str(newest).lower(), "wait_s": wait_s}
        timeout = {"timeout_s": wait_s + 30.0} if wait_s else {}
        found: list[dict[str, Any]] = self.run(operations.call("GET", "/v1/events", query=query, **timeout))["events"]
        return found
