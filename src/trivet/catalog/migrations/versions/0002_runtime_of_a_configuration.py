"""A configuration says where its version is to run, and whether its workers may use the network."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name in ("runtime", "network"):
        op.add_column("model_configs", sa.Column(name, sa.Text(), nullable=True))
