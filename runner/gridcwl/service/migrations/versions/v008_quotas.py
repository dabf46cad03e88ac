"""What runs have stored, and how many of their jobs are running."""

import sqlalchemy as sa
from alembic import op

revision = "008_quotas"
down_revision = "007_counts"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("runs", sa.Column("stored", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("jobs", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Remove the columns."""
    op.drop_column("runs", "jobs")
    op.drop_column("runs", "stored")
