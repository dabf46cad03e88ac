"""Webhooks, and what is still to be sent."""

import sqlalchemy as sa
from alembic import op

revision = "010_webhooks"
down_revision = "009_uws"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("run", sa.String(64)),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("states", sa.JSON, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("failed", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_index("ix_webhooks_owner", "webhooks", ["owner"])
    op.create_index("ix_webhooks_run", "webhooks", ["run"])
    op.create_table(
        "deliveries",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("hook", sa.String(32), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("leased", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_hook", "deliveries", ["hook"])


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("deliveries")
    op.drop_table("webhooks")
