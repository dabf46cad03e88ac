"""An index that runs are counted from, by state and owner."""

from alembic import op

revision = "007_counts"
down_revision = "006_identities"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_runs_kind_state_owner", "runs", ["kind", "state", "owner"])


def downgrade() -> None:
    """Remove the index."""
    op.drop_index("ix_runs_kind_state_owner", "runs")
