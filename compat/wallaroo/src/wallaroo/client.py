"""The client, which notebooks call `wl`."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa

import trivet
from trivet.errors import DeadlineExceeded, Invalid, NotFound
from trivet.sdk import operations
from trivet.sdk.calls import Operation
from trivet.sdk.operations import schema_text
from trivet.sdk.pipeline import PipelineVersion
from trivet.sdk.short_tracebacks import short_tracebacks
from trivet.sdk.steps import Steps
from wallaroo import framework as frameworks
from wallaroo import object as errors
from wallaroo.auth import Auth, MLOps
from wallaroo.engine_config import Acceleration, Architecture
from wallaroo.framework import Framework
from wallaroo.lists import matching
from wallaroo.model import Model
from wallaroo.model_version import ModelVersion, ModelVersionList
from wallaroo.object import (
    EntityNotFoundError,
    InvalidNameError,
    ModelConversionTimeoutError,
    NotThereYetError,
    absent,
    translated,
)
from wallaroo.pipeline import Pipeline, PipelineList
from wallaroo.tag import Tag, TagList, tags_in, texts_by_id
from wallaroo.user import User, UserList
from wallaroo.workspace import Workspace, WorkspaceList

__all__ = ["Client"]

T = TypeVar("T")
REQUEST_S = 45.0
PYTHON = "3.10"


@short_tracebacks
class Client(trivet.Client):
    """A Trivet platform, under the names of the Wallaroo SDK.

    Args:
        api_endpoint: of Trivet's control API; `TRIVET_URL`, or the platform on this machine by default.
        auth_endpoint: ignored: the token is `TRIVET_TOKEN`, or the one in the platform's home.
        request_timeout: seconds that a request may take.
        auth_type: ignored.
        ignored: other arguments of the reference.
    """

    workspace_type = Workspace
    version_type = ModelVersion
    pipeline_type = Pipeline

    def __init__(
        self,
        api_endpoint: str | None = None,
        auth_endpoint: str | None = None,
        request_timeout: float | None = None,
        auth_type: str | None = None,
        **ignored: Any,
    ) -> None:
        del auth_endpoint, auth_type, ignored
        super().__init__(api_endpoint, request_timeout=request_timeout or REQUEST_S)
        self.drafts: dict[int, Steps] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.drafts = {}

    @property
    def api_endpoint(self) -> str:
        """The control API's address."""
        return self.url

    @property
    def auth(self) -> Auth:
        """What notebooks call `wl.auth`."""
        return Auth(self.auth_header)

    def mlops(self) -> MLOps:
        """The address and token of the MLOps API, for a program's own HTTP client."""
        return MLOps(base_url=self.url, token=self.auth._bearer_token_str(), timeout=REQUEST_S)  # noqa: SLF001

    def run(self, operation: Operation[T]) -> T:
        """Run an operation; its errors get the reference's names."""
        try:
            return super().run(operation)
        except trivet.TrivetError as error:
            kind = translated(error)
            if kind is error:
                raise
            raise kind from error

    # Workspaces

    def get_workspace(self, name: str, create_if_not_exist: bool = False) -> trivet.Workspace:
        """A workspace by its name, created on request if it does not exist.

        Raises:
            EntityNotFoundError: it does not exist.
        """
        try:
            return super().get_workspace(name, create_if_not_exist)
        except NotFound as error:
            raise translated(error) from None

    def list_workspaces(self) -> WorkspaceList:
        """All workspaces."""
        return WorkspaceList(super().list_workspaces())

    # Models

    def upload_model(
        self,
        name: str,
        path: str | Path,
        framework: Framework | str | None = None,
        input_schema: pa.Schema | None = None,
        output_schema: pa.Schema | None = None,
        convert_wait: bool = True,
        arch: Architecture | str | None = None,
        accel: Acceleration | str | None = None,
        framework_config: Any = None,
        *,
        example: Any = None,
        Framework: frameworks.Framework | str | None = None,  # noqa: N803 - so it is in the reference's documents
        python: str | None = None,
        network: Literal["full", "none"] | None = None,
        allow_nulls: bool | None = None,
        trust: bool = False,
        timeout: float = 600.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> trivet.ModelVersion:
        """Upload a model: a new one, or a new version of the one with this name.

        Raises:
            ModelUploadError: the file was refused.
            NotThereYetError: Trivet does not support this framework or this configuration.
        """
        if framework_config is not None:
            raise NotThereYetError("framework_config is not supported yet", fix="leave it out", path="framework_config")
        if framework is not None and Framework is not None:
            raise Invalid("the framework is given twice", fix="give framework alone", path="framework")
        try:
            return super().upload_model(
                name,
                path,
                frameworks.taken(Framework if framework is None else framework),
                input_schema=input_schema,
                output_schema=output_schema,
                example=example,
                convert_wait=convert_wait,
                arch=arch,
                accel=str(accel or Acceleration._None),  # noqa: SLF001 - the reference's name
                python=python,
                network=network,
                allow_nulls=allow_nulls,
                trust=trust,
                timeout=timeout,
                progress=progress,
            )
        except DeadlineExceeded as error:
            raise translated(error, {DeadlineExceeded: ModelConversionTimeoutError}) from None

    def generate_upload_model_api_command(
        self,
        base_url: str,
        name: str,
        path: str | Path,
        framework: Framework | str,
        input_schema: pa.Schema,
        output_schema: pa.Schema,
        arch: Architecture | str | None = None,
        accel: Acceleration | str | None = None,
    ) -> str:
        """The curl command that uploads a model into the current workspace. The token in it is `$TRIVET_TOKEN`.

        Args:
            base_url: of the control API, as in `wl.api_endpoint`.
            name: the model's.
            path: its file.
            framework: the model's framework.
            input_schema: of the input.
            output_schema: of the output.
            arch: the processor that it is meant for.
            accel: the accelerator that it is meant for.
        """
        metadata = {
            "name": name,
            "visibility": "private",
            "workspace_id": self.get_current_workspace().id(),
            "conversion": {
                "framework": frameworks.taken(framework),
                "python_version": PYTHON,
                "requirements": [],
                "arch": None if arch is None else str(arch),
                "accel": str(accel or Acceleration._None),  # noqa: SLF001 - the reference's name
            },
            "input_schema": schema_text(input_schema, path="input_schema"),
            "output_schema": schema_text(output_schema, path="output_schema"),
        }
        form = shlex.quote(f"metadata={json.dumps(metadata)};type=application/json")
        file = shlex.quote(f"file=@{path};type=application/octet-stream")
        lines = [
            "curl --progress-bar -X POST",
            '-H "Content-Type: multipart/form-data"',
            '-H "Authorization: Bearer $TRIVET_TOKEN"',
            f"-F {form}",
            f"-F {file}",
            f"{base_url.rstrip('/')}/v1/api/models/upload_and_convert",
        ]
        return " \\\n  ".join(lines)

    def get_model(self, name: str, version: str | None = None) -> trivet.ModelVersion:
        """A model's newest version, or the one with a UUID.

        Raises:
            EntityNotFoundError: there is none of that name, or no such version of it.
        """
        try:
            return super().get_model(name, version)
        except NotFound as error:
            raise translated(error) from None

    def model_by_name(
        self,
        model_class: str | None = None,
        model_name: str | None = None,
        *,
        name: str | None = None,
        version: str | None = None,
    ) -> trivet.ModelVersion:
        """A model's newest version, or the one with a UUID.

        Args:
            model_class: the model's name; `name` alone, or `model_name` alone, does as well.
            model_name: the version's UUID, where the name is given as `model_class` or `name`.
            name: the model's name.
            version: the version's UUID.
        """
        given = [each for each in (model_class, name, model_name, version) if each is not None]
        if not 1 <= len(given) <= 2:
            raise Invalid(
                f"model_by_name has {len(given)} arguments",
                fix="give the model's name, and the version's UUID if it is not the newest",
            )
        return self.get_model(*given)

    def list_models(self, workspace_id: int | None = None, workspace_name: str | None = None) -> Any:
        """The models of the current workspace, or of another one."""
        return self._in(workspace_id, workspace_name).models()

    def search_models(
        self, search_term: str | None = None, workspace_id: int | None = None, workspace_name: str | None = None
    ) -> ModelVersionList:
        """Versions of models of the current workspace, or of another one, with a term in their name, UUID, file name or tags."""
        found: list[Model] = self.list_models(workspace_id, workspace_name)
        versions = [version for model in found for version in model.versions()]
        tagged = texts_by_id(self.list_tags() if search_term else (), "models")
        return ModelVersionList(
            matching(
                versions,
                search_term,
                lambda each: (each.name(), each.version(), each.file_name(), *tagged.get(each.id(), ())),
            )
        )

    search_model_versions = search_models

    # Pipelines

    def build_pipeline(self, name: str) -> trivet.Pipeline:
        """A pipeline by its name, created if it does not exist. It has no steps, even if an earlier deploy had some.

        Raises:
            InvalidNameError: the name cannot be one.
        """
        try:
            return super().build_pipeline(name)
        except Invalid as error:
            raise translated(error, {Invalid: InvalidNameError}) from None

    def get_pipeline(self, name: str, version: str | None = None) -> trivet.Pipeline:
        """A pipeline with the steps of its newest version, or of the one with a UUID. Steps that this client added to it and
        did not deploy yet are there.

        Raises:
            EntityNotFoundError: there is none of that name, or no such version of it.
        """
        try:
            found = super().get_pipeline(name, version)
        except NotFound as error:
            raise translated(error) from None
        if version is None and isinstance(found, Pipeline):
            found.take_draft()
        return found

    def pipelines_by_name(self, pipeline_name: str | None = None, *, name: str | None = None) -> PipelineList:
        """The pipelines of a name in the current workspace: there is one.

        Args:
            pipeline_name: its name.
            name: the same.

        Raises:
            EntityNotFoundError: it does not exist.
        """
        given = pipeline_name or name
        if given is None:
            raise Invalid("pipelines_by_name has no name", fix="give the pipeline's name", path="pipeline_name")
        return PipelineList([self.get_pipeline(given)])

    def pipeline_version_by_name(self, pipeline_name: str, pipeline_version: str | None = None) -> PipelineVersion:
        """A pipeline's newest version, or the one with a UUID.

        Raises:
            EntityNotFoundError: the pipeline or the version does not exist.
        """
        for each in self.get_pipeline(pipeline_name, pipeline_version).versions():
            if pipeline_version in {None, each.name()}:
                return each
        raise EntityNotFoundError(f"Pipeline version {pipeline_version} not found in this workspace.")

    def list_pipelines(self, workspace_id: int | None = None, workspace_name: str | None = None) -> PipelineList:
        """The pipelines of the current workspace, or of another one."""
        return PipelineList(self._in(workspace_id, workspace_name).pipelines())

    def search_pipelines(
        self,
        search_term: str | None = None,
        deployed: bool | None = None,
        workspace_id: int | None = None,
        workspace_name: str | None = None,
    ) -> PipelineList:
        """Pipelines of the current workspace, or of another one, with a term in their name, tags or a version's UUID."""
        tagged = texts_by_id(self.list_tags() if search_term else (), "pipelines")
        found: list[Any] = matching(
            self.list_pipelines(workspace_id, workspace_name),
            search_term,
            lambda each: (each.name(), *(version.name() for version in each.versions()), *tagged.get(each.id(), ())),
        )
        return PipelineList(each for each in found if deployed in {None, each.is_deployed()})

    def _in(self, workspace_id: int | None, workspace_name: str | None) -> trivet.Workspace:
        if workspace_id is None:
            return self.get_current_workspace() if workspace_name is None else self.get_workspace(workspace_name)
        for each in self.list_workspaces():
            if each.id() == workspace_id and workspace_name in {None, each.name()}:
                return each
        raise EntityNotFoundError(f"Error: Workspace with id {workspace_id} does not exist.")

    # Tags and users

    def create_tag(self, tag_text: str) -> Tag:
        """A tag with a text, created if there is none."""
        return Tag(self, self.run(operations.call("POST", "/v1/tags", body={"tag": tag_text})))

    def list_tags(self) -> TagList:
        """All tags, with the model versions and pipelines that have them."""
        return tags_in(self)

    def list_users(self) -> UserList:
        """The users: there is one, the owner of the platform's token."""
        found = self.run(operations.call("POST", "/v1/api/users/query", body={}))
        return UserList(User(each) for each in found["users"].values())

    def get_current_user(self) -> User:
        """The owner of the token that this client sends."""
        return self.list_users()[0]

    def get_user_by_email(self, email: str) -> User | None:
        """The user of an address, or of a name; None if there is none."""
        return next((each for each in self.list_users() if email in {each.email(), each.username()}), None)

    def activate_user(self, email: str) -> User:
        """Do nothing: the one user is always active.

        Raises:
            EntityNotFoundError: it is another one.
        """
        self.run(operations.call("POST", "/v1/api/users/activate", body={"email": email}))
        return self.get_current_user()

    # What is not supported yet

    def in_task(self) -> bool:
        """Whether this is a task of an orchestration: there are none yet."""
        return False

    build_assay = absent("assays are", fix=errors.ASSAYS)
    list_assays = absent("assays are", fix=errors.ASSAYS)
    get_assay_results = absent("assays are", fix=errors.ASSAYS)
    upload_orchestration = absent("orchestrations are", fix=errors.TASKS)
    list_orchestrations = absent("orchestrations are", fix=errors.TASKS)
    list_tasks = absent("orchestrations' tasks are", fix=errors.TASKS)
    get_task_by_id = absent("orchestrations' tasks are", fix=errors.TASKS)
    task_args = absent("orchestrations' tasks are", fix=errors.TASKS)
    create_connection = absent("connections are", fix=errors.CONNECTIONS)
    get_connection = absent("connections are", fix=errors.CONNECTIONS)
    list_connections = absent("connections are", fix=errors.CONNECTIONS)
    create_model_registry = absent("model registries are", fix=errors.REGISTRIES)
    list_model_registries = absent("model registries are", fix=errors.REGISTRIES)
    register_model_image = absent(
        "registering a container's image is", fix="upload the model itself: Framework.CUSTOM runs any Python model"
    )
    invite_user = absent("inviting a user is", fix=errors.ONE_USER)
    deactivate_user = absent("deactivating a user is", fix=errors.ONE_USER)
    list_publishes = absent("publishing pipelines is", fix=errors.PUBLISHING)
    list_edges = absent("publishing pipelines to edges is", fix=errors.PUBLISHING)
    add_edge = absent("publishing pipelines to edges is", fix=errors.PUBLISHING)
    remove_edge = absent("publishing pipelines to edges is", fix=errors.PUBLISHING)
