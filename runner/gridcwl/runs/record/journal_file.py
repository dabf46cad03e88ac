"""The file of a journal: its tables, what journals of earlier versions lack, and how it is made and opened."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from gridcwl.errors import StoreError

FORMAT = 1

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE sessions (number INTEGER PRIMARY KEY, pid INTEGER, pid_started REAL, host TEXT, version TEXT,
                       started REAL, ended REAL, status TEXT, message TEXT);
CREATE TABLE documents (path TEXT PRIMARY KEY, sha256 TEXT, text BLOB) WITHOUT ROWID;
CREATE TABLE commons (id INTEGER PRIMARY KEY, text BLOB);
CREATE TABLE jobs (id INTEGER PRIMARY KEY, session INTEGER, step TEXT, name TEXT, key BLOB, common INTEGER, own BLOB,
                   job TEXT, outcome TEXT, attempt INTEGER, reused TEXT);
CREATE INDEX jobs_by_key ON jobs (key, name);
CREATE TABLE attempts (job INTEGER, attempt INTEGER, outcome TEXT, exit_code INTEGER, reason TEXT, folder TEXT,
                       ended REAL, wall_s REAL, result BLOB, PRIMARY KEY (job, attempt)) WITHOUT ROWID;
CREATE TABLE moved (old TEXT PRIMARY KEY, new TEXT) WITHOUT ROWID;
CREATE TABLE events (at REAL, session INTEGER, kind TEXT, text TEXT);
"""
_LATER = """
CREATE TABLE IF NOT EXISTS registered (prefix TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pieces (name TEXT, number INTEGER, text TEXT, PRIMARY KEY (name, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (session INTEGER, step TEXT, name TEXT, job INTEGER, reason TEXT, alike TEXT,
                                     said TEXT, inputs TEXT);
CREATE INDEX IF NOT EXISTS failures_by_job ON failures (job);
CREATE TABLE IF NOT EXISTS skipped (session INTEGER, step TEXT, name TEXT);
CREATE INDEX IF NOT EXISTS skipped_by_name ON skipped (name);
CREATE TABLE IF NOT EXISTS bindings (job INTEGER PRIMARY KEY, inputs BLOB, outputs BLOB);
CREATE TABLE IF NOT EXISTS evaluations (session INTEGER, step TEXT, name TEXT, kind TEXT, inputs BLOB, outputs BLOB,
                                        at REAL);
CREATE TABLE IF NOT EXISTS shared_values (id INTEGER PRIMARY KEY, text BLOB);
CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY, text BLOB);
"""
"""What journals of earlier versions lack. ``registered``: jobs whose files Rucio knows, by how their names begin.
``pieces``: of values of ``meta`` whose text, in one, would need more memory than the run; their own text is empty.
``failures``: what failed for good, jobs and what has no job. ``skipped``: shards whose ``when`` was false.
``bindings``: the values of each job's inputs and outputs; ``evaluations``: the same of expressions and workflows, which
have no jobs; ``shared_values``: large values in them (``bindings.py``).
``requests``: resources that jobs asked for, as JSON."""

LATER_COLUMNS = {
    "started": "REAL",
    "place": "TEXT",
    "detail": "TEXT",
    "taken": "INTEGER",
    "submitted": "REAL",
    "requested": "INTEGER",
}
"""Columns of ``jobs`` that journals of earlier versions lack: since when an attempt runs, where, what the place itself
says of it, the last session that took its result instead of running it, when the last attempt was due, and what it
asked for (``requests``)."""
ATTEMPT_COLUMNS = {"submitted": "REAL", "requested": "INTEGER"}
"""Columns of ``attempts`` that journals of earlier versions lack, as in ``jobs``."""


class JournalError(StoreError):
    """The journal cannot be written or read."""


class Fenced(JournalError):
    """Another process owns the run now, and this one writes nothing more."""


def last_session(db: sqlite3.Connection) -> int:
    """The number of the last session; 0 if there is none."""
    return int(db.execute("SELECT coalesce(max(number), 0) FROM sessions").fetchone()[0])


def make(path: Path) -> None:
    """An empty journal, which is there whole or not at all."""
    unfinished = path.with_suffix(".new")
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    made = connect(unfinished)
    try:
        made.execute("PRAGMA synchronous=OFF")  # first: each statement of its own would wait for the disk
        made.execute("PRAGMA journal_mode=MEMORY")
        made.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        add_later(made)
        made.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))
        made.execute("PRAGMA journal_mode=WAL")  # last: on a full disk a log would be left behind without a word
    finally:
        made.close()
    unfinished.rename(path)


def add_later(db: sqlite3.Connection) -> None:
    """Add what the journal of an earlier version lacks."""
    db.executescript(f"BEGIN; {_LATER} COMMIT;")
    for table, later in (("jobs", LATER_COLUMNS), ("attempts", ATTEMPT_COLUMNS)):
        known = columns(db, table)
        for name, kind in later.items():
            if name not in known:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def connect(path: Path) -> sqlite3.Connection:
    """A connection that threads may share, with transactions begun and ended by hand."""
    return sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=64)


def columns(db: sqlite3.Connection, table: str) -> set[str]:
    """The names of a table's columns; none if it is not there."""
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def journal_error(error: Exception, path: Path) -> JournalError:
    """The message of SQLite or of the system, for people."""
    message = getattr(error, "strerror", None) or str(error)
    if "full" in message or "No space" in message or "disk I/O" in message:
        return JournalError(
            f"The journal {path} cannot be written: {message}",
            remedy="Free some space there, then run gridcwl resume: nothing that was recorded is lost.",
        )
    return JournalError(f"The journal {path} cannot be used: {message}", remedy="Is it damaged, or not yours to write?")


# -- what a shell completes: read without the rest of gridcwl ----------------------------------------------------------


def document_of(journal: Path) -> str:
    """The document of a run, as it was given; empty if none is recorded.

    Raises:
        JournalError: it cannot be read.
    """
    found = _column(journal, "SELECT value FROM meta WHERE name = 'document'")
    return found[0].strip('"') if found else ""


def steps_of(journal: Path) -> list[str]:
    """The names of the steps that have jobs.

    Raises:
        JournalError: it cannot be read.
    """
    return _column(journal, "SELECT DISTINCT step FROM jobs ORDER BY 1")


def _column(journal: Path, query: str) -> list[str]:
    try:
        with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as db:
            return [str(value) for (value,) in db.execute(query)]
    except sqlite3.Error as error:
        raise journal_error(error, journal) from None
