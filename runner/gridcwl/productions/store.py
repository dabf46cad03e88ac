"""The record of productions: a SQLite database."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from gridcwl.errors import ConfigError
from gridcwl.model import RunId
from gridcwl.productions.model import Portion, PortionState, Production
from gridcwl.sqlite import SqliteStore
from gridcwl.suggest import did_you_mean

_SCHEMA = """
CREATE TABLE IF NOT EXISTS productions (
    name TEXT PRIMARY KEY, body TEXT NOT NULL, stopped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS portions (
    production TEXT NOT NULL, number INTEGER NOT NULL, items TEXT NOT NULL, run TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '',
    failed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (production, number));
"""


class ProductionStore(SqliteStore):
    """The database. A context manager."""

    WHAT = "productions"
    SCHEMA = _SCHEMA

    @contextmanager
    def driving(self, name: str) -> Iterator[None]:
        """Hold a production: one process drives it.

        Raises:
            ConfigError: another one does.
        """
        path = self.path.parent / f"{name}.lock"
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"Another process drives the production {name}", remedy=f"See gridcwl production status {name}."
                ) from None
            yield

    def create(self, production: Production, portions: Iterable[Portion]) -> None:
        """Add a production.

        Raises:
            ConfigError: there is one of this name.
        """
        with self.transaction():
            if self._database.execute("SELECT 1 FROM productions WHERE name = ?", (production.name,)).fetchone():
                raise ConfigError(
                    f"There is a production {production.name} already",
                    remedy=f"Choose another name, or: gridcwl production extend {production.name}",
                )
            self._database.execute(
                "INSERT INTO productions (name, body) VALUES (?, ?)",
                (production.name, msgspec.json.encode(production).decode()),
            )
            self._insert(production.name, portions)

    def extend(self, name: str, portions: Iterable[Portion]) -> None:
        """Add portions."""
        with self.transaction():
            self._insert(name, portions)

    def _insert(self, name: str, portions: Iterable[Portion]) -> None:
        self._database.executemany(
            "INSERT INTO portions (production, number, items, run, state) VALUES (?, ?, ?, ?, ?)",
            [(name, one.number, json.dumps(one.items), one.run, one.state) for one in portions],
        )

    def get(self, name: str) -> Production:
        """The production of a name.

        Raises:
            ConfigError: there is none.
        """
        row = self._database.execute("SELECT body FROM productions WHERE name = ?", (name,)).fetchone()
        if row is None:
            close = did_you_mean(name, [one.name for one in self.all()])
            raise ConfigError(
                f"There is no production {name}", remedy=f"{close} gridcwl production status lists them.".lstrip()
            )
        return msgspec.json.decode(row[0], type=Production)

    def all(self) -> list[Production]:
        """All productions by name."""
        rows = self._database.execute("SELECT body FROM productions ORDER BY name")
        return [msgspec.json.decode(row[0], type=Production) for row in rows]

    def portions(self, name: str) -> list[Portion]:
        """The portions of a production, in their order."""
        rows = self._database.execute(
            "SELECT number, items, run, state, tries, message, failed FROM portions WHERE production = ?"
            " ORDER BY number",
            (name,),
        )
        return [
            Portion(number, tuple(json.loads(items)), RunId(run), PortionState(state), tries, message, failed)
            for number, items, run, state, tries, message, failed in rows
        ]

    def update(self, name: str, portion: Portion, state: PortionState, **fields: Any) -> Portion:
        """Change how a portion stands; returns it."""
        made = replace(portion, state=state, **fields)
        with self.transaction():
            self._database.execute(
                "UPDATE portions SET state = ?, tries = ?, message = ?, failed = ? WHERE production = ? AND number = ?",
                (made.state, made.tries, made.message, made.failed, name, made.number),
            )
        return made

    def set_stopped(self, name: str, *, stopped: bool) -> None:
        """Let a production stop, or go on."""
        with self.transaction():
            self._database.execute("UPDATE productions SET stopped = ? WHERE name = ?", (stopped, name))

    def is_stopped(self, name: str) -> bool:
        """Whether a production is to stop."""
        return bool(self._database.execute("SELECT stopped FROM productions WHERE name = ?", (name,)).fetchone()[0])
