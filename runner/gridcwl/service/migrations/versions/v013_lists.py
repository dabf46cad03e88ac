"""Indexes for lists of runs: what a user has, what is in one state, and what a user has in one state."""

from alembic import op

revision = "013_lists"
down_revision = "012_schedules"


def upgrade() -> None:
    """Make the indexes; the one that counts runs has their order, too."""
    op.create_index("ix_runs_kind_owner_number", "runs", ["kind", "owner", "number"])
    op.create_index("ix_runs_kind_state_number", "runs", ["kind", "state", "number"])
    op.create_index("ix_runs_kind_state_owner_number", "runs", ["kind", "state", "owner", "number"])
    op.drop_index("ix_runs_kind_state_owner", "runs")


def downgrade() -> None:
    """Remove the indexes."""
    op.create_index("ix_runs_kind_state_owner", "runs", ["kind", "state", "owner"])
    for columns in ("kind_state_owner_number", "kind_state_number", "kind_owner_number"):
        op.drop_index(f"ix_runs_{columns}", "runs")
