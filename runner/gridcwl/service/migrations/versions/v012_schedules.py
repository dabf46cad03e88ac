"""Schedules with their ticks, and productions with their portions."""

import sqlalchemy as sa
from alembic import op

revision = "012_schedules"
down_revision = "011_attempts"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("cursor", sa.Float, nullable=False),
        sa.Column("paused", sa.Text),
        sa.Column("looked", sa.Boolean, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("next", sa.Float),
    )
    op.create_index("ix_schedules_owner_name", "schedules", ["owner", "name"])
    op.create_table(
        "schedule_ticks",
        sa.Column("schedule", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("run", sa.String(64), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("dids", sa.JSON, nullable=False),
        sa.Column("driver", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.Column("forgiven", sa.Boolean, nullable=False),
    )
    op.create_index("ix_schedule_ticks_schedule_at", "schedule_ticks", ["schedule", "at"])
    op.create_index("ix_schedule_ticks_state", "schedule_ticks", ["state"])
    op.create_table(
        "schedule_arrivals",
        sa.Column("schedule", sa.String(32), primary_key=True),
        sa.Column("did", sa.String(1024), primary_key=True),
        sa.Column("seen", sa.Float, nullable=False),
        sa.Column("tick", sa.String(64)),
    )
    op.create_table(
        "productions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
    )
    op.create_index("ix_productions_owner_name", "productions", ["owner", "name"])
    op.create_table(
        "portions",
        sa.Column("production", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("run", sa.String(64), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("portions", "productions", "schedule_arrivals", "schedule_ticks", "schedules"):
        op.drop_table(table)
