"""The client: models, pipelines and workspaces of one platform."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import httpx
import pyarrow as pa

from trivet.domain.frameworks import Framework
from trivet.domain.version import Acceleration, Architecture
from trivet.errors import NotFound
from trivet.sdk import operations, uploads, waits
from trivet.sdk.calls import AsyncDriver, Operation, SyncDriver
from trivet.sdk.connecting import find_token, find_url, trusted
from trivet.sdk.lists import ModelVersionList, PipelineList, WorkspaceList
from trivet.sdk.local import local_platform
from trivet.sdk.model import ModelVersion
from trivet.sdk.packing import as_file, guess_framework
from trivet.sdk.pipeline import Pipeline
from trivet.sdk.workspace import Workspace

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """A platform, as its user sees it.

    Args:
        url: of the control API; if not said `TRIVET_URL`, else where this machine's platform listens, usually
            `http://127.0.0.1:8000`.
        token: `TRIVET_TOKEN`, or what lies in the home of this machine's platform if not said.
        home: of that platform; `TRIVET_HOME`, or `~/.trivet` if not said.
        workspace: the workspace to begin in.
        request_timeout: seconds that the platform may say nothing, unless a call says otherwise.
        verify: whether to check certificates, or a file with those that are trusted; `SSL_CERT_FILE` names one, too.
        quiet: say nothing while waiting.

    Example:
        `client = Client()`, or `with Client.local() as client:` for a platform of the program's own.
    """

    # What it makes its objects of: a subclass may have subclasses of them.
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
        self.say: Callable[[str], None] = operations.say_nothing if quiet else operations.say_on_stdout
        self._verify = trusted(verify)
        self._http = httpx.Client(timeout=request_timeout, verify=self._verify, trust_env=False)
        self._token = find_token(token, folder, url=self.url)
        self._driver = SyncDriver(self.url, self._token, self._http, request_timeout)

    @classmethod
    @contextlib.contextmanager
    def local(cls, home: str | Path | None = None, *, quiet: bool = False) -> "Iterator[Client]":
        """A platform of the program's own, for the length of a `with` block.

        Args:
            home: what is kept lies there; a temporary folder, gone afterwards, if not said.
            quiet: say nothing while waiting.

        Raises:
            Unavailable: it does not start.
        """
        with local_platform(home) as platform, cls(platform.url, token=platform.token, quiet=quiet) as client:
            yield client

    def run(self, operation: Operation[T]) -> T:
        """Carry an operation of the SDK out."""
        return self._driver.run(operation)

    def async_driver(self, http: httpx.AsyncClient) -> AsyncDriver:
        """The same platform for a program with an event loop."""
        return AsyncDriver(self.url, self._token, http, self._driver.timeout_s)

    def async_http(self, connections: int) -> httpx.AsyncClient:
        """Connections for such a program, which trust whom this client trusts."""
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

    def auth_header(self) -> dict[str, str]:
        """What a request to the control API, or to a gateway beyond this machine, must bring."""
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}

    # Workspaces

    def list_workspaces(self) -> list[Workspace]:
        """All of them, which a notebook shows as a table."""
        found = self.run(operations.call("GET", "/v1/workspaces"))["workspaces"]
        return WorkspaceList(self.workspace_type(self, each) for each in found)

    def create_workspace(self, name: str) -> Workspace:
        """Make one.

        Raises:
            Conflict: the name is taken.
        """
        return self.workspace_type(self, self.run(operations.call("POST", "/v1/workspaces", body={"name": name})))

    def get_workspace(self, name: str, create_if_not_exist: bool = False) -> Workspace:
        """A workspace by its name.

        Raises:
            NotFound: there is none of that name, and it is not to be made.
        """
        try:
            return self.workspace_type(self, self.run(operations.call("GET", operations.at("workspaces", name))))
        except NotFound as error:
            if create_if_not_exist:
                return self.create_workspace(name)
            # The platform's advice begins with what it resembles, and goes on with the sentence below.
            hint = (error.fix or "").partition("If you would like")[0].strip()
            raise NotFound(
                f"Error: Workspace with name {name} does not exist. If you would like to create one, send in the request "
                "with `create_if_not_exist` flag set to True.",
                fix=hint or None,
            ) from None

    def get_current_workspace(self) -> Workspace:
        """The one that models and pipelines are looked for in."""
        return self.get_workspace(self._workspace)

    def set_current_workspace(self, workspace: Workspace) -> Workspace:
        """Look for models and pipelines in another one from now on."""
        self._workspace = workspace.name()
        return workspace

    # Models

    def upload_model(
        self,
        name: str,
        path: str | Path,
        framework: Framework | str | None = None,
        *,
        input_schema: pa.Schema | None = None,
        output_schema: pa.Schema | None = None,
        convert_wait: bool = True,
        arch: Architecture | str = Architecture.X86,
        accel: Acceleration | str = Acceleration.NONE,
        python: str | None = None,
        timeout: float = 600.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> ModelVersion:
        """Upload a model: a new one, or a new version of one that has the name.

        It is loaded in an environment of its own, and answers a row, before it is `ready`. One that cannot be loaded comes
        back with the status `error`; `error_summary()` and `get_upload_logs()` say why.

        Args:
            name: lower-case letters, digits and dashes.
            path: a model's file, a zip, or a folder, which is zipped.
            framework: what wrote it; if not said, its name or its files tell.
            input_schema: what goes in; ONNX files say it themselves.
            output_schema: what comes out.
            convert_wait: wait until it is loaded.
            arch: the processor that it is meant for.
            accel: the accelerator that it is meant for.
            python: the wanted interpreter, as in `3.10`.
            timeout: seconds to wait at most.
            progress: told how many bytes of how many were sent.

        Raises:
            ModelUploadError: the file was refused.
            Unavailable: the upload broke off; the error says whether anything of it was kept.
            DeadlineExceeded: it is still being loaded after `timeout` seconds.
        """
        said = uploads.announcement(
            name, framework or guess_framework(path),
            workspace=self._workspace, input_schema=input_schema, output_schema=output_schema,
            arch=arch, accel=accel, python=python,
        )  # fmt: skip
        with as_file(path) as (file, file_name):
            version = self.run(uploads.upload(file=file, file_name=file_name, said=said, progress=progress))
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
        """The newest version of every model in the workspace, which a notebook shows as a table."""
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
        """A pipeline by its name, made if it is not there. It has no steps yet, also if an earlier deploy had."""
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
        """The pipelines of the workspace, which a notebook shows as a table."""
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
        """What runs there, and where predictions are answered."""
        found: dict[str, Any] = self.run(operations.call("GET", "/v1/platform"))
        return found

    def events(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """What happened, from an event on."""
        query = {"after": after, "limit": limit}
        found: list[dict[str, Any]] = self.run(operations.call("GET", "/v1/events", query=query))["events"]
        return found
