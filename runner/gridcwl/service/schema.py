"""The database's tables. What changes here needs a migration in ``migrations/versions``."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

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
    Column("stored", BigInteger, nullable=False, server_default="0"),  # bytes that are kept for it here
    Column("jobs", Integer, nullable=False, server_default="0"),  # that are running
    sqlite_autoincrement=True,  # a number is never used again
)
Index("ix_runs_state_number", runs.c.state, runs.c.number)
Index("ix_runs_owner_number", runs.c.owner, runs.c.number)
Index("ix_runs_kind_number", runs.c.kind, runs.c.number)
Index("ix_runs_kind_owner_number", runs.c.kind, runs.c.owner, runs.c.number)
Index("ix_runs_kind_state_number", runs.c.kind, runs.c.state, runs.c.number)
Index("ix_runs_kind_state_owner_number", runs.c.kind, runs.c.state, runs.c.owner, runs.c.number)  # counts them, too

run_groups = Table(
    "run_groups",
    metadata,
    Column("number", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
)
Index("ix_run_groups_name_number", run_groups.c.name, run_groups.c.number)

drivers = Table(  # processes that work on runs
    "drivers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("session", BigInteger, nullable=False),  # PostgreSQL's process that holds its locks
    Column("seen", Float, nullable=False),  # by the database's clock
)

journals = Table(  # which process owns a run, and its fencing number
    "journals",
    metadata,
    Column("engine", String(64), primary_key=True),
    Column("fence", Integer, nullable=False),  # one more for each owner
    Column("driver", String(64), nullable=False),
    Column("number", Integer, nullable=False),  # of the last changes
)
Index("ix_journals_driver", journals.c.driver)

journal_changes = Table(  # see gridcwl.runs.record.journal_log
    "journal_changes",
    metadata,
    Column("engine", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("fence", Integer, nullable=False),  # of who wrote them
    Column("home", Text, nullable=False),  # the folder of the service that wrote them
    Column("changes", LargeBinary, nullable=False),
)

run_files = Table(  # what a client sent and what it gets back, for machines that share no folder
    "run_files",
    metadata,
    Column("engine", String(64), primary_key=True),
    Column("name", String(4096), primary_key=True),  # below the folder of the run
    Column("part", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

credentials = Table(  # of users, for their runs
    "credentials",
    metadata,
    Column("owner", String(255), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("sealed", Text, nullable=False),  # encrypted with a key that is not in the database
    Column("ends", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("leased", Float, nullable=False),  # until then one process renews it
)

uws_jobs = Table(  # what UWS knows of a job that a run does not have
    "uws_jobs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),  # of its run, too
    Column("owner", String(255), nullable=False),
    Column("workflow", String(255), nullable=False),  # its name in the catalogue
    Column("label", String(255), nullable=False),
    Column("parameters", JSON, nullable=False),  # lists of texts by the names of inputs
    Column("created", Float, nullable=False),
    Column("state", String(16), nullable=False),
)
Index("ix_uws_jobs_workflow_number", uws_jobs.c.workflow, uws_jobs.c.number)

task_tags = Table(
    "task_tags",
    metadata,
    Column("number", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
Index("ix_task_tags_key_number", task_tags.c.key, task_tags.c.number)

sessions = Table(  # of browsers that have logged in
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),  # the hash of what the cookie holds
    Column("owner", String(255), nullable=False),
    Column("about", JSON, nullable=False),  # groups and scopes
    Column("sealed", Text, nullable=False),  # the access token, encrypted
    Column("created", Float, nullable=False),
    Column("ends", Float, nullable=False),
)
Index("ix_sessions_ends", sessions.c.ends)

api_keys = Table(  # of machines that cannot log in
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("may", JSON, nullable=False),
    Column("about", JSON, nullable=False),  # groups and scopes of its owner when it was made
    Column("created", Float, nullable=False),
    Column("ends", Float, nullable=False),
    Column("used", Float),
)
Index("ix_api_keys_owner", api_keys.c.owner)

webhooks = Table(  # URLs that are called when runs change their states
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("run", String(64)),  # empty for all runs of the owner
    Column("url", Text, nullable=False),
    Column("states", JSON, nullable=False),  # empty for all
    Column("sealed", Text, nullable=False),  # the secret that signs, encrypted
    Column("failed", Text, nullable=False),  # what went wrong last
    Column("created", Float, nullable=False),
)
Index("ix_webhooks_owner", webhooks.c.owner)
Index("ix_webhooks_run", webhooks.c.run)

deliveries = Table(  # what is still to be sent
    "deliveries",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("hook", String(32), nullable=False),
    Column("run", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("due", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("leased", Float, nullable=False),  # until then one process sends it
    sqlite_autoincrement=True,
)
Index("ix_deliveries_hook", deliveries.c.hook)

delivery_attempts = Table(  # what became of them: the last ones of each webhook
    "delivery_attempts",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("hook", String(32), nullable=False),
    Column("run", String(64), nullable=False),  # empty for a test
    Column("state", String(16), nullable=False),
    Column("sent", Float, nullable=False),
    Column("problem", Text, nullable=False),  # empty if it was accepted
    sqlite_autoincrement=True,
)
Index("ix_delivery_attempts_hook_number", delivery_attempts.c.hook, delivery_attempts.c.number)

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("name", String(64), nullable=False),  # of one owner, no two are the same
    Column("body", Text, nullable=False),  # see gridcwl.schedules.model
    Column("cursor", Float, nullable=False),  # up to here all times were looked at
    Column("paused", Text),  # why
    Column("looked", Boolean, nullable=False),  # data have been looked for
    Column("problem", Text, nullable=False),
    Column("next", Float),  # when to look again
    Column("stored", BigInteger, nullable=False, server_default="0"),  # bytes of what was attached
)
Index("ix_schedules_owner_name", schedules.c.owner, schedules.c.name)

schedule_ticks = Table(
    "schedule_ticks",
    metadata,
    Column("schedule", String(32), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    Column("run", String(64), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("dids", JSON, nullable=False),
    Column("driver", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("removed", Boolean, nullable=False),  # the record of its run
    Column("forgiven", Boolean, nullable=False),  # its failure counts no more
)
Index("ix_schedule_ticks_schedule_at", schedule_ticks.c.schedule, schedule_ticks.c.at)
Index("ix_schedule_ticks_state", schedule_ticks.c.state)

schedule_arrivals = Table(  # data that a schedule has seen
    "schedule_arrivals",
    metadata,
    Column("schedule", String(32), primary_key=True),
    Column("did", String(1024), primary_key=True),
    Column("seen", Float, nullable=False),
    Column("tick", String(64)),  # which took it
)

productions = Table(
    "productions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("name", String(64), nullable=False),
    Column("body", Text, nullable=False),  # see gridcwl.productions.model
    Column("open", Boolean, nullable=False),  # something is to be done
    Column("stopped", Boolean, nullable=False),
    Column("stored", BigInteger, nullable=False, server_default="0"),  # bytes of what was attached
)
Index("ix_productions_owner_name", productions.c.owner, productions.c.name)

portions = Table(
    "portions",
    metadata,
    Column("production", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("items", JSON, nullable=False),
    Column("run", String(64), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("failed", Integer, nullable=False),
)
