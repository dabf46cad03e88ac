"""What became of deliveries: the last ones of each webhook."""

import sqlalchemy as sa
from alembic import op

revision = "011_attempts"
down_revision = "010_webhooks"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "delivery_attempts",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("hook", sa.String(32), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("sent", sa.Float, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_delivery_attempts_hook_number", "delivery_attempts", ["hook", "number"])


def downgrade() -> None:
    """Remove it."""
    op.drop_table("delivery_attempts")
