"""DiracX's tokens: the file that ``dirac login`` leaves, renewed before they end, as DiracX's own client does it."""

from __future__ import annotations

import base64
import fcntl
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridcwl.backends.dirac.problems import DiracCredential, DiracUnreachable

log = logging.getLogger("gridcwl.backends.dirac")

Renew = Callable[[str], Mapping[str, Any]]
"""Gives new tokens for a refresh token, as OAuth's token endpoint answers."""

_MARGIN_S = 300.0
"""A token that ends within this is renewed."""
_GRACE_S = 15
"""DiracX's client writes that a token ends so much earlier than it does."""


@dataclass(frozen=True, slots=True)
class DiracxTokens:
    """What the file holds. Never shown: neither of them is in any text of ours."""

    access: str
    refresh: str | None
    ends: float
    """Of the access token, seconds since 1970."""

    def __repr__(self) -> str:
        return f"Tokens(ends={self.ends:.0f})"

    def claims(self) -> Mapping[str, Any]:
        """What the access token says of us."""
        return _claims(self.access)

    def last(self) -> float:
        """When even the refresh token has ended."""
        return max(self.ends, float(_claims(self.refresh).get("exp", 0)) if self.refresh else 0.0)


class TokenFile:
    """The tokens of one user. For many threads, and beside DiracX's own client."""

    def __init__(self, path: Path, renew: Renew) -> None:
        self._path = path
        self._renew = renew
        self._lock = threading.Lock()
        self._known: DiracxTokens | None = None
        self._warned = False

    def access(self) -> str:
        """An access token that is good for a while.

        Raises:
            DiracCredential: there is none, and none can be fetched.
            DiracUnreachable: it has ended, and DiracX does not answer.
        """
        with self._lock:
            if self._known is None or not _good(self._known):
                self._known = self._fresh()
            return self._known.access

    def forget(self) -> None:
        """DiracX does not take the token that we know: the file may have another."""
        with self._lock:
            self._known = None

    def now(self) -> DiracxTokens:
        """What the file holds, nothing asked.

        Raises:
            DiracCredential: it holds nothing that is still good.
        """
        try:
            tokens = _read(self._path.read_text("utf-8"))
        except FileNotFoundError:
            raise self._unusable("it is not there") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unusable(f"it cannot be read ({type(error).__name__})") from None
        if tokens.last() < time.time():
            raise self._unusable(f"the login ended at {datetime.fromtimestamp(tokens.last(), UTC):%Y-%m-%d %H:%M} UTC")
        return tokens

    def _fresh(self) -> DiracxTokens:
        tokens = self.now()
        self._see_that_it_is_private()
        if _good(tokens):
            return tokens
        with self._path.open("r+", encoding="utf-8") as file:
            # DiracX's client takes the same lock; whoever had it may have renewed.
            fcntl.flock(file, fcntl.LOCK_EX)
            tokens = _read(file.read())
            if _good(tokens):
                return tokens
            try:
                tokens = self._renewed(tokens)
            except DiracUnreachable:
                if tokens.ends > time.time():
                    return tokens
                raise
            os.fchmod(file.fileno(), 0o600)
            file.seek(0)
            file.truncate()
            file.write(_written(tokens))
            file.flush()
            os.fsync(file.fileno())
            return tokens

    def _renewed(self, tokens: DiracxTokens) -> DiracxTokens:
        if tokens.refresh is None:
            raise self._unusable("its token has ended and cannot be renewed")
        answer = self._renew(tokens.refresh)
        # A refresh token that may be used again is not answered with another one.
        refresh = answer.get("refresh_token") or tokens.refresh
        return DiracxTokens(
            str(answer["access_token"]), str(refresh), time.time() + float(answer["expires_in"]) - _GRACE_S
        )

    def _see_that_it_is_private(self) -> None:
        if not self._warned and self._path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            self._warned = True
            log.warning("%s can be read by others than you, and whoever has it is you to DiracX: chmod 600", self._path)

    def _unusable(self, why: str) -> DiracCredential:
        return DiracCredential(
            f"There are no tokens for DiracX in {self._path}: {why}",
            remedy="Log in: dirac login VO; DIRACX_CREDENTIALS_PATH names another file.",
        )


def _good(tokens: DiracxTokens) -> bool:
    return tokens.ends - time.time() > _MARGIN_S


def _read(text: str) -> DiracxTokens:
    found = json.loads(text)
    return DiracxTokens(str(found["access_token"]), found.get("refresh_token"), float(found["expires_on"]))


def _written(tokens: DiracxTokens) -> str:
    held = {"access_token": tokens.access, "refresh_token": tokens.refresh, "expires_on": int(tokens.ends)}
    return json.dumps(held)


def _claims(token: str) -> Mapping[str, Any]:
    """What a token says, which is not checked: that is the server's business."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
