"""From rows to domain values."""

from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from trivet.catalog.tables import deployments, model_configs, model_versions, models, pipeline_versions, pipelines
from trivet.domain.deployment import Deployment, DeploymentConfig, DeploymentStatus
from trivet.domain.digest import Digest
from trivet.domain.encoding import decode, encode, schema_from_text
from trivet.domain.fault import Fault
from trivet.domain.frameworks import Framework, Runtime
from trivet.domain.package import ModelSettings
from trivet.domain.pipeline import PipelineStep, PipelineVersion
from trivet.domain.version import Acceleration, Architecture, LoadedModel, ModelConfig, ModelVersion, VersionStatus

__all__ = [
    "DEPLOYMENTS",
    "VERSIONS",
    "config_of",
    "deployment_of",
    "json_text",
    "pipeline_version_of",
    "plain",
    "version_of",
]

_LATER = model_configs.alias("later_configs")

_CONFIG_COLUMNS = {
    column.name: column.label(f"config_{column.name}")
    for column in model_configs.c
    if column.name not in {"workspace_id", "created_at"}
}

VERSIONS = (
    sa.select(model_versions, models.c.name.label("model_name"), *_CONFIG_COLUMNS.values())
    .join_from(model_versions, models, models.c.id == model_versions.c.model_id)
    .outerjoin(
        model_configs,
        model_configs.c.id
        == sa.select(sa.func.max(_LATER.c.id)).where(_LATER.c.version_id == model_versions.c.id).scalar_subquery(),
    )
)
"""Every model version with its model's name and its newest configuration: one query, however many there are."""

DEPLOYMENTS = (
    sa.select(
        deployments,
        pipelines.c.name.label("pipeline"),
        pipeline_versions.c.uuid.label("pipeline_version"),
        pipeline_versions.c.steps.label("steps"),
    )
    .join_from(deployments, pipelines, pipelines.c.id == deployments.c.pipeline_id)
    .join(pipeline_versions, pipeline_versions.c.id == deployments.c.pipeline_version_id)
)
"""Every deployment with its pipeline's name, version and steps."""


def version_of(row: sa.Row[Any]) -> ModelVersion:
    """A row of `VERSIONS`."""
    return ModelVersion(
        id=row.id,
        uuid=row.uuid,
        model_id=row.model_id,
        name=row.model_name,
        workspace_id=row.workspace_id,
        number=row.number,
        file_name=row.file_name,
        sha=Digest(row.sha),
        size=row.size,
        framework=Framework(row.framework),
        arch=Architecture(row.arch),
        accel=Acceleration(row.accel),
        visibility=row.visibility,
        settings=decode(row.settings, ModelSettings),
        status=VersionStatus(row.status),
        fault=None if row.fault is None else decode(row.fault, Fault),
        loaded=None if row.loaded is None else decode(row.loaded, LoadedModel),
        config=None if row.config_id is None else config_of(row, prefix="config_"),
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def config_of(row: sa.Row[Any], *, prefix: str = "") -> ModelConfig:
    """A row of the configurations' table, or of a query that has its columns under a prefix."""
    values = {name: getattr(row, prefix + name) for name in _CONFIG_COLUMNS}
    fields = values["tensor_fields"]
    values["tensor_fields"] = None if fields is None else tuple(decode(fields, list[str]))
    for name in ("input_schema", "output_schema"):
        values[name] = _schema(values[name])
    values["runtime"] = None if values["runtime"] is None else Runtime(values["runtime"])
    return ModelConfig(**values)


def pipeline_version_of(row: sa.Row[Any]) -> PipelineVersion:
    """A row of the pipeline versions' table."""
    return PipelineVersion(
        id=row.id,
        uuid=row.uuid,
        pipeline_id=row.pipeline_id,
        number=row.number,
        steps=decode(row.steps, tuple[PipelineStep, ...]),
        created_at=row.created_at,
    )


def deployment_of(row: sa.Row[Any]) -> Deployment:
    """A row of `DEPLOYMENTS`."""
    return Deployment(
        id=row.id,
        pipeline_id=row.pipeline_id,
        pipeline=row.pipeline,
        workspace_id=row.workspace_id,
        wanted=row.wanted,
        pipeline_version=row.pipeline_version,
        config=decode(row.config, DeploymentConfig),
        generation=row.generation,
        status=decode(row.status, DeploymentStatus),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def json_text(value: Any) -> str | None:
    """JSON of a domain value for a column; None stays None."""
    return None if value is None else encode(value).decode()


def plain(text: str) -> str:
    """A text that every database can store: no NUL characters, no lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _schema(text: str | None) -> pa.Schema | None:
    return None if text is None else schema_from_text(text)
