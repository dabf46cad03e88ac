"""A journal to read from: opening it, and what it has of the run itself. Queries on its jobs are in ``history.py``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gridcwl.runs.record.journal_check import damaged_journal, find_damage, is_session, is_well_formed, missing_part
from gridcwl.runs.record.journal_file import FORMAT, LATER_COLUMNS, JournalError, columns, connect, journal_error
from gridcwl.runs.record.journal_rows import SessionRow

_JOB = ("id", "session", "step", "name", "job", "key", "outcome", "attempt", "reused", *LATER_COLUMNS)


class JournalReader:
    """A journal to read from, also while another process writes it."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            JournalError: it is not there, is damaged, or was written by a later version.
        """
        if not path.is_file():
            raise JournalError(
                f"The run {path.parent.name} failed before it started: {path} is missing",
                remedy="gridcwl rm removes it; start it again.",
            )
        self._path = path
        try:
            self._db = connect(path)
            written = self.meta("format")
            known = columns(self._db, "jobs")
            missing = missing_part(self._db, known) if written == FORMAT else ""
            self._job = ", ".join(name if name in known else f"NULL AS {name}" for name in _JOB)
            self._has = {name for name in ("failures", "skipped", "bindings") if columns(self._db, name)}
        except (sqlite3.Error, UnicodeDecodeError) as error:
            found = find_damage(path)
            raise (damaged_journal(path, found) if found else journal_error(error, path)) from error
        if missing or written is None:
            raise damaged_journal(path, missing or "it has no format number")
        if written != FORMAT:
            raise JournalError(
                f"The journal {path} is of format {written}, and this version reads format {FORMAT}",
                remedy="Use the version of gridcwl that wrote it.",
            )

    def current_status(self) -> str:
        """How the last session ended; ``running`` if it has not."""
        row = self._db.execute("SELECT status FROM sessions ORDER BY number DESC LIMIT 1").fetchone()
        return "" if row is None else str(row[0])

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def meta(self, name: str) -> Any:
        """What the run is, by name; None for what was not kept.

        Raises:
            JournalError: it is damaged.
        """
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        if row is None:
            return None
        try:
            value = json.loads(row[0] or self._in_pieces(name))
        except (ValueError, TypeError, RecursionError) as error:
            raise damaged_journal(self._path, f"its entry {name} is not JSON") from error
        if not is_well_formed(name, value):
            raise damaged_journal(self._path, f"its entry {name} has a wrong form")
        return value

    def _in_pieces(self, name: str) -> str:
        pieces = self._db.execute("SELECT text FROM pieces WHERE name=? ORDER BY number", (name,))
        return "".join(text for (text,) in pieces)

    def documents(self) -> list[tuple[str, str]]:
        """The files that the document consists of: path and SHA-256."""
        return self._db.execute("SELECT path, sha256 FROM documents ORDER BY path").fetchall()

    def sessions(self) -> list[SessionRow]:
        """All clients that worked on it."""
        rows = self._db.execute(
            "SELECT number, pid, pid_started, host, started, ended, status, message FROM sessions ORDER BY number"
        )
        found = [SessionRow(*row) for row in rows]
        if not all(map(is_session, found)):
            raise damaged_journal(self._path, "the table sessions has a value of a wrong type")
        return found

    def version(self) -> str:
        """The version of gridcwl that worked on it last."""
        row = self._db.execute("SELECT version FROM sessions ORDER BY number DESC LIMIT 1").fetchone()
        return "" if row is None else str(row[0])

    def events(self, last: int = 100) -> list[tuple[float, int, str, str]]:
        """The last things that happened, in their order."""
        rows = self._db.execute(
            "SELECT at, session, kind, text FROM events ORDER BY rowid DESC LIMIT ?", (last,)
        ).fetchall()
        return rows[::-1]

    def document_texts(self) -> Iterator[tuple[str, bytes]]:
        """The files that the document consists of: path and text, as they were when the run read them."""
        yield from self._db.execute("SELECT path, text FROM documents ORDER BY path")
