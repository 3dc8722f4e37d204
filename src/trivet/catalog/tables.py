"""The tables of this release. `migrations/` leads an older database here."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

__all__ = [
    "BIG",
    "NAMING",
    "Moment",
    "catalog_state",
    "deployments",
    "events",
    "metadata",
    "model_configs",
    "model_versions",
    "models",
    "pipeline_versions",
    "pipelines",
    "upload_log",
    "workspaces",
]

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraints have the same names in every database, so that one table can explain them."""

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits everywhere; SQLite generates ids only in columns of the type INTEGER."""


class Moment(sa.TypeDecorator[datetime]):
    """A time in UTC with its zone, which SQLite does not store."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002 - the signature of the base class
        """The value for the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        """The value from the database."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


metadata = sa.MetaData(naming_convention=NAMING)


def _id() -> sa.Column[int]:
    return sa.Column("id", BIG, primary_key=True, autoincrement=True)


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(name, Moment, nullable=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _of(table: str, name: str, *, cascade: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else None)
    return sa.Column(name, BIG, key, nullable=False)


catalog_state = sa.Table(
    "catalog_state",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
"""One row. Every writer increments it first, so that writers queue there in every database."""

workspaces = sa.Table(
    "workspaces",
    metadata,
    _id(),
    _text("name"),
    sa.Column("archived", sa.Boolean, nullable=False),
    _text("created_by"),
    _moment("created_at"),
    sa.UniqueConstraint("name"),
    # An id is never used twice, not even after a deletion: ids are in addresses.
    sqlite_autoincrement=True,
)

models = sa.Table(
    "models",
    metadata,
    _id(),
    _of("workspaces", "workspace_id"),
    _text("name"),
    _moment("created_at"),
    _moment("updated_at"),
    sa.UniqueConstraint("workspace_id", "name"),
    sqlite_autoincrement=True,
)

model_versions = sa.Table(
    "model_versions",
    metadata,
    _id(),
    _text("uuid"),
    _of("workspaces", "workspace_id"),
    _of("models", "model_id", cascade=True),
    sa.Column("number", sa.Integer, nullable=False),
    _text("file_name"),
    _text("sha"),
    sa.Column("size", sa.BigInteger, nullable=False),
    _text("framework"),
    _text("arch"),
    _text("accel"),
    _text("visibility"),
    _text("settings"),
    _text("status"),
    _text("fault", nullable=True),
    _text("loaded", nullable=True),
    _text("created_by"),
    _moment("created_at"),
    _moment("updated_at"),
    sa.UniqueConstraint("uuid"),
    sa.UniqueConstraint("model_id", "number"),
    sa.Index(None, "sha"),
    sa.Index(None, "status"),
    sqlite_autoincrement=True,
)
"""`settings`, `fault` and `loaded` are JSON of the domain values."""

model_configs = sa.Table(
    "model_configs",
    metadata,
    _id(),
    _of("workspaces", "workspace_id"),
    _of("model_versions", "version_id", cascade=True),
    _text("tensor_fields", nullable=True),
    _text("batch_config", nullable=True),
    _text("input_schema", nullable=True),
    _text("output_schema", nullable=True),
    sa.Column("max_batch_delay_ms", sa.Integer),
    sa.Column("batch_size_target", sa.Integer),
    sa.Column("batch_size_limit", sa.Integer),
    _text("runtime", nullable=True),
    _text("network", nullable=True),
    _moment("created_at"),
    sa.Index(None, "version_id"),
    sqlite_autoincrement=True,
)

upload_log = sa.Table(
    "upload_log",
    metadata,
    _id(),
    _of("model_versions", "version_id", cascade=True),
    _moment("at"),
    _text("level"),
    _text("stage"),
    _text("text"),
    sa.Index(None, "version_id"),
    sqlite_autoincrement=True,
)

pipelines = sa.Table(
    "pipelines",
    metadata,
    _id(),
    _of("workspaces", "workspace_id"),
    _text("name"),
    _moment("created_at"),
    _moment("updated_at"),
    sa.UniqueConstraint("workspace_id", "name"),
    sqlite_autoincrement=True,
)

pipeline_versions = sa.Table(
    "pipeline_versions",
    metadata,
    _id(),
    _text("uuid"),
    _of("workspaces", "workspace_id"),
    _of("pipelines", "pipeline_id"),
    sa.Column("number", sa.Integer, nullable=False),
    _text("steps"),
    _moment("created_at"),
    sa.UniqueConstraint("uuid"),
    sa.UniqueConstraint("pipeline_id", "number"),
    sqlite_autoincrement=True,
)

deployments = sa.Table(
    "deployments",
    metadata,
    _id(),
    _of("workspaces", "workspace_id"),
    _of("pipelines", "pipeline_id"),
    _text("wanted"),
    _of("pipeline_versions", "pipeline_version_id"),
    _text("config"),
    sa.Column("generation", sa.BigInteger, nullable=False),
    _text("status"),
    sa.Column("status_generation", sa.BigInteger, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    sa.UniqueConstraint("pipeline_id"),
    sqlite_autoincrement=True,
)

tags = sa.Table(
    "tags",
    metadata,
    _id(),
    _text("tag"),
    _moment("created_at"),
    sa.UniqueConstraint("tag"),
    sqlite_autoincrement=True,
)

model_tags = sa.Table(
    "model_tags",
    metadata,
    _of("tags", "tag_id", cascade=True),
    _of("model_versions", "version_id", cascade=True),
    sa.PrimaryKeyConstraint("tag_id", "version_id"),
)

pipeline_tags = sa.Table(
    "pipeline_tags",
    metadata,
    _of("tags", "tag_id", cascade=True),
    _of("pipelines", "pipeline_id", cascade=True),
    sa.PrimaryKeyConstraint("tag_id", "pipeline_id"),
)

events = sa.Table(
    "events",
    metadata,
    _id(),
    _moment("at"),
    sa.Column("workspace_id", BIG),
    _text("subject"),
    _text("subject_id"),
    _text("kind"),
    _text("text"),
    sqlite_autoincrement=True,
)
"""The newest ones; `workspace_id` is not a foreign key, so that an event outlives its subject."""
