"""Pipelines: steps in order. What a client builds, what a deploy keeps, and whether the steps fit together."""

from datetime import datetime
from typing import TypeAlias

import msgspec

__all__ = ["CheckStep", "ModelStep", "Pipeline", "PipelineStep", "PipelineVersion", "Validation"]


class ModelStep(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="model"):
    """A model version, under a configuration of it.

    Attributes:
        version: its UUID.
        sha: of its bytes.
        config_id: None runs it as it was uploaded.
    """

    name: str
    version: str
    sha: str
    config_id: int | None = None


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """A named condition over `in.*` and `out.*` columns; true means anomaly.

    Attributes:
        expression: a polars expression in polars' own JSON form.
    """

    name: str
    expression: str


class CheckStep(msgspec.Struct, frozen=True, kw_only=True, tag_field="step", tag="check"):
    """Validations of the step before."""

    validations: tuple[Validation, ...]


PipelineStep: TypeAlias = ModelStep | CheckStep


class PipelineVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one deploy. Never changed.

    Attributes:
        number: counts the versions of its pipeline, from 1.
    """

    id: int
    uuid: str
    pipeline_id: int
    number: int
    steps: tuple[PipelineStep, ...]
    created_at: datetime


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A name in a workspace, under which steps are deployed.

    Attributes:
        versions: all of them, the newest first. A new pipeline has one without steps.
        deployed: None if it never was.
        tags: the texts of its tags, the oldest tag first.
    """

    id: int
    workspace_id: int
    name: str
    versions: tuple[PipelineVersion, ...]
    deployed: bool | None
    created_at: datetime
    updated_at: datetime
    tags: tuple[str, ...] = ()
