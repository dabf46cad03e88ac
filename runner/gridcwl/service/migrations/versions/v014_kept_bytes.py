"""How many bytes are kept for schedules and productions: they count in their owners' quotas."""

import sqlalchemy as sa
from alembic import op

revision = "014_kept_bytes"
down_revision = "013_lists"


def upgrade() -> None:
    """Add the columns."""
    for table in ("schedules", "productions"):
        op.add_column(table, sa.Column("stored", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Remove them."""
    for table in ("schedules", "productions"):
        op.drop_column(table, "stored")
