"""The database's tables. What changes here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),  # their order; page tokens count in it
    Column("id", String(64), nullable=False, unique=True),
    Column("engine", String(64), nullable=False),  # whose journal it is: a resumed run continues in the one before
    Column("owner", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),  # why it waits
    Column("created", Float, nullable=False),  # all times are seconds since 1970
    Column("started", Float),
    Column("ended", Float),
    Column("exit_code", Integer),
    Column("message", Text, nullable=False, default=""),  # why it failed, or that it was stopped
    Column("tags", JSON, nullable=False),
    Column("request", JSON, nullable=False),  # as the client sent it
    Column("document", Text, nullable=False),  # a URL, or a path; with the process in it
    Column("settings", JSON, nullable=False),  # of gridcwl, from the engine parameters
    Column("outputs", JSON),  # with locations of this machine; of a task, where they were delivered
    Column("kind", String(8), nullable=False, server_default="run"),  # or "task": a run that GA4GH TES was sent
    Column("name", Text, nullable=False, server_default=""),  # of a task
    sqlite_autoincrement=True,  # a number is never used again
)
Index("ix_runs_state_number", runs.c.state, runs.c.number)
Index("ix_runs_owner_number", runs.c.owner, runs.c.number)
Index("ix_runs_kind_number", runs.c.kind, runs.c.number)

run_groups = Table(
    "run_groups",
    metadata,
    Column("number", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
)
Index("ix_run_groups_name_number", run_groups.c.name, run_groups.c.number)

task_tags = Table(
    "task_tags",
    metadata,
    Column("number", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
Index("ix_task_tags_key_number", task_tags.c.key, task_tags.c.number)
