"""What gridcwl has put into output folders: by this a run knows which files it may replace.

One database for all runs of a user, in the state folder. A file counts as gridcwl's as long as it looks as it did when
it was moved into place (inode, size and time), or has the same bytes; what was edited since is the user's.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gridcwl.model.chunks import chunks
from gridcwl.runs.record.journal_file import connect, journal_error
from gridcwl.stores.transaction import Moved

_SCHEMA = """
CREATE TABLE IF NOT EXISTS folders (id INTEGER PRIMARY KEY, path BLOB UNIQUE);
CREATE TABLE IF NOT EXISTS publications (id INTEGER PRIMARY KEY, run TEXT, document TEXT, at REAL);
CREATE TABLE IF NOT EXISTS files (folder INTEGER, name BLOB, publication INTEGER, size INTEGER, inode INTEGER,
                                  mtime INTEGER, sha1 TEXT, PRIMARY KEY (folder, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (folder INTEGER, run TEXT, names TEXT, PRIMARY KEY (folder, run)) WITHOUT ROWID;
"""
_AT_ONCE = 500  # SQLite before 3.32 takes 999 values in a statement
_INODES = (1 << 63) - 1
_FILE = """SELECT p.run, p.document, p.at, f.size, f.inode, f.mtime, f.sha1, f.name FROM files f
           JOIN publications p ON p.id = f.publication WHERE f.folder = (SELECT id FROM folders WHERE path = ?)"""


class PublishedFile(NamedTuple):
    """A file that a run has put into a folder."""

    run: str
    document: str
    at: float
    """When, in seconds since 1970."""
    size: int
    inode: int
    mtime_ns: int
    sha1: str
    name: str

    def is_untouched(self, about: os.stat_result) -> bool:
        """Whether this is still the file that was put there."""
        return (about.st_size, about.st_ino & _INODES, about.st_mtime_ns) == (self.size, self.inode, self.mtime_ns)


class Published:
    """The database. Opened when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close it."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def find(self, folder: Path, names: Sequence[str]) -> dict[str, PublishedFile]:
        """Those files of these names in the folder that a run has put there, by name.

        Raises:
            JournalError: the database cannot be used.
        """
        if self._db is None and not self._path.exists():
            return {}
        found: dict[str, PublishedFile] = {}
        with self._used() as db:
            for some in chunks(names, _AT_ONCE):
                wanted = f"{_FILE} AND f.name IN ({','.join('?' * len(some))})"
                rows = db.execute(wanted, (os.fsencode(folder), *map(os.fsencode, some)))
                found.update((file.name, file) for file in map(_file, rows))
        return found

    def below(self, folder: Path, name: str) -> Iterator[PublishedFile]:
        """The files in a folder of this name within the folder. Raises as :meth:`find`."""
        first, last = os.fsencode(f"{name}/"), os.fsencode(f"{name}0")  # the character after /
        with self._used() as db:
            rows = db.execute(f"{_FILE} AND f.name > ? AND f.name < ?", (os.fsencode(folder), first, last)).fetchall()
        return map(_file, rows)

    def record(self, folder: Path, run: str, document: str, files: Sequence[Moved], sha1: Callable[[str], str]) -> None:
        """A run has put these files there. Raises as :meth:`find`."""
        with self._used() as db, _transaction(db):
            number = _folder(db, folder)
            publication = db.execute(
                "INSERT INTO publications (run, document, at) VALUES (?, ?, ?)", (run, document, time.time())
            ).lastrowid
            db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (number, os.fsencode(name), publication, size, inode & _INODES, mtime, sha1(name))
                    for name, size, inode, mtime in files
                ),
            )

    def claim(self, folder: Path, run: str, names: Iterable[str], is_alive: Callable[[str], bool]) -> dict[str, str]:
        """Claim names that a run is going to write; returns those that other runs at work have, and whose they are.

        Claims of runs that are not at work any more are void. Nothing is claimed where anything is returned. Raises as
        :meth:`find`.
        """
        wanted = set(names)
        with self._used() as db, _transaction(db):
            number = _folder(db, folder)
            taken: dict[str, str] = {}
            for other, text in db.execute("SELECT run, names FROM claims WHERE folder = ?", (number,)).fetchall():
                if other != run and not is_alive(other):
                    db.execute("DELETE FROM claims WHERE folder = ? AND run = ?", (number, other))
                elif other != run:
                    taken |= dict.fromkeys(wanted.intersection(json.loads(text)), other)
            if not taken:
                db.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (number, run, json.dumps(sorted(wanted))))
        return taken

    def release(self, run: str) -> None:
        """A run claims nothing any more. Raises as :meth:`find`."""
        if self._db is None:
            return
        with self._used() as db:
            db.execute("DELETE FROM claims WHERE run = ?", (run,))

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._db is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._db = connect(self._path)
                self._db.execute("PRAGMA synchronous=OFF")  # a lost record makes a run refuse, and never overwrite
                self._db.executescript(_SCHEMA)
            yield self._db
        except (sqlite3.Error, OSError) as error:
            raise journal_error(error, self._path) from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _folder(db: sqlite3.Connection, path: Path) -> int:
    db.execute("INSERT OR IGNORE INTO folders (path) VALUES (?)", (os.fsencode(path),))
    (number,) = db.execute("SELECT id FROM folders WHERE path = ?", (os.fsencode(path),)).fetchone()
    return int(number)


def _file(row: tuple[Any, ...]) -> PublishedFile:
    return PublishedFile._make((*row[:-1], os.fsdecode(row[-1])))
