"""The catalog's models, their versions and configurations."""

import uuid
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa

from trivet.catalog.database import Database
from trivet.catalog.find import find_model, find_workspace, is_id
from trivet.catalog.rows import DEPLOYMENTS, VERSIONS, config_of, json_text, plain, version_of
from trivet.catalog.tables import model_configs, model_versions, models, pipeline_versions
from trivet.domain.batching import Batching
from trivet.domain.deployment import DeploymentStatus
from trivet.domain.digest import Digest
from trivet.domain.encoding import decode, schema_to_text
from trivet.domain.fault import Fault
from trivet.domain.frameworks import FRAMEWORKS, Framework, Runtime
from trivet.domain.network import NetworkUse
from trivet.domain.package import ModelSettings
from trivet.domain.pipeline import ModelStep, PipelineStep
from trivet.domain.version import (
    Acceleration,
    Architecture,
    LoadedModel,
    Model,
    ModelConfig,
    ModelVersion,
    VersionStatus,
)
from trivet.errors import Conflict, NotFound

__all__ = ["Models"]

NAMED = 5
"""Pipelines that an error names, at most."""

_MODELS = (
    sa.select(models, sa.func.count(model_versions.c.id).label("versions"))
    .outerjoin_from(models, model_versions, model_versions.c.model_id == models.c.id)
    .group_by(models.c.id)
)


class Models:
    """The models, versions and configurations in the catalog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, workspace_id: int) -> list[Model]:
        """All models of a workspace, by name."""
        query = _MODELS.where(models.c.workspace_id == workspace_id).order_by(models.c.name)
        with self._database.reading() as connection:
            find_workspace(connection, workspace_id)
            return [Model(**row._asdict()) for row in connection.execute(query)]

    def get(self, workspace_id: int, name: str) -> Model:
        """A model by its name.

        Raises:
            NotFound: it does not exist; the error proposes the nearest name.
        """
        with self._database.reading() as connection:
            found = find_model(connection, workspace_id, name)
            return Model(**connection.execute(_MODELS.where(models.c.id == found.id)).one()._asdict())

    def delete(self, workspace_id: int, name: str) -> None:
        """Delete a model with all its versions, configurations and upload logs.

        Raises:
            NotFound: it does not exist.
            Conflict: a deployment uses a version of it; the error names its pipelines.
        """
        with self._database.writing() as connection:
            found = find_model(connection, workspace_id, name)
            query = sa.select(model_versions.c.uuid).where(model_versions.c.model_id == found.id)
            _refuse_deployed(connection, set(connection.execute(query).scalars()), what=f"model {name!r}")
            connection.execute(models.delete().where(models.c.id == found.id))

    def delete_version(self, uuid: str) -> ModelVersion:
        """Delete a version with its configurations and its upload log; the model too, if it has no other version.

        Raises:
            NotFound: it does not exist.
            Conflict: a deployment uses it; the error names its pipelines.
        """
        with self._database.writing() as connection:
            found = _version(connection, uuid)
            _refuse_deployed(connection, {uuid}, what=f"model {found.name!r} version {found.number}")
            connection.execute(model_versions.delete().where(model_versions.c.id == found.id))
            others = sa.exists().where(model_versions.c.model_id == found.model_id)
            connection.execute(models.delete().where(models.c.id == found.model_id, ~others))
        return found

    def add_version(
        self,
        *,
        workspace_id: int,
        name: str,
        file_name: str,
        sha: Digest,
        size: int,
        framework: Framework,
        settings: ModelSettings,
        arch: Architecture,
        accel: Acceleration,
        visibility: Literal["private", "public"],
        created_by: str,
        new_uuid: str | None = None,
    ) -> ModelVersion:
        """Add a version of a model, which is created if it is new. The bytes are in the blob store already.
        Its UUID is `new_uuid`, if the client knows it already, and otherwise a new one.

        Raises:
            NotFound: there is no such workspace.
        """
        native = FRAMEWORKS[framework].first_try is Runtime.NATIVE
        now = self._database.now()
        with self._database.writing() as connection:
            find_workspace(connection, workspace_id)
            model_id = connection.execute(
                models.update()
                .where(models.c.workspace_id == workspace_id, models.c.name == name)
                .values(updated_at=now)
                .returning(models.c.id)
            ).scalar()
            if model_id is None:
                values = {"workspace_id": workspace_id, "name": name, "created_at": now, "updated_at": now}
                model_id = connection.execute(models.insert().values(values).returning(models.c.id)).scalar_one()
            last = sa.select(sa.func.max(model_versions.c.number)).where(model_versions.c.model_id == model_id)
            made = model_versions.insert().values(
                uuid=new_uuid or str(uuid.uuid4()),
                workspace_id=workspace_id,
                model_id=model_id,
                number=(connection.execute(last).scalar() or 0) + 1,
                file_name=plain(file_name),
                sha=sha,
                size=size,
                framework=framework.value,
                arch=arch.value,
                accel=accel.value,
                visibility=visibility,
                settings=json_text(settings),
                status=(VersionStatus.PENDING_LOAD_NATIVE if native else VersionStatus.PENDING_LOAD_CONTAINER).value,
                created_by=plain(created_by),
                created_at=now,
                updated_at=now,
            )
            version_id = connection.execute(made.returning(model_versions.c.id)).scalar_one()
            return _version(connection, version_id)

    def version(self, id_or_uuid: int | str) -> ModelVersion:
        """A version by its number among all versions, or by its UUID.

        Raises:
            NotFound: it does not exist.
        """
        with self._database.reading() as connection:
            return _version(connection, id_or_uuid)

    def versions(self, workspace_id: int, name: str) -> list[ModelVersion]:
        """All versions of a model, the newest first.

        Raises:
            NotFound: there is no such model.
        """
        with self._database.reading() as connection:
            found = find_model(connection, workspace_id, name)
            query = VERSIONS.where(model_versions.c.model_id == found.id).order_by(model_versions.c.number.desc())
            return [version_of(row) for row in connection.execute(query)]

    def newest_versions(self, workspace_id: int) -> list[ModelVersion]:
        """The newest version of every model in a workspace, by name."""
        later = model_versions.alias()
        newest = sa.select(sa.func.max(later.c.number)).where(later.c.model_id == model_versions.c.model_id)
        query = VERSIONS.where(
            models.c.workspace_id == workspace_id, model_versions.c.number == newest.scalar_subquery()
        ).order_by(models.c.name)
        with self._database.reading() as connection:
            return [version_of(row) for row in connection.execute(query)]

    def versions_to_load(self) -> list[ModelVersion]:
        """All versions whose status is not final, the oldest first."""
        open_ones = [status.value for status in VersionStatus if not status.is_final]
        query = VERSIONS.where(model_versions.c.status.in_(open_ones)).order_by(model_versions.c.id)
        with self._database.reading() as connection:
            return [version_of(row) for row in connection.execute(query)]

    def set_status(
        self,
        version_id: int,
        status: VersionStatus,
        *,
        loaded: LoadedModel | None = None,
        fault: Fault | None = None,
    ) -> ModelVersion:
        """Set the status of a version; the earlier one is replaced.

        Raises:
            NotFound: it was deleted meanwhile.
        """
        changed = (
            model_versions.update()
            .where(model_versions.c.id == version_id)
            .values(
                status=status.value,
                loaded=json_text(loaded),
                fault=json_text(fault),
                updated_at=self._database.now(),
            )
        )
        with self._database.writing() as connection:
            connection.execute(changed)
            return _version(connection, version_id)

    def set_loaded(self, version_id: int, loaded: LoadedModel) -> None:
        """Replace what is known of a version that is ready.

        Raises:
            NotFound: it was deleted meanwhile.
        """
        changed = (
            model_versions.update()
            .where(model_versions.c.id == version_id)
            .values(loaded=json_text(loaded), updated_at=self._database.now())
        )
        with self._database.writing() as connection:
            connection.execute(changed)
            _version(connection, version_id)

    def package_in_use(self, sha: Digest) -> bool:
        """Whether any version has these bytes, as they were uploaded or as what they were converted to."""
        converted = model_versions.c.loaded.contains(f'"converted":"{sha}"', autoescape=True)
        with self._database.reading() as connection:
            query = sa.select(sa.exists().where(sa.or_(model_versions.c.sha == sha, converted)))
            return bool(connection.execute(query).scalar())

    def package_runs(self, sha: Digest) -> bool:
        """Whether a version that is not in error has these bytes: its files are unpacked."""
        converted = model_versions.c.loaded.contains(f'"converted":"{sha}"', autoescape=True)
        runs = sa.and_(model_versions.c.sha == sha, model_versions.c.status != VersionStatus.ERROR.value)
        with self._database.reading() as connection:
            return bool(connection.execute(sa.select(sa.exists().where(sa.or_(runs, converted)))).scalar())

    def add_config(
        self,
        version_id: int,
        *,
        tensor_fields: Sequence[str] | None = None,
        batch_config: Batching | None = None,
        input_schema: pa.Schema | None = None,
        output_schema: pa.Schema | None = None,
        max_batch_delay_ms: int | None = None,
        batch_size_target: int | None = None,
        batch_size_limit: int | None = None,
        runtime: Runtime | None = None,
        network: NetworkUse | None = None,
    ) -> ModelConfig:
        """Add a configuration of a version.

        Raises:
            NotFound: there is no such version.
        """
        with self._database.writing() as connection:
            version = _version(connection, version_id)
            made = model_configs.insert().values(
                workspace_id=version.workspace_id,
                version_id=version_id,
                tensor_fields=None if tensor_fields is None else json_text(list(tensor_fields)),
                batch_config=batch_config,
                input_schema=None if input_schema is None else schema_to_text(input_schema),
                output_schema=None if output_schema is None else schema_to_text(output_schema),
                max_batch_delay_ms=max_batch_delay_ms,
                batch_size_target=batch_size_target,
                batch_size_limit=batch_size_limit,
                runtime=None if runtime is None else runtime.value,
                network=network,
                created_at=self._database.now(),
            )
            return config_of(connection.execute(made.returning(model_configs)).one())

    def config(self, config_id: int) -> ModelConfig:
        """A configuration.

        Raises:
            NotFound: it does not exist.
        """
        if is_id(config_id):
            with self._database.reading() as connection:
                row = connection.execute(sa.select(model_configs).where(model_configs.c.id == config_id)).first()
            if row is not None:
                return config_of(row)
        raise NotFound(f"model configuration not found: {config_id}", reason="unknown_config")


def _version(connection: sa.Connection, id_or_uuid: int | str) -> ModelVersion:
    row = None
    if isinstance(id_or_uuid, str):
        row = connection.execute(VERSIONS.where(model_versions.c.uuid == plain(id_or_uuid))).first()
    elif is_id(id_or_uuid):
        row = connection.execute(VERSIONS.where(model_versions.c.id == id_or_uuid)).first()
    if row is None:
        raise NotFound(
            f"A model with the version {id_or_uuid} not found in this workspace",
            fix="list the model's versions; a deleted model has none",
            reason="unknown_version",
        )
    return version_of(row)


def _pipelines_with(connection: sa.Connection, versions: set[str]) -> list[str]:
    """Names of the pipelines whose desired or current deployment uses one of these versions."""
    wanted: list[sa.Row[Any]] = list(connection.execute(DEPLOYMENTS.where(sa.text("wanted = 'running'"))))
    serving = {row.id: decode(row.status, DeploymentStatus).answered for row in wanted}
    others = [uuid for row in wanted if (uuid := serving[row.id]) not in {None, row.pipeline_version}]
    query = sa.select(pipeline_versions.c.uuid, pipeline_versions.c.steps).where(pipeline_versions.c.uuid.in_(others))
    steps: dict[str | None, str] = {row.uuid: row.steps for row in connection.execute(query)} if others else {}
    return sorted(
        {
            row.pipeline
            for row in wanted
            for text in (row.steps, steps.get(serving[row.id], "[]"))
            if versions & _models_of(text)
        }
    )


def _models_of(steps: str) -> set[str]:
    kinds: Any = tuple[PipelineStep, ...]
    return {step.version for step in decode(steps, kinds) if isinstance(step, ModelStep)}


def _refuse_deployed(connection: sa.Connection, versions: set[str], *, what: str) -> None:
    users = _pipelines_with(connection, versions)
    if users:
        raise Conflict(f"{what} is deployed", why=_users_text(users), fix=_undeploy_text(users), reason="model_in_use")


def _users_text(users: list[str]) -> str:
    if len(users) == 1:
        return f"pipeline {users[0]!r} uses it"
    rest = len(users) - NAMED
    return f"pipelines {', '.join(map(repr, users[:NAMED]))}{f' and {rest} more' if rest > 0 else ''} use it"


def _undeploy_text(users: list[str]) -> str:
    commands = " and ".join(f"trivet undeploy {name}" for name in users[:NAMED])
    return f"undeploy first ({commands}), or deploy other steps"
