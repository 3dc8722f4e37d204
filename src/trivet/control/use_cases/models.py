"""Use cases: configuring model versions, and deleting models."""

import logging
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from trivet.control.context import Control
from trivet.control.request_bodies import Configure
from trivet.control.use_cases.schemas import read_schema
from trivet.domain.digest import Digest
from trivet.domain.frameworks import FRAMEWORKS
from trivet.domain.step_fit import configured_schemas
from trivet.domain.version import ModelConfig, ModelVersion
from trivet.errors import Conflict, Invalid, TrivetError

__all__ = ["configure", "delete_model", "forget_bytes", "schemas_of"]

log = logging.getLogger(__name__)


def configure(control: Control, uuid: str, body: Configure) -> ModelConfig:
    """Add a configuration to a version.

    Raises:
        NotFound: there is no such version.
        Conflict: it is not ready, so that nothing can be checked.
        Invalid: it does not fit the version.
    """
    version = control.catalog.models.version(uuid)
    if body.batch_config == "single" and body.max_batch_delay_ms is not None:
        raise Invalid(
            "Dynamic batching is not supported with single batch mode. Please update the model configuration or contact "
            "wallaroo for support at support@wallaroo.ai.",
            fix="leave out one of the two: single means one row a call",
            path="batch_config",
        )
    target, limit = body.batch_size_target, body.batch_size_limit
    if target is not None and limit is not None and target > limit:
        raise Invalid(
            f"a target of {target} rows with a limit of {limit}", fix="raise the limit", path="batch_size_target"
        )
    config = ModelConfig(
        id=0,
        version_id=version.id,
        tensor_fields=None if body.tensor_fields is None else tuple(body.tensor_fields),
        batch_config=body.batch_config,
        input_schema=read_schema(body.input_schema, which="input"),
        output_schema=read_schema(body.output_schema, which="output"),
        max_batch_delay_ms=body.max_batch_delay_ms,
        batch_size_target=body.batch_size_target,
        batch_size_limit=body.batch_size_limit,
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
    said: dict[str, Any] = {
        name: getattr(config, name) for name in config.__struct_fields__ if name not in {"id", "version_id"}
    }
    return control.catalog.models.add_config(version.id, **said)


def schemas_of(version: ModelVersion, config: ModelConfig | None) -> tuple[pa.Schema, pa.Schema]:
    """What a version takes and answers under a configuration.

    Raises:
        Conflict: the version is not ready; one that could not be loaded never will be.
        Invalid: as `configured_schemas` says.
    """
    fault = version.fault
    if version.loaded is None and fault is not None:
        fix = "its status is error, and waiting does not help: upload a mended one"
        raise Conflict(
            f"model {version.name!r} version {version.number} is not ready",
            why=fault.message.partition("\n")[0],
            fix=f"{fix}; {fault.fix}" if fault.fix else fix,
            path=fault.path,
            reason="not_ready",
        )
    return configured_schemas(version, config)


def delete_model(control: Control, *, workspace: str, name: str) -> None:
    """Delete a model with all its versions, and the bytes that no other version has.

    Raises:
        NotFound: there is no such model.
        Conflict: a deployment uses one of its versions.
    """
    found = control.catalog.workspaces.get(workspace)
    with control.settling:
        versions = control.catalog.models.versions(found.id, name)
        control.catalog.models.delete(found.id, name)
        forget_bytes(control, {digest for version in versions for digest in _bytes_of(version)})
    control.poke()
    control.tell(
        workspace_id=found.id,
        subject="model",
        subject_id=name,
        kind="deleted",
        text=f"{name} with {len(versions)} {'version' if len(versions) == 1 else 'versions'}",
    )


def _bytes_of(version: ModelVersion) -> Iterable[Digest]:
    """What was uploaded, and what it was converted to."""
    yield version.sha
    if version.loaded is not None and version.loaded.converted is not None:
        yield version.loaded.converted


def forget_bytes(control: Control, digests: Iterable[Digest]) -> None:
    """Delete the bytes that no version has. Called while `settling` is held.

    What cannot be deleted now takes room and does no harm.
    """
    for digest in digests:
        try:
            if not control.catalog.models.package_in_use(digest):
                control.blobs.delete(digest)
        except TrivetError as error:
            log.warning("the bytes %s could not be deleted: %s", digest[:12], error.message)
