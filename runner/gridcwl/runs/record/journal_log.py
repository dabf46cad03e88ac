"""The log of a journal: its changes, numbered, at a place that several machines reach; ``gridcwl serve`` has it.

A change is in the log before it is in the journal's file. The file is then the copy of this machine, which any machine
makes from the log: to read it, or to resume the run. The log refuses the changes of whoever no longer owns the run.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gridcwl.config import private_folder
from gridcwl.runs.record.journal_file import connect, journal_error, make

Change = tuple[str, tuple[Any, ...]]
"""A statement of the journal, and its values."""

_SYNCING = "journal.lock"
_DENIED = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})


class JournalLog(Protocol):
    """The changes of one run's journal."""

    def append(self, changes: Sequence[Change]) -> int:
        """Add changes; returns their number, which is one more than that of those before. No changes: the journal
        is empty again.

        Raises:
            Fenced: this process does not own the run any more.
            JournalError: they could not be added.
        """
        ...

    def after(self, number: int) -> Iterable[tuple[int, Sequence[Change]]]:
        """All changes with higher numbers, in their order.

        Raises:
            JournalError: they cannot be read.
        """
        ...

    def confirm(self) -> None:
        """See that this process still owns the run.

        Raises:
            Fenced: it does not.
            JournalError: that is not known.
        """
        ...


def encoded(changes: Sequence[Change]) -> bytes:
    """Changes as a log keeps them."""
    statements: dict[str, int] = {}
    rows = [(statements.setdefault(statement, len(statements)), values) for statement, values in changes]
    return zlib.compress(msgspec.msgpack.encode((list(statements), rows)), 1)


def decoded(data: bytes, places: Mapping[str, str]) -> list[Change]:
    """Changes as they were; folders of another machine, if there are any, as they are called here."""
    statements, rows = msgspec.msgpack.decode(zlib.decompress(data))
    return [(statements[number], tuple(_here(value, places) for value in values)) for number, values in rows]


def _here(value: Any, places: Mapping[str, str]) -> Any:
    for there, here in places.items():
        if isinstance(value, str):
            value = value.replace(there, here)
        elif isinstance(value, bytes):
            value = value.replace(os.fsencode(there), os.fsencode(here))
    return value


def bring_up_to_date(path: Path, log: JournalLog) -> None:
    """Make a file the copy of a log, or bring it up to date; nothing is made if the log is empty.

    Raises:
        JournalError: the log cannot be read, or the file not written.
    """
    try:
        if not path.is_file():
            if next(iter(log.after(0)), None) is None:
                return
            private_folder(path.parent)
        with _alone(path), ExitStack() as opened:
            copy = _Copy(path, opened)
            for number, changes in log.after(copy.number):
                copy.add(number, changes)
            copy.finish()
    except (sqlite3.Error, OSError) as error:
        raise journal_error(error, path) from error


class _Copy:
    """A journal's file that is being brought up to date."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        self._path = path
        self._opened = opened
        self._db = self._connected() if path.is_file() else None
        self.number = 0 if self._db is None else number_in(self._db)

    def add(self, number: int, changes: Sequence[Change]) -> None:
        """Put changes into it; none is the beginning of an empty journal."""
        if self._db is not None and not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
            self.number = number_in(self._db)
        if self._db is not None and number <= self.number:
            return  # who has written them has put them into the file meanwhile
        if not changes or self._db is None:
            self._renew()
        assert self._db is not None
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        apply(self._db, number, changes)
        self.number = number

    def finish(self) -> None:
        """Make what was added visible."""
        if self._db is not None and self._db.in_transaction:
            self._db.execute("COMMIT")

    def _renew(self) -> None:
        self._opened.close()
        for ending in ("", "-wal", "-shm"):
            Path(f"{self._path}{ending}").unlink(missing_ok=True)
        self._path.with_suffix(".new").unlink(missing_ok=True)  # of a process that was killed
        make(self._path)
        self._db = self._connected()

    def _connected(self) -> sqlite3.Connection:
        db = self._opened.enter_context(closing(connect(self._path)))
        db.execute("PRAGMA synchronous=OFF")  # the log has it all
        db.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action in _DENIED else sqlite3.SQLITE_OK)
        return db


def number_in(db: sqlite3.Connection) -> int:
    """The number of the last changes that a journal's file has."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def copied(path: Path) -> int:
    """The number of the last changes that the file at a path has; 0 if there is none, or if it cannot be read."""
    try:
        if path.is_file():
            with closing(connect(path)) as db:
                return number_in(db)
    except sqlite3.Error:
        pass
    return 0


def apply(db: sqlite3.Connection, number: int, changes: Iterable[Change]) -> None:
    """Put changes into a journal's file; in a transaction."""
    for statement, values in changes:
        db.execute(statement, values)
    db.execute(f"PRAGMA user_version={int(number)}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; others wait."""
    descriptor = os.open(path.parent / _SYNCING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
