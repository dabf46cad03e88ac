"""The record of the service's productions: tables of its database. Blocking.

One driver works on a production at a time, by the locks that runs have. The id of a portion's run is known before it
begins, so that whatever is killed, no portion runs twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Engine, delete, insert, select, update

from gridcwl.model import RunId
from gridcwl.productions.model import Portion, PortionState, Production
from gridcwl.service.db import locked_for_change
from gridcwl.service.problems import Conflict, NotFound
from gridcwl.service.schema import journals, portions, productions

MOST_PRODUCTIONS = 100
"""Of one user."""


def lock_of(production: str) -> str:
    """The name of the lock of whoever works on a production."""
    return f"production-{production}"


class ServiceProductions:
    """Implements ``gridcwl.productions.driver.ProductionRecord``; keys are ids."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, production: Production, made: Iterable[Portion], *, is_open: bool, stored: int = 0) -> None:
        """Add a production, with the size of what was attached.

        Raises:
            Conflict: its owner has one of this name, or too many.
        """
        with self._engine.begin() as connection:
            locked_for_change(connection, productions)
            query = select(productions.c.name).where(productions.c.owner == production.owner)
            mine = list(connection.execute(query).scalars())
            if production.name in mine:
                raise Conflict(f"You have a production {production.name} already: choose another name, or extend it")
            if len(mine) >= MOST_PRODUCTIONS:
                raise Conflict(f"You have {MOST_PRODUCTIONS} productions, the most that a user may have: remove one")
            body = msgspec.json.encode(production).decode()
            row = {"id": production.id, "owner": production.owner, "name": production.name, "body": body}
            connection.execute(insert(productions).values(**row, open=is_open, stopped=not is_open, stored=stored))
            _insert(connection, production.id, made)

    def extend(self, production: str, made: Iterable[Portion], *, is_open: bool) -> None:
        """Add portions."""
        with self._engine.begin() as connection:
            _insert(connection, production, made)
            if is_open:
                self._open(connection, production)

    def get(self, owner: str, name: str, *, by_id: bool = False) -> Production:
        """The production of a name; with ``by_id`` also anybody's of an id.

        Raises:
            NotFound: there is none.
        """
        found = self._rows(productions.c.owner == owner, productions.c.name == name)
        found = found or (self._rows(productions.c.id == name) if by_id else [])
        if not found:
            raise NotFound(f"There is no production {name[:80]}")
        return found[0]

    def of(self, owner: str | None) -> list[Production]:
        """The productions of a user, or with None of all, by name."""
        return self._rows() if owner is None else self._rows(productions.c.owner == owner)

    def open(self) -> list[Production]:
        """Productions of which something is to be done."""
        return self._rows(productions.c.open.is_(True))

    def portions(self, name: str) -> list[Portion]:
        """The portions of a production, in their order."""
        query = select(portions).where(portions.c.production == name).order_by(portions.c.number)
        with self._engine.connect() as connection:
            return [
                Portion(
                    *(row.number, tuple(row.items), RunId(row.run), PortionState(row.state)),
                    *(row.tries, row.message, row.failed),
                )
                for row in connection.execute(query)
            ]

    def update(self, name: str, portion: Portion, state: PortionState, **fields: Any) -> Portion:
        """Change how a portion stands; returns it."""
        made = replace(portion, state=state, **fields)
        query = update(portions).where(portions.c.production == name, portions.c.number == portion.number)
        values = {"state": made.state, "tries": made.tries, "message": made.message, "failed": made.failed}
        with self._engine.begin() as connection:
            connection.execute(query.values(**values))
        return made

    def is_stopped(self, name: str) -> bool:
        """Whether a production is to stop."""
        with self._engine.connect() as connection:
            return bool(connection.execute(select(productions.c.stopped).where(productions.c.id == name)).scalar())

    def stop(self, production: str) -> None:
        """Let a production stop."""
        self._set(production, stopped=True, open=True)

    def close(self, production: str) -> None:
        """Nothing is to be done until its user wants something."""
        self._set(production, open=False)

    def reopen(self, production: str) -> None:
        """Something is to be done."""
        self._set(production, open=True)

    def retry(self, production: str) -> None:
        """Let the failed and stopped part be submitted again."""
        ended = (PortionState.FAILED, PortionState.STOPPED)
        with self._engine.begin() as connection:
            where = (portions.c.production == production, portions.c.state.in_(ended))
            connection.execute(update(portions).where(*where).values(state=PortionState.FAILED, tries=0))
            self._open(connection, production)

    def remove(self, production: str) -> None:
        """Remove a production; its runs stay."""
        with self._engine.begin() as connection:
            connection.execute(delete(portions).where(portions.c.production == production))
            connection.execute(delete(productions).where(productions.c.id == production))
            connection.execute(delete(journals).where(journals.c.engine == lock_of(production)))

    def _open(self, connection: Any, production: str) -> None:
        connection.execute(update(productions).where(productions.c.id == production).values(open=True, stopped=False))

    def _set(self, production: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(productions).where(productions.c.id == production).values(**values))

    def _rows(self, *where: Any) -> list[Production]:
        query = select(productions.c.body).where(*where).order_by(productions.c.name, productions.c.id)
        with self._engine.connect() as connection:
            return [msgspec.json.decode(body, type=Production) for body in connection.execute(query).scalars()]


def _insert(connection: Any, production: str, made: Iterable[Portion]) -> None:
    rows = [
        {"production": production, "number": one.number, "items": list(one.items), "run": one.run,
         "state": one.state, "tries": 0, "message": "", "failed": 0}
        for one in made
    ]  # fmt: skip
    if rows:
        connection.execute(insert(portions), rows)
