"""Credentials of users, encrypted in the database. Blocking.

Each row is encrypted with a key that the database does not hold (Fernet: AES-128-CBC and HMAC-SHA256), together with
whose it is: a row that somebody copies to another user does not decrypt there.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import IntegrityError

from gridcwl.errors import ConfigError
from gridcwl.service.schema import credentials

Kind: TypeAlias = Literal["proxy", "token", "zooniverse"]
KINDS: tuple[Kind, ...] = ("proxy", "token", "zooniverse")
NO_END = 1 << 37
"""When what does not end ends: in seconds since 1970, the year 6325."""
VARIABLE = "GRIDCWL_CREDENTIALS_KEY"
_LEASE_S = 120.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A credential of a user."""

    kind: Kind
    text: str = field(repr=False)
    """The proxy with its key, or the access token."""
    ends: float
    """In seconds since 1970."""
    about: str = ""
    """Whom it names: for people."""
    account: str = ""
    """At Rucio; empty for the user's name."""
    refresh: str = field(default="", repr=False)
    """What gets newer tokens."""
    changed: float = 0.0

    def has_ended(self) -> bool:
        """Whether its time is over."""
        return self.ends <= time.time()

    def shown(self) -> dict[str, Any]:
        """What its owner may see of it: all but the secrets."""
        return {
            **{"kind": self.kind, "about": self.about, "account": self.account, "ends": self.ends},
            "unlimited": self.ends >= NO_END,
            **{"renewed": bool(self.refresh), "changed": self.changed, "expired": self.has_ended()},
        }


class Vault:
    """The table of credentials."""

    def __init__(self, engine: Engine, keys: MultiFernet) -> None:
        self._engine = engine
        self._keys = keys

    def put(self, owner: str, stored: Stored) -> None:
        """Keep a credential, in place of the one of its kind."""
        values = self._row(owner, stored)
        where = (credentials.c.owner == owner, credentials.c.kind == stored.kind)
        for _ in range(2):
            with self._engine.begin() as connection:
                if connection.execute(update(credentials).where(*where).values(**values)).rowcount:
                    return
            try:
                with self._engine.begin() as connection:
                    connection.execute(credentials.insert().values(owner=owner, kind=stored.kind, **values))
                    return
            except IntegrityError:  # another request was quicker
                continue

    def get(self, owner: str, kind: str) -> Stored | None:
        """A user's credential; None if there is none, or it cannot be decrypted with the keys of now."""
        query = select(credentials).where(credentials.c.owner == owner, credentials.c.kind == kind)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else self._stored(owner, row)

    def all_of(self, owner: str) -> list[Stored]:
        """All of a user."""
        return [found for kind in KINDS if (found := self.get(owner, kind)) is not None]

    def remove(self, owner: str, kind: str) -> bool:
        """Forget a credential; False if there was none."""
        query = delete(credentials).where(credentials.c.owner == owner, credentials.c.kind == kind)
        with self._engine.begin() as connection:
            return bool(connection.execute(query).rowcount)

    def lease(self, owner: str, kind: str) -> bool:
        """Whether this process is the one that renews it now: a refresh token works once."""
        now = time.time()
        query = (
            update(credentials)
            .where(credentials.c.owner == owner, credentials.c.kind == kind, credentials.c.leased < now)
            .values(leased=now + _LEASE_S)
        )
        with self._engine.begin() as connection:
            return bool(connection.execute(query).rowcount)

    def _row(self, owner: str, stored: Stored) -> dict[str, Any]:
        secret = {
            **{"owner": owner, "kind": stored.kind, "text": stored.text, "refresh": stored.refresh},
            **{"about": stored.about, "account": stored.account, "ends": stored.ends},
        }
        sealed = self._keys.encrypt(json.dumps(secret).encode()).decode()
        return {"sealed": sealed, "ends": stored.ends, "changed": time.time(), "leased": 0.0}

    def _stored(self, owner: str, row: Any) -> Stored | None:
        try:
            found = json.loads(self._keys.decrypt(row.sealed.encode()))
        except (InvalidToken, ValueError):
            return None
        if found.pop("owner", None) != owner or found.get("kind") != row.kind:
            return None
        return replace(Stored(**found), changed=row.changed)


def keys_of(file: Path) -> MultiFernet:
    """The keys: of the environment's ``GRIDCWL_CREDENTIALS_KEY``, or of a file, which is made if it is not there.

    The first one encrypts; all of them decrypt, so that a new one can be put before the others.

    Raises:
        ConfigError: the file cannot be read, others can read it, or it holds no keys.
    """
    text = os.environ.get(VARIABLE, "")
    where = VARIABLE
    if not text:
        where = str(file)
        try:
            if not file.exists():
                _write_key(file)
            if file.stat().st_mode & 0o077:
                raise ConfigError(f"Others can read the keys of credentials in {file}", remedy=f"chmod 600 {file}")
            text = file.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The keys of credentials in {file} cannot be read: {error}") from None
    words = text.replace(",", " ").split()
    try:
        return MultiFernet([Fernet(word) for word in words])
    except ValueError:
        raise ConfigError(
            f"{where} holds no keys for credentials",
            remedy="Each is 32 random bytes in URL-safe base64: openssl rand -base64 32 | tr +/ -_",
        ) from None


def _write_key(file: Path) -> None:
    new = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(Fernet.generate_key() + b"\n")
    try:
        with suppress(FileExistsError):  # another process of the service was quicker
            file.hardlink_to(new)
    finally:
        new.unlink()
