"""Tags of model versions and of pipelines."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tags",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tags"),
        sa.UniqueConstraint("tag", name="uq_tags_tag"),
        sqlite_autoincrement=True,
    )
    for table, column, other in (
        ("model_tags", "version_id", "model_versions"),
        ("pipeline_tags", "pipeline_id", "pipelines"),
    ):
        op.create_table(
            table,
            sa.Column("tag_id", BIG, nullable=False),
            sa.Column(column, BIG, nullable=False),
            sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name=f"fk_{table}_tag_id", ondelete="CASCADE"),
            sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("tag_id", column, name=f"pk_{table}"),
        )
