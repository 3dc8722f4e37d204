"""The first release's tables.

Spelled out, not taken from `tables`: later releases change those, and this migration must stay as it is.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> sa.Column[int]:
    return sa.Column("id", BIG, autoincrement=True, nullable=False)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _big(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, BIG, nullable=nullable)


def _key(table: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint("id", name=f"pk_{table}")


def _of(table: str, column: str, other: str, *, cascade: bool = False) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{other}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE" if cascade else None
    )


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def upgrade() -> None:
    """Create all tables, and the default workspace."""
    state = op.create_table(
        "catalog_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        _key("catalog_state"),
        sa.CheckConstraint("id = 1", name="ck_catalog_state_one_row"),
    )
    workspaces = op.create_table(
        "workspaces",
        _id(),
        _text("name"),
        sa.Column("archived", sa.Boolean(), nullable=False),
        _text("created_by"),
        _moment("created_at"),
        _key("workspaces"),
        _unique("workspaces", "name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "models",
        _id(),
        _big("workspace_id"),
        _text("name"),
        _moment("created_at"),
        _moment("updated_at"),
        _key("models"),
        _of("models", "workspace_id", "workspaces"),
        _unique("models", "workspace_id", "name"),
        sqlite_autoincrement=True,
    )
    _make_version_tables()
    _make_pipeline_tables()
    op.create_table(
        "events",
        _id(),
        _moment("at"),
        _big("workspace_id", nullable=True),
        _text("subject"),
        _text("subject_id"),
        _text("kind"),
        _text("text"),
        _key("events"),
        sqlite_autoincrement=True,
    )
    assert state is not None
    assert workspaces is not None
    op.bulk_insert(state, [{"id": 1, "revision": 0}])
    default = {"name": "default", "archived": False, "created_by": "trivet", "created_at": datetime.now(UTC)}
    op.bulk_insert(workspaces, [default])


def _make_version_tables() -> None:
    op.create_table(
        "model_versions",
        _id(),
        _text("uuid"),
        _big("workspace_id"),
        _big("model_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("file_name"),
        _text("sha"),
        sa.Column("size", sa.BigInteger(), nullable=False),
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
        _key("model_versions"),
        _of("model_versions", "workspace_id", "workspaces"),
        _of("model_versions", "model_id", "models", cascade=True),
        _unique("model_versions", "uuid"),
        _unique("model_versions", "model_id", "number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_model_versions_sha", "model_versions", ["sha"])
    op.create_index("ix_model_versions_status", "model_versions", ["status"])
    op.create_table(
        "model_configs",
        _id(),
        _big("workspace_id"),
        _big("version_id"),
        _text("tensor_fields", nullable=True),
        _text("batch_config", nullable=True),
        _text("input_schema", nullable=True),
        _text("output_schema", nullable=True),
        sa.Column("max_batch_delay_ms", sa.Integer()),
        sa.Column("batch_size_target", sa.Integer()),
        sa.Column("batch_size_limit", sa.Integer()),
        _moment("created_at"),
        _key("model_configs"),
        _of("model_configs", "workspace_id", "workspaces"),
        _of("model_configs", "version_id", "model_versions", cascade=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_model_configs_version_id", "model_configs", ["version_id"])
    op.create_table(
        "upload_log",
        _id(),
        _big("version_id"),
        _moment("at"),
        _text("level"),
        _text("stage"),
        _text("text"),
        _key("upload_log"),
        _of("upload_log", "version_id", "model_versions", cascade=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_upload_log_version_id", "upload_log", ["version_id"])


def _make_pipeline_tables() -> None:
    op.create_table(
        "pipelines",
        _id(),
        _big("workspace_id"),
        _text("name"),
        _moment("created_at"),
        _moment("updated_at"),
        _key("pipelines"),
        _of("pipelines", "workspace_id", "workspaces"),
        _unique("pipelines", "workspace_id", "name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pipeline_versions",
        _id(),
        _text("uuid"),
        _big("workspace_id"),
        _big("pipeline_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("steps"),
        _moment("created_at"),
        _key("pipeline_versions"),
        _of("pipeline_versions", "workspace_id", "workspaces"),
        _of("pipeline_versions", "pipeline_id", "pipelines"),
        _unique("pipeline_versions", "uuid"),
        _unique("pipeline_versions", "pipeline_id", "number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deployments",
        _id(),
        _big("workspace_id"),
        _big("pipeline_id"),
        _text("wanted"),
        _big("pipeline_version_id"),
        _text("config"),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        _text("status"),
        sa.Column("status_generation", sa.BigInteger(), nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        _key("deployments"),
        _of("deployments", "workspace_id", "workspaces"),
        _of("deployments", "pipeline_id", "pipelines"),
        _of("deployments", "pipeline_version_id", "pipeline_versions"),
        _unique("deployments", "pipeline_id"),
        sqlite_autoincrement=True,
    )
