"""The catalog's pipelines and their versions."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from trivet.catalog.database import Database
from trivet.catalog.find import find_pipeline, find_workspace, is_id
from trivet.catalog.rows import json_text, pipeline_version_of, plain
from trivet.catalog.tables import (
    deployments,
    model_configs,
    model_versions,
    pipeline_tags,
    pipeline_versions,
    pipelines,
    tags,
)
from trivet.domain.pipeline import ModelStep, Pipeline, PipelineStep, PipelineVersion
from trivet.errors import Conflict, NotFound

__all__ = ["Pipelines", "check_models", "insert_version", "pipeline_row", "pipeline_version_row"]

_PIPELINES = sa.select(pipelines, deployments.c.wanted).outerjoin_from(
    pipelines, deployments, deployments.c.pipeline_id == pipelines.c.id
)


class Pipelines:
    """The pipelines and their versions in the catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, workspace_id: int, name: str) -> Pipeline:
        """Create a pipeline, with a first version that has no steps.

        Raises:
            NotFound: there is no such workspace.
            Conflict: the name is taken.
        """
        now = self._database.now()
        with self._database.writing() as connection:
            find_workspace(connection, workspace_id)
            made = pipelines.insert().values(workspace_id=workspace_id, name=name, created_at=now, updated_at=now)
            row = connection.execute(made.returning(pipelines)).one()
            insert_version(connection, row, steps=(), now=now)
            return _with_versions(connection, pipelines.c.id == row.id)[0]

    def get(self, workspace_id: int, name: str) -> Pipeline:
        """A pipeline by its name.

        Raises:
            NotFound: it does not exist; the error proposes the nearest name.
        """
        with self._database.reading() as connection:
            return _with_versions(connection, pipelines.c.id == find_pipeline(connection, workspace_id, name).id)[0]

    def by_id(self, pipeline_id: int) -> Pipeline:
        """A pipeline by its number.

        Raises:
            NotFound: it does not exist.
        """
        with self._database.reading() as connection:
            return _with_versions(connection, pipelines.c.id == pipeline_row(connection, pipeline_id).id)[0]

    def all(self, workspace_id: int) -> list[Pipeline]:
        """All pipelines of a workspace, by name."""
        with self._database.reading() as connection:
            find_workspace(connection, workspace_id)
            return _with_versions(connection, pipelines.c.workspace_id == workspace_id)

    def version(self, uuid: str) -> PipelineVersion:
        """A pipeline version by its UUID.

        Raises:
            NotFound: it does not exist.
        """
        with self._database.reading() as connection:
            return pipeline_version_of(pipeline_version_row(connection, uuid))

    def add_version(self, pipeline_id: int, *, steps: Sequence[PipelineStep]) -> PipelineVersion:
        """Add a version to a pipeline without deploying it.

        Raises:
            NotFound: the pipeline, or a model version or configuration in the steps does not exist.
        """
        now = self._database.now()
        with self._database.writing() as connection:
            pipeline = pipeline_row(connection, pipeline_id)
            check_models(connection, steps)
            connection.execute(pipelines.update().where(pipelines.c.id == pipeline_id).values(updated_at=now))
            return pipeline_version_of(insert_version(connection, pipeline, steps=steps, now=now))

    def delete(self, workspace_id: int, name: str) -> None:
        """Delete a pipeline with its versions and its stopped deployment.

        Raises:
            NotFound: it does not exist.
            Conflict: it is deployed.
        """
        with self._database.writing() as connection:
            found = find_pipeline(connection, workspace_id, name)
            of_it = deployments.c.pipeline_id == found.id
            if connection.execute(sa.select(deployments.c.wanted).where(of_it)).scalar() == "running":
                raise Conflict(f"pipeline {name!r} is deployed", fix="undeploy it first", reason="pipeline_in_use")
            connection.execute(deployments.delete().where(of_it))
            connection.execute(pipeline_versions.delete().where(pipeline_versions.c.pipeline_id == found.id))
            connection.execute(pipelines.delete().where(pipelines.c.id == found.id))


def pipeline_row(connection: sa.Connection, pipeline_id: int) -> sa.Row[Any]:
    """A pipeline's row by its number.

    Raises:
        NotFound: it does not exist.
    """
    if is_id(pipeline_id):
        row = connection.execute(sa.select(pipelines).where(pipelines.c.id == pipeline_id)).first()
        if row is not None:
            return row
    raise NotFound(f"Pipeline {pipeline_id} not found in this workspace", reason="unknown_pipeline")


def pipeline_version_row(connection: sa.Connection, uuid: str) -> sa.Row[Any]:
    """A pipeline version's row by its UUID.

    Raises:
        NotFound: it does not exist.
    """
    row = connection.execute(sa.select(pipeline_versions).where(pipeline_versions.c.uuid == plain(uuid))).first()
    if row is None:
        raise NotFound(f"Pipeline version {uuid} not found in this workspace", reason="unknown_pipeline_version")
    return row


def insert_version(
    connection: sa.Connection, pipeline: sa.Row[Any], *, steps: Sequence[PipelineStep], now: datetime
) -> sa.Row[Any]:
    """Add a version to a pipeline, and return its row."""
    last = sa.select(sa.func.max(pipeline_versions.c.number)).where(pipeline_versions.c.pipeline_id == pipeline.id)
    made = pipeline_versions.insert().values(
        uuid=str(uuid.uuid4()),
        workspace_id=pipeline.workspace_id,
        pipeline_id=pipeline.id,
        number=(connection.execute(last).scalar() or 0) + 1,
        steps=json_text(tuple(steps)),
        created_at=now,
    )
    return connection.execute(made.returning(pipeline_versions)).one()


def check_models(connection: sa.Connection, steps: Sequence[PipelineStep]) -> None:
    """Check that the models in steps exist. None of them can be deleted between this and the end of the transaction.

    Raises:
        NotFound: a model version or a configuration does not exist.
    """
    used = [step for step in steps if isinstance(step, ModelStep)]
    found = {
        row.uuid: row.id
        for row in connection.execute(
            sa.select(model_versions.c.uuid, model_versions.c.id).where(
                model_versions.c.uuid.in_({step.version for step in used})
            )
        )
    }
    configs = {
        row.id: row.version_id
        for row in connection.execute(
            sa.select(model_configs.c.id, model_configs.c.version_id).where(
                model_configs.c.id.in_({step.config_id for step in used if step.config_id is not None})
            )
        )
    }
    for step in used:
        if step.version not in found:
            raise NotFound(
                f"step {step.name!r} cannot be in a pipeline",
                why=f"model version {step.version} not found; was the model deleted?",
                fix=f"upload {step.name!r} again and deploy that version",
                reason="unknown_version",
            )
        if step.config_id is not None and configs.get(step.config_id) != found[step.version]:
            raise NotFound(
                f"step {step.name!r} cannot be in a pipeline",
                why=f"its version has no configuration {step.config_id}",
                fix="configure the version again, and add that to the pipeline",
                reason="unknown_config",
            )


def _with_versions(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[Pipeline]:
    """Pipelines with all their versions and tags: three queries, however many there are."""
    texts: dict[int, list[str]] = {}
    having = (
        sa.select(pipeline_tags.c.pipeline_id, tags.c.tag)
        .join_from(pipeline_tags, tags, tags.c.id == pipeline_tags.c.tag_id)
        .join(pipelines, pipelines.c.id == pipeline_tags.c.pipeline_id)
        .where(condition)
        .order_by(tags.c.id)
    )
    for pipeline_id, text in connection.execute(having):
        texts.setdefault(pipeline_id, []).append(text)
    versions: dict[int, list[PipelineVersion]] = {}
    query = (
        sa.select(pipeline_versions)
        .join_from(pipeline_versions, pipelines, pipelines.c.id == pipeline_versions.c.pipeline_id)
        .where(condition)
        .order_by(pipeline_versions.c.number.desc())
    )
    for row in connection.execute(query):
        versions.setdefault(row.pipeline_id, []).append(pipeline_version_of(row))
    return [
        Pipeline(
            id=row.id,
            workspace_id=row.workspace_id,
            name=row.name,
            versions=tuple(versions.get(row.id, ())),
            deployed=None if row.wanted is None else row.wanted == "running",
            created_at=row.created_at,
            updated_at=row.updated_at,
            tags=tuple(texts.get(row.id, ())),
        )
        for row in connection.execute(_PIPELINES.where(condition).order_by(pipelines.c.name))
    ]
