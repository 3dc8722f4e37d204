"""The catalog's deployments: the desired state, and the observed status."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from trivet.catalog.database import Database, Unchanged
from trivet.catalog.find import is_id
from trivet.catalog.pipelines import check_models, insert_version, pipeline_row, pipeline_version_row
from trivet.catalog.rows import DEPLOYMENTS, deployment_of, json_text, pipeline_version_of
from trivet.catalog.tables import deployments, pipelines
from trivet.domain.deployment import Deployment, DeploymentConfig, DeploymentState, DeploymentStatus
from trivet.domain.pipeline import PipelineStep, PipelineVersion
from trivet.errors import Conflict, Invalid, NotFound

__all__ = ["Deployments"]


class Deployments:
    """The deployments in the catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deploy(
        self,
        pipeline_id: int,
        *,
        config: DeploymentConfig,
        steps: Sequence[PipelineStep] | None = None,
        version: str | None = None,
        expected_generation: int | None = None,
    ) -> tuple[PipelineVersion, Deployment]:
        """Deploy a new pipeline version with these steps, or an existing one: one transaction.

        Args:
            pipeline_id: of the pipeline.
            config: how it runs.
            steps: of the new version.
            version: instead of steps, the UUID of one of the pipeline's versions.
            expected_generation: the deployment's, as it was when the caller decided; None accepts any, 0 means never deployed.

        Raises:
            NotFound: the pipeline, its version, or a model version or configuration in the steps does not exist.
            Conflict: the deployment has another generation.
            Invalid: neither steps nor a version were given, or both.
        """
        if (steps is None) == (version is None):
            raise Invalid("a deploy takes either steps or a version of the pipeline")
        now = self._database.now()
        with self._database.writing() as connection:
            pipeline = pipeline_row(connection, pipeline_id)
            if version is None:
                row = insert_version(connection, pipeline, steps=steps or (), now=now)
            else:
                row = pipeline_version_row(connection, version)
                if row.pipeline_id != pipeline.id:
                    raise NotFound(
                        f"Pipeline version {version} not found in this workspace",
                        why=f"it is not a version of pipeline {pipeline.name!r}",
                        reason="unknown_pipeline_version",
                    )
            made = pipeline_version_of(row)
            check_models(connection, made.steps)
            there = _deployment_row(connection, pipeline_id)
            generation = 0 if there is None else there.generation
            if expected_generation is not None and expected_generation != generation:
                raise Conflict(
                    f"pipeline {pipeline.name!r} was deployed or undeployed by another request meanwhile",
                    why=f"its generation is {generation}, and {expected_generation} was expected",
                    fix="look at what is deployed now, then deploy again",
                    reason="other_generation",
                )
            desired = {
                "wanted": "running",
                "pipeline_version_id": row.id,
                "config": json_text(config),
                "generation": generation + 1,
                "updated_at": now,
            }
            if there is None:
                status = DeploymentStatus(state=DeploymentState.STARTING, generation=0)
                connection.execute(
                    deployments.insert().values(
                        **desired,
                        workspace_id=pipeline.workspace_id,
                        pipeline_id=pipeline.id,
                        status=json_text(status),
                        status_generation=status.generation,
                        created_at=now,
                    )
                )
            else:
                connection.execute(deployments.update().where(deployments.c.id == there.id).values(**desired))
            connection.execute(pipelines.update().where(pipelines.c.id == pipeline.id).values(updated_at=now))
            return made, deployment_of(_deployment_row(connection, pipeline_id))

    def undeploy(self, pipeline_id: int) -> Deployment:
        """Stop a pipeline's deployment. One that is stopped already stays as it is.

        Raises:
            NotFound: there is no such pipeline, or it was never deployed.
        """
        now = self._database.now()
        found: sa.Row[Any] | None = None
        with self._database.writing() as connection:
            pipeline = pipeline_row(connection, pipeline_id)
            found = _deployment_row(connection, pipeline_id)
            if found is None:
                raise NotFound(f"pipeline {pipeline.name!r} was never deployed", reason="not_deployed")
            if found.wanted == "stopped":
                raise Unchanged
            changed = deployments.update().where(deployments.c.id == found.id)
            connection.execute(changed.values(wanted="stopped", generation=found.generation + 1, updated_at=now))
            connection.execute(pipelines.update().where(pipelines.c.id == pipeline_id).values(updated_at=now))
            found = _deployment_row(connection, pipeline_id)
        return deployment_of(found)

    def all(self) -> list[Deployment]:
        """The deployments of all workspaces, the oldest first: one query, however many there are."""
        with self._database.reading() as connection:
            return [deployment_of(row) for row in connection.execute(DEPLOYMENTS.order_by(deployments.c.id))]

    def of(self, pipeline_id: int) -> Deployment | None:
        """A pipeline's deployment; None if it was never deployed."""
        if not is_id(pipeline_id):
            return None
        with self._database.reading() as connection:
            row = _deployment_row(connection, pipeline_id)
        return None if row is None else deployment_of(row)

    def set_status(self, deployment_id: int, status: DeploymentStatus) -> None:
        """Set the status of a deployment.

        It is ignored if there is a status of a later generation, or if the deployment does not exist.
        """
        text = json_text(status)
        changed = (
            deployments.update()
            .where(
                deployments.c.id == deployment_id,
                deployments.c.status_generation <= status.generation,
                deployments.c.status != text,
            )
            .values(status=text, status_generation=status.generation)
        )
        with self._database.writing() as connection:
            if connection.execute(changed).rowcount == 0:
                raise Unchanged


def _deployment_row(connection: sa.Connection, pipeline_id: int) -> Any:
    return connection.execute(DEPLOYMENTS.where(deployments.c.pipeline_id == pipeline_id)).first()
