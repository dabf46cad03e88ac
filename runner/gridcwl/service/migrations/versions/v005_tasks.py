"""Tasks of GA4GH TES: runs of another kind, with names, and tags that are searched for."""

import sqlalchemy as sa
from alembic import op

revision = "005_tasks"
down_revision = "004_credentials"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("runs", sa.Column("kind", sa.String(8), nullable=False, server_default="run"))
    op.add_column("runs", sa.Column("name", sa.Text, nullable=False, server_default=""))
    op.create_index("ix_runs_kind_number", "runs", ["kind", "number"])
    op.create_table(
        "task_tags",
        sa.Column("number", sa.Integer, sa.ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_index("ix_task_tags_key_number", "task_tags", ["key", "number"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("task_tags")
    op.drop_index("ix_runs_kind_number", "runs")
    op.drop_column("runs", "name")
    op.drop_column("runs", "kind")
