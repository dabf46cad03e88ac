"""A SQLite database of a user's own, which any number of processes share: opening, its version, transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from gridcwl.config import private_folder
from gridcwl.errors import StoreError

_PATIENCE_S = 30.0
"""How long one process waits for the transaction of another."""


class SqliteStore:
    """The database. A context manager; a derived class names its tables and adds what is done with them."""

    WHAT = ""
    """What is in it, for messages: "schedules"."""
    SCHEMA = ""
    """Statements that create the tables and indexes; each with ``IF NOT EXISTS``."""
    VERSION = 1

    def __init__(self, path: Path) -> None:
        """Open it; it is made if it is not there.

        Raises:
            StoreError: it cannot be opened, or a later gridcwl has written it.
        """
        self.path = path
        try:
            private_folder(path.parent)
            self._database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version > self.VERSION:
                raise StoreError(f"The {self.WHAT} in {path} are of a later version", remedy="Update gridcwl.")
            if version < self.VERSION:
                self._database.executescript(f"{self.SCHEMA} PRAGMA user_version = {self.VERSION};")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"The {self.WHAT} in {path} cannot be opened: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; one process at a time.

        Raises:
            StoreError: the database cannot be written.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"The {self.WHAT} in {self.path} cannot be written: {error}") from error
