"""Use cases: models, their versions and configurations."""

import contextlib
import logging
from collections.abc import Iterable
from importlib.metadata import version as release
from typing import Any

import pyarrow as pa

from trivet.control.context import Control
from trivet.control.request_bodies import Configure
from trivet.control.use_cases.schemas import read_rows, read_schema
from trivet.domain.access import Action, Caller, check
from trivet.domain.digest import Digest
from trivet.domain.events import UploadLogLine
from trivet.domain.frameworks import FRAMEWORKS
from trivet.domain.pipeline import ModelStep
from trivet.domain.runtimes import check_runtime
from trivet.domain.step_fit import configured_schemas
from trivet.domain.version import Model, ModelConfig, ModelVersion, Workspace
from trivet.errors import Conflict, Invalid, NotFound, TrivetError
from trivet.packaging import discard_package

__all__ = [
    "configure",
    "delete_model",
    "delete_version",
    "find_versions",
    "forget_bytes",
    "get_model",
    "get_version",
    "get_version_with_use",
    "list_models",
    "list_models_with_versions",
    "list_upload_log",
    "schemas_of",
]

log = logging.getLogger(__name__)


def list_models(
    control: Control, caller: Caller, *, workspace: str | int
) -> tuple[Workspace, list[tuple[Model, ModelVersion]]]:
    """A workspace, and its models by name, each with its newest version.

    Raises:
        NotFound: there is no such workspace.
    """
    check(caller, Action.VIEW, workspace)
    found = control.catalog.workspaces.get(workspace)
    # A model that is created or deleted between the two queries is left out.
    known = {each.id: each for each in control.catalog.models.all(found.id)}
    newest = control.catalog.models.newest_versions(found.id)
    return found, [(known[version.model_id], version) for version in newest if version.model_id in known]


def list_models_with_versions(
    control: Control, caller: Caller, *, workspace: int
) -> list[tuple[Model, list[ModelVersion]]]:
    """The models of a workspace by name, each with its versions, the newest first.

    Raises:
        NotFound: there is no such workspace.
    """
    check(caller, Action.VIEW, workspace)
    found = []
    for model in control.catalog.models.all(control.catalog.workspaces.get(workspace).id):
        # It may be deleted between the queries.
        with contextlib.suppress(NotFound):
            found.append((model, control.catalog.models.versions(model.workspace_id, model.name)))
    return found


def get_model(
    control: Control, caller: Caller, *, workspace: str, name: str
) -> tuple[Workspace, Model, list[ModelVersion]]:
    """A model with its workspace and its versions, the newest first.

    Raises:
        NotFound: there is no such workspace or model.
    """
    check(caller, Action.VIEW, workspace)
    found = control.catalog.workspaces.get(workspace)
    model = control.catalog.models.get(found.id, name)
    return found, model, control.catalog.models.versions(found.id, name)


def find_versions(
    control: Control, caller: Caller, *, name: str | None, model_id: int | None
) -> tuple[Model, list[ModelVersion]]:
    """A model of any workspace by its name, or by its id where no name is given; and its versions, the newest first.

    Raises:
        NotFound: there is no such model.
    """
    check(caller, Action.VIEW)
    for workspace in control.catalog.workspaces.all():
        for model in control.catalog.models.all(workspace.id):
            if model.name == name or (name is None and model.id == model_id):
                check(caller, Action.VIEW, workspace.id)
                return model, control.catalog.models.versions(workspace.id, model.name)
    asked = f"name {name}" if name is not None else f"id {model_id}"
    raise NotFound(f"A model with the {asked} does not exist.", fix="see models/list")


def get_version(control: Control, caller: Caller, id_or_uuid: int | str) -> tuple[ModelVersion, Workspace]:
    """A model version and its workspace.

    Raises:
        NotFound: there is no such version.
    """
    check(caller, Action.VIEW)
    version = control.catalog.models.version(id_or_uuid)
    check(caller, Action.VIEW, version.workspace_id)
    return version, control.catalog.workspaces.get(version.workspace_id)


def get_version_with_use(control: Control, caller: Caller, version_id: int) -> tuple[ModelVersion, bool]:
    """A model version, and whether a pipeline that uses it answers requests.

    Raises:
        NotFound: there is no such version.
    """
    check(caller, Action.VIEW)
    version = control.catalog.models.version(version_id)
    check(caller, Action.VIEW, version.workspace_id)
    return version, _is_deployed(control, version)


def list_upload_log(control: Control, caller: Caller, id_or_uuid: int | str, *, after: int = 0) -> list[UploadLogLine]:
    """The lines of a version's upload log behind line `after`, the oldest first.

    Raises:
        NotFound: there is no such version.
    """
    check(caller, Action.VIEW)
    version = control.catalog.models.version(id_or_uuid)
    check(caller, Action.VIEW, version.workspace_id)
    return control.catalog.journal.upload_logs(version.id, after=after)


def configure(control: Control, caller: Caller, id_or_uuid: int | str, body: Configure) -> ModelConfig:
    """Add a configuration to a version.

    Raises:
        NotFound: there is no such version.
        Conflict: it is not ready, so that nothing can be checked.
        Invalid: it does not fit the version.
    """
    check(caller, Action.CONFIGURE_MODEL)
    version = control.catalog.models.version(id_or_uuid)
    check(caller, Action.CONFIGURE_MODEL, version.workspace_id)
    if body.batch_config == "single" and body.max_batch_delay_ms is not None:
        raise Invalid(
            "Dynamic batching is not supported with single batch mode. Please update the model configuration or contact "
            "wallaroo for support at support@wallaroo.ai.",
            fix="leave out one of the two: single means one row a call",
            path="batch_config",
        )
    waits = (body.max_batch_delay_ms, body.batch_size_target, body.batch_size_limit)
    if body.batch_config == "whole" and waits != (None, None, None):
        raise Invalid(
            "a whole request is one call",
            why="requests that wait for each other share a call, and one beyond batch_size_limit is cut",
            fix="leave batch_config out, or the three settings of dynamic batching",
            path="batch_config",
        )
    target, limit = body.batch_size_target, body.batch_size_limit
    if target is not None and limit is not None and target > limit:
        raise Invalid(
            f"a target of {target} rows with a limit of {limit}", fix="raise the limit", path="batch_size_target"
        )
    # A version that allows nulls, or was not asked, takes the schema as it is.
    allow_nulls = True if version.settings.allow_nulls is not False else None
    input_schema, _ = read_rows(body.input_schema, framework=version.framework, allow_nulls=allow_nulls)
    config = ModelConfig(
        id=0,
        version_id=version.id,
        tensor_fields=None if body.tensor_fields is None else tuple(body.tensor_fields),
        batch_config=body.batch_config,
        input_schema=input_schema,
        output_schema=read_schema(body.output_schema, which="output"),
        max_batch_delay_ms=body.max_batch_delay_ms,
        batch_size_target=body.batch_size_target,
        batch_size_limit=body.batch_size_limit,
        runtime=body.runtime,
        network=body.network,
    )
    if config.runtime is not None:
        check_runtime(
            version,
            config.runtime,
            trust_native=control.settings.trust_native,
            onnxruntime=release("onnxruntime"),
        )
    if config.tensor_fields is not None:
        if not FRAMEWORKS[version.framework].tensor_fields:
            raise Invalid(
                "tensor_fields has no effect on this model",
                why="only native models have tensors to rename",
                fix="leave it out; the columns' names are those of the input schema",
                path="tensor_fields",
            )
        if len(set(config.tensor_fields)) < len(config.tensor_fields) or "" in config.tensor_fields:
            raise Invalid("tensor fields need names, each its own", path="tensor_fields")
    schemas_of(version, config)
    values: dict[str, Any] = {
        name: getattr(config, name) for name in config.__struct_fields__ if name not in {"id", "version_id"}
    }
    return control.catalog.models.add_config(version.id, **values)


def schemas_of(version: ModelVersion, config: ModelConfig | None) -> tuple[pa.Schema, pa.Schema]:
    """The schemas of a version under a configuration.

    Raises:
        Conflict: the version is not ready; one that failed to load never will be.
        Invalid: as `configured_schemas` says.
    """
    fault = version.fault
    if version.loaded is None and fault is not None:
        fix = "its status is error, and waiting does not help: upload a corrected one"
        raise Conflict(
            f"model {version.name!r} version {version.number} is not ready",
            why=fault.message.partition("\n")[0],
            fix=f"{fix}; {fault.fix}" if fault.fix else fix,
            path=fault.path,
            reason="not_ready",
        )
    return configured_schemas(version, config)


def delete_model(control: Control, caller: Caller, *, workspace: str, name: str) -> None:
    """Delete a model with all its versions, and the bytes that no other version has.

    Raises:
        NotFound: there is no such model.
        Conflict: a deployment uses one of its versions.
    """
    check(caller, Action.DELETE_MODEL, workspace)
    found = control.catalog.workspaces.get(workspace)
    with control.settling():
        versions = control.catalog.models.versions(found.id, name)
        control.catalog.models.delete(found.id, name)
        forget_bytes(control, {digest for version in versions for digest in _bytes_of(version)})
    control.wake_supervisor()
    control.add_event(
        workspace_id=found.id,
        subject="model",
        subject_id=name,
        kind="deleted",
        text=f"{name} with {len(versions)} {'version' if len(versions) == 1 else 'versions'}",
    )


def delete_version(control: Control, caller: Caller, uuid: str) -> ModelVersion:
    """Delete a version, and the bytes that no other version has; the model too, if it has no other version.

    Raises:
        NotFound: there is no such version.
        Conflict: a deployment uses it.
    """
    check(caller, Action.DELETE_MODEL)
    version = control.catalog.models.version(uuid)
    check(caller, Action.DELETE_MODEL, version.workspace_id)
    with control.settling():
        control.catalog.models.delete_version(version.uuid)
        forget_bytes(control, _bytes_of(version))
    control.wake_supervisor()
    control.add_event(
        workspace_id=version.workspace_id,
        subject="model_version",
        subject_id=version.uuid,
        kind="deleted",
        text=f"{version.name} version {version.number}",
    )
    return version


def _bytes_of(version: ModelVersion) -> Iterable[Digest]:
    """What was uploaded, and what it was converted to."""
    yield version.sha
    if version.loaded is not None and version.loaded.converted is not None:
        yield version.loaded.converted


def forget_bytes(control: Control, digests: Iterable[Digest]) -> None:
    """Delete the bytes that no version has, and their unpacked files. Called while `settling` is held.

    Bytes that cannot be deleted now take up space and do no harm.
    """
    for digest in digests:
        try:
            if not control.catalog.models.package_in_use(digest):
                control.blobs.delete(digest)
                discard_package(control.settings.home / "packages", digest)
        except TrivetError as error:
            log.warning("the bytes %s could not be deleted: %s", digest[:12], error.message)


def _is_deployed(control: Control, version: ModelVersion) -> bool:
    for deployment in control.catalog.deployments.all():
        serving = deployment.status.serving
        if deployment.wanted == "stopped" or serving is None:
            continue
        try:
            steps = control.catalog.pipelines.version(serving).steps
        except NotFound:
            # Its pipeline was deleted since the deployments were read.
            continue
        if any(isinstance(step, ModelStep) and step.version == version.uuid for step in steps):
            return True
    return False
