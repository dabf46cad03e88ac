"""Sessions of browsers that have logged in, in the database. Blocking.

A browser holds a random word in a cookie, the database its hash: whoever reads the database can be nobody. Tokens that
the issuer gave for the session are encrypted. Logging out ends it, on every machine of the service.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy import Engine, delete, select

from gridcwl.service.schema import sessions

_WORDS = 32


@dataclass(frozen=True, slots=True)
class Session:
    """Who has logged in."""

    owner: str
    groups: frozenset[str]
    scopes: frozenset[str]
    ends: float
    token: str = field(default="", repr=False)
    """The access token that the issuer gave."""
    token_ends: float = 0.0


class Sessions:
    """The table of sessions."""

    def __init__(self, engine: Engine, keys: MultiFernet) -> None:
        self._engine = engine
        self._keys = keys

    def begin(self, session: Session) -> str:
        """Keep a session; returns the word for its cookie."""
        word = secrets.token_urlsafe(_WORDS)
        about = {"groups": sorted(session.groups), "scopes": sorted(session.scopes), "token_ends": session.token_ends}
        sealed = self._keys.encrypt(json.dumps([hashed(word), session.token]).encode()).decode()
        now = time.time()
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.ends <= now))
            connection.execute(
                sessions.insert().values(
                    id=hashed(word), owner=session.owner, about=about, sealed=sealed, created=now, ends=session.ends
                )
            )
        return word

    def find(self, word: str) -> Session | None:
        """The session of a cookie; None if it has ended."""
        query = select(sessions).where(sessions.c.id == hashed(word), sessions.c.ends > time.time())
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        about: Mapping[str, Any] = row.about
        try:
            owner, token = json.loads(self._keys.decrypt(row.sealed.encode()))
        except (InvalidToken, ValueError):
            owner, token = "", ""
        if owner != row.id:
            token = ""
        groups, scopes = frozenset(about["groups"]), frozenset(about["scopes"])
        return Session(row.owner, groups, scopes, row.ends, token, about["token_ends"])

    def end(self, word: str) -> None:
        """Log out."""
        with self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.id == hashed(word)))


def hashed(word: str) -> str:
    """What the database holds of a random word: there is nothing to guess, so a plain hash is enough."""
    return hashlib.sha256(word.encode("utf-8", "replace")).hexdigest()
