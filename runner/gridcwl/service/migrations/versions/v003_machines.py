"""Several processes and machines: who works on which run, journals, and files of runs that all of them need."""

import sqlalchemy as sa
from alembic import op

revision = "003_machines"
down_revision = "001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "drivers",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("session", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.Float, nullable=False),
    )
    op.create_table(
        "journals",
        sa.Column("engine", sa.String(64), primary_key=True),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("driver", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_index("ix_journals_driver", "journals", ["driver"])
    op.create_table(
        "journal_changes",
        sa.Column("engine", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("home", sa.Text, nullable=False),
        sa.Column("changes", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "run_files",
        sa.Column("engine", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(4096), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("run_files", "journal_changes", "journals", "drivers"):
        op.drop_table(table)
