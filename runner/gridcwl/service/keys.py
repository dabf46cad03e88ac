"""API keys, for machines that cannot log in. Blocking.

A key is shown once, when it is made; the database holds a hash of it. It allows no more than its owner might when it
was made, by the roles of now, and ends by itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, delete, func, select, update

from gridcwl.service.db import Viewer
from gridcwl.service.problems import BadRequest, Conflict, Forbidden, Unauthenticated
from gridcwl.service.schema import api_keys
from gridcwl.service.sessions import hashed
from gridcwl.service.settings import Authentication
from gridcwl.service.tokens import granted

PREFIX = "gridcwl_"
WORDS = ("read", "submit", "operate")
"""What a key may be limited to."""
MOST_DAYS = 366
MOST_KEYS = 100
_USED_EVERY_S = 60.0
_DAY_S = 86_400


class ApiKeys:
    """The table of API keys."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @staticmethod
    def is_key(word: str) -> bool:
        """Whether a bearer token is an API key."""
        return word.startswith(PREFIX)

    def add(self, viewer: Viewer, name: str, may: Sequence[str], days: float) -> tuple[str, dict[str, Any]]:
        """Make a key; returns it, and what is known of it.

        Raises:
            BadRequest: there is no such word in ``may``, or it would not end in time.
            Forbidden: the request came with a key.
            Conflict: the user has too many.
        """
        if viewer.key:
            raise Forbidden("An API key makes no others: log in")
        for word in may:
            if not viewer.may.get(word):
                raise BadRequest(f"A key of yours cannot have {word[:40]!r}: it takes what you may do yourself")
        if not may:
            raise BadRequest("A key needs at least one of read, submit and operate")
        if not 0 < days <= MOST_DAYS:
            raise BadRequest(f"A key ends after 1 to {MOST_DAYS} days")
        number, word = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = f"{PREFIX}{number}_{word}"
        now = time.time()
        row = {
            **{"id": number, "owner": viewer.subject, "name": name[:100], "hash": hashed(key), "may": sorted(set(may))},
            **{"about": {"groups": sorted(viewer.groups), "scopes": sorted(viewer.scopes)}, "created": now},
            "ends": now + days * _DAY_S,
        }
        with self._engine.begin() as connection:
            connection.execute(delete(api_keys).where(api_keys.c.ends < now - 30 * _DAY_S))
            count = select(func.count()).select_from(api_keys).where(api_keys.c.owner == viewer.subject)
            if connection.execute(count).scalar_one() >= MOST_KEYS:
                raise Conflict(f"You have {MOST_KEYS} keys, the most that a user may have: remove one")
            connection.execute(api_keys.insert().values(**row))
        return key, _shown(row | {"used": None})

    def all_of(self, owner: str) -> list[dict[str, Any]]:
        """The keys of a user, without the keys themselves."""
        query = select(api_keys).where(api_keys.c.owner == owner).order_by(api_keys.c.created)
        with self._engine.connect() as connection:
            return [_shown(dict(row._mapping)) for row in connection.execute(query)]

    def revoke(self, viewer: Viewer, number: str) -> bool:
        """Make a key invalid; False if the user has none of this id.

        Raises:
            Forbidden: the request came with another key.
        """
        if viewer.key and viewer.key != number:
            raise Forbidden("An API key revokes itself only: log in")
        query = delete(api_keys).where(api_keys.c.owner == viewer.subject, api_keys.c.id == number)
        with self._engine.begin() as connection:
            return bool(connection.execute(query).rowcount)

    def viewer(self, key: str, settings: Authentication) -> Viewer:
        """Whose a key is, and what it allows.

        Raises:
            Unauthenticated: it is none, has ended, or was removed.
            Forbidden: its owner's roles allow nothing any more.
        """
        now = time.time()
        query = select(api_keys).where(api_keys.c.hash == hashed(key), api_keys.c.ends > now)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise Unauthenticated(
                "The API key is not valid: it has ended or was removed", {"WWW-Authenticate": 'Bearer realm="gridcwl"'}
            )
        if row.used is None or now - row.used > _USED_EVERY_S:
            with self._engine.begin() as connection:
                connection.execute(update(api_keys).where(api_keys.c.id == row.id).values(used=now))
        viewer = granted(settings, row.owner, frozenset(row.about["groups"]), frozenset(row.about["scopes"]))
        operates = viewer.may_operate and "operate" in row.may
        return replace(
            viewer,
            may_submit=viewer.may_submit and "submit" in row.may,
            may_operate=operates,
            sees_all=viewer.sees_all and operates,
            key=row.id,
        )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    names = ("id", "name", "may", "created", "ends", "used")
    return {name: row[name] for name in names} | {"expired": row["ends"] <= time.time()}
