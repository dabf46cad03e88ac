"""Jobs of UWS before they are runs."""

import sqlalchemy as sa
from alembic import op

revision = "009_uws"
down_revision = "008_quotas"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "uws_jobs",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("workflow", sa.String(255), nullable=False),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_uws_jobs_workflow_number", "uws_jobs", ["workflow", "number"])


def downgrade() -> None:
    """Remove it."""
    op.drop_table("uws_jobs")
