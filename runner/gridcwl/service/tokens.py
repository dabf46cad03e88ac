"""Bearer tokens of OpenID Connect: whose they are, and what they allow.

A token is a JWT that the issuer has signed. Its keys are fetched from the issuer by discovery, and again when a token
names a key that is not among them: issuers replace their keys.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

from fastapi import Request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gridcwl.service.db import Viewer
from gridcwl.service.issuer import described
from gridcwl.service.problems import Forbidden, Unauthenticated
from gridcwl.service.settings import Authentication

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""All asymmetric: with a symmetric one, a public key would be taken for the secret."""
_KEEP_S = 600.0
_AGAIN_S = 10.0
"""Tokens with made-up keys do not have the issuer asked more often."""
_LONGEST = 16 * 1024
_PATIENCE_S = 10
_ASYMMETRIC = frozenset({"RSA", "EC", "OKP"})


class BearerTokens:
    """Implements ``gridcwl.service.web.Authenticator``."""

    def __init__(self, settings: Authentication) -> None:
        self._settings = settings
        self.instructions = settings.instructions_url or settings.issuer
        self._keys: KeySet | None = None
        self._fetched = -_KEEP_S
        self._lock = threading.Lock()

    async def viewer(self, request: Request) -> Viewer:
        """See ``Authenticator.viewer``.

        Raises:
            Unauthenticated: there is no token, or it is not valid.
            Forbidden: it is valid, and allows nothing here.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise _unauthenticated("The request has no bearer token")
        viewer = self.viewer_of(await asyncio.to_thread(self.claims, token.strip()))
        return replace(viewer, token=token.strip())

    def claims(self, token: str, audience: str = "") -> dict[str, Any]:
        """The claims of a token that is valid now.

        Args:
            token: a JWT.
            audience: whom it is for; empty for this service.

        Raises:
            Unauthenticated: it is not, or the issuer's keys are unavailable.
        """
        if len(token) > _LONGEST:
            raise _unauthenticated("The token is too long")
        settings = self._settings
        try:
            try:
                decoded = jwt.decode(token, self._key_set(_KEEP_S), algorithms=_ALGORITHMS)
            except (JoseError, ValueError):
                decoded = jwt.decode(token, self._key_set(_AGAIN_S), algorithms=_ALGORITHMS)
            registry = jwt.JWTClaimsRegistry(
                leeway=settings.clock_skew_s,
                iss={"essential": True, "value": settings.issuer},
                aud={"essential": True, "value": audience or settings.audience},
                exp={"essential": True},
                sub={"essential": True},
            )
            registry.validate(decoded.claims)
        except (JoseError, ValueError, TypeError) as error:
            reason = getattr(error, "description", "") or getattr(error, "error", "") or "it is no JSON Web Token"
            raise _unauthenticated(f"The token is not valid: {reason}") from None
        return dict(decoded.claims)

    def viewer_of(self, claims: dict[str, Any]) -> Viewer:
        """What the holder of a token may do.

        Raises:
            Forbidden: nothing.
        """
        settings = self._settings
        subject = claims.get(settings.name_claim) or claims["sub"]
        groups = frozenset(words(claims.get(settings.groups_claim)))
        return granted(settings, str(subject), groups, frozenset(words(claims.get("scope"))))

    def _key_set(self, most_s: float) -> KeySet:
        """The issuer's keys, at most so many seconds old."""
        with self._lock:
            if self._keys is None or time.monotonic() - self._fetched > most_s:
                try:
                    self._keys = _fetched(self._settings.issuer)
                    self._fetched = time.monotonic()
                except Exception as error:
                    if self._keys is None:
                        raise _unauthenticated("The keys of the token's issuer are unavailable") from error
            return self._keys


def granted(settings: Authentication, subject: str, groups: frozenset[str], scopes: frozenset[str]) -> Viewer:
    """What a user with these groups and scopes may do.

    Raises:
        Forbidden: nothing.
    """
    may: set[str] = {"read", "submit"}
    fitting = [role for role in settings.roles if role.scope in scopes or role.group in groups]
    if settings.roles:
        may = {word for role in fitting for word in role.may}
    if not may:
        raise Forbidden("The token allows nothing here: it has none of the scopes and groups that do")
    operates = bool(may & {"operate", "admin"})
    return Viewer(
        subject[:255],
        groups,
        sees_all=operates,
        may_submit=bool(may & {"submit", "admin"}),
        may_operate=operates,
        scopes=scopes,
        dirac_group=next((role.dirac_group for role in fitting if role.dirac_group), ""),
    )


def _fetched(issuer: str) -> KeySet:
    found = described(issuer)
    from gridcwl.cwl.anonymous import AnonymousSession

    answer = AnonymousSession().get(found["jwks_uri"], timeout=_PATIENCE_S)
    answer.raise_for_status()
    keys = [key for key in answer.json()["keys"] if key.get("kty") in _ASYMMETRIC]
    return KeySet.import_key_set({"keys": keys})


def words(value: Any) -> list[str]:
    """A claim that is a list of words, or a text of them."""
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []


def _unauthenticated(message: str) -> Unauthenticated:
    return Unauthenticated(message, {"WWW-Authenticate": 'Bearer realm="gridcwl"'})
