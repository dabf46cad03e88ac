"""Credentials of users, for their runs."""

import sqlalchemy as sa
from alembic import op

revision = "004_credentials"
down_revision = "003_machines"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "credentials",
        sa.Column("owner", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("ends", sa.Float, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.Column("leased", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("credentials")
