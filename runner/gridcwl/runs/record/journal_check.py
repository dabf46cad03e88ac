"""Checks of journals: what is damaged in one, as a message.

Little is checked while all is well. When reading a journal has raised what it should not, the journal is compared with
what journals are: if it is damaged, that is the reason, and otherwise the error is gridcwl's own.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Container, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.runs.record.journal_file import SCHEMA, JournalError, connect, journal_error

if TYPE_CHECKING:
    from gridcwl.runs.record.folder import RunFolder
    from gridcwl.runs.record.journal_rows import SessionRow

UNREADABLE = (
    *(sqlite3.Error, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError),
    MemoryError,
)
"""What reading a damaged journal raises. JSON that is none, and texts that are not UTF-8, are ValueErrors: sqlite3
raises them, too, where SQLite's message quotes such a text."""

_TEXT_OR_NONE = (str, type(None))
_META: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "working": (str,),
    "document": (str,),
    "words": (list,),
    "cwd": (str,),
    "stdin": _TEXT_OR_NONE,
    "options": (dict,),
    "inputs": (dict,),
    "found": (dict, type(None)),
    "fingerprint": (str,),
    "signals": (bool,),
    "progress": (dict, list),
    "summary": (dict,),
    "partial": (dict, type(None)),
    "outputs": (dict, type(None)),
    "rucio": (dict, type(None)),
}
"""What each entry of the table ``meta`` is."""
_TABLES = ("meta", "sessions", "documents", "commons", "jobs", "attempts", "moved", "events")
_JOB = ("id", "session", "step", "name", "key", "common", "own", "job", "outcome", "attempt", "reused")
_KINDS = {
    "INTEGER": ("integer", "null"),
    "REAL": ("real", "integer", "null"),
    "TEXT": ("text", "null"),
    "BLOB": ("blob", "text", "null"),
}
"""Types of columns, and what SQLite may have in them: it takes anything."""
_NEVER_NULL = {
    "meta": ("name", "value"),
    "sessions": ("number", "pid", "pid_started", "host", "started", "status", "message"),
    "jobs": ("id", "session", "step", "name", "key", "job", "attempt"),
    "attempts": ("job", "attempt", "outcome", "folder", "ended", "result"),
}
_NUMBERS = (int, float)
_COUNTS = ("total", "skipped", "failed", "blocked", "done", "running")


@contextmanager
def explained_damage(folder: RunFolder) -> Iterator[None]:
    """Raise JournalError for whatever the body raises because the run's journal is damaged."""
    try:
        yield
    except (*UNREADABLE, JournalError) as error:
        if isinstance(error, JournalError) and not isinstance(error.__cause__, UNREADABLE):
            raise
        if found := find_damage(folder.journal):
            raise damaged_journal(folder.journal, found) from error
        if isinstance(error, sqlite3.Error):
            raise journal_error(error, folder.journal) from error
        raise


def damaged_journal(path: Path, what: str) -> JournalError:
    """The error for a journal that is damaged."""
    run = path.parent.name
    return JournalError(
        f"The record of the run {run} is damaged: {what} ({path})",
        remedy=f"gridcwl rm {run} removes it; start the run again.",
    )


def find_damage(path: Path) -> str:
    """What is wrong with a journal, in words; empty if nothing is found."""
    try:
        if path.stat().st_size == 0:
            return "its journal is empty"
        with closing(connect(path)) as db:
            db.text_factory = bytes
            return next(_damages(db), "")
    except ValueError:
        return "its journal is no database that can be read"
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            return ""  # it is locked, or may not be read
        return f"its journal is no database that can be read: {error}"
    except OSError:
        return ""


def missing_part(db: sqlite3.Connection, columns: Container[str]) -> str:
    """What is missing that every journal has, a table or one of these columns of jobs; empty if nothing is."""
    known = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    tables = (f"the table {name} is missing" for name in _TABLES if name not in known)
    others = (f"the table jobs has no column {name}" for name in _JOB if name not in columns)
    return next(chain(tables, others), "")


def is_session(session: SessionRow) -> bool:
    """Whether the values of a session have their types."""
    return (
        isinstance(session.number, int)
        and isinstance(session.pid, int)
        and all(isinstance(number, _NUMBERS) for number in (session.pid_started, session.started))
        and (session.ended is None or isinstance(session.ended, _NUMBERS))
        and math.isfinite(session.started)
        and math.isfinite(session.ended or 0)
        and all(isinstance(text, str) for text in (session.host, session.status, session.message))
    )


def _damages(db: sqlite3.Connection) -> Iterator[str]:
    (checked,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if checked != b"ok":
        yield f"its journal is not whole: {checked.decode('utf-8', 'replace')}"
    for table, columns in _tables().items():
        known = {row[1].decode("utf-8", "replace") for row in db.execute(f'PRAGMA table_info("{table}")')}
        if not known:
            yield f"the table {table} is missing"
        for column, kind in columns.items():
            if column not in known:
                yield f"the table {table} has no column {column}"
            yield from _wrong_values(db, table, column, kind)
    yield from _wrong_meta(db)
    if not db.execute("SELECT 1 FROM sessions LIMIT 1").fetchone():
        yield "it has no session"


def _tables() -> dict[str, dict[str, str]]:
    """The tables of a journal: their columns, and the types of these."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {name: {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({name})")} for name in names}


def _wrong_values(db: sqlite3.Connection, table: str, column: str, kind: str) -> Iterator[str]:
    allowed = [name for name in _KINDS[kind] if name != "null" or column not in _NEVER_NULL.get(table, ())]
    marks = ",".join("?" * len(allowed))
    wrong = db.execute(
        f"SELECT typeof({column}) FROM {table} WHERE typeof({column}) NOT IN ({marks}) LIMIT 1",  # noqa: S608
        allowed,
    ).fetchone()
    if wrong:
        yield f"the column {column} of the table {table} has a value of type {wrong[0].decode()}"
    if kind == "REAL" and db.execute(f"SELECT 1 FROM {table} WHERE abs({column}) > 1e300 LIMIT 1").fetchone():  # noqa: S608
        yield f"the column {column} of the table {table} has a number that is not finite"
    if kind == "TEXT":
        for (text,) in db.execute(f"SELECT {column} FROM {table} WHERE typeof({column}) = 'text'"):  # noqa: S608
            if not _is_utf8(text):
                yield f"the column {column} of the table {table} has a text that is not UTF-8"
                return


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _wrong_meta(db: sqlite3.Connection) -> Iterator[str]:
    found: dict[str, Any] = {}
    for name, text in db.execute("SELECT name, value FROM meta").fetchall():
        entry = name.decode()
        try:
            found[entry] = json.loads(text or _in_pieces(db, entry))
        except (ValueError, RecursionError):
            yield f"its entry {entry} is not JSON"
    for entry, value in found.items():
        if not is_well_formed(entry, value):
            yield f"its entry {entry} has a wrong form"
    if "format" not in found:
        yield "it has no format number"


def _in_pieces(db: sqlite3.Connection, entry: str) -> bytes:
    rows = db.execute("SELECT text FROM pieces WHERE name=? ORDER BY number", (entry,))
    return b"".join(text for (text,) in rows)


def is_well_formed(entry: str, value: Any) -> bool:
    """Whether an entry of the table ``meta`` is of its type, and what is in it of theirs."""
    if not isinstance(value, _META.get(entry, (object,))):
        return False
    return value is None or entry not in _INNER or _INNER[entry](value)


def _is_summary(value: Any) -> bool:
    return all(isinstance(number, int) for number in value.values())


def _is_progress(value: Any) -> bool:
    steps = value.get("steps") if isinstance(value, dict) else value
    numbered = isinstance(value, list) or isinstance(value.get("session"), int)
    return numbered and isinstance(steps, list) and all(map(_is_step, steps))


def _is_step(step: Any) -> bool:
    return (
        isinstance(step, dict)
        and isinstance(step.get("step"), str)
        and all(step.get(name) is None or isinstance(step[name], _NUMBERS) for name in _COUNTS)
    )


def _is_options(value: Any) -> bool:
    parts = all(isinstance(value.get(name) or {}, dict) for name in ("grid", "store", "cwltool"))
    return parts and all(isinstance(value.get(name, ""), str) for name in ("outdir", "state_dir", "cache_dir"))


def _is_partial(value: Any) -> bool:
    return isinstance(value.get("outputs") or {}, dict) and isinstance(value.get("failed") or [], list)


def _is_rucio(value: Any) -> bool:
    return isinstance(value.get("container", ""), str) and isinstance(value.get("outputs", []), list)


_INNER: dict[str, Callable[[Any], bool]] = {
    "summary": _is_summary,
    "progress": _is_progress,
    "options": _is_options,
    "partial": _is_partial,
    "rucio": _is_rucio,
}
