"""The issuer of tokens as the service's OAuth client sees it: token exchange (RFC 8693), renewal. Blocking.

No token is in any message, nor in the text of any value here.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridcwl import imports
from gridcwl.errors import ConfigError, StoreError
from gridcwl.service.settings import Authentication

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  the name of a kind
_PATIENCE_S = 20
_KEEP_S = 600.0
_LIFETIME_S = 300.0
"""Of tokens of which the issuer does not tell."""
_LONGEST = 200


class IssuerProblem(StoreError):
    """The issuer refuses, or does not answer.

    Attributes:
        final: it refuses, and will again: a refresh token that is spent or was revoked.
    """

    def __init__(self, message: str, *, final: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.final = final
        self.code = code
        """OAuth's: ``invalid_grant``, ``authorization_pending`` ..."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave."""

    access: str = field(repr=False)
    ends: float
    """Of the access token, in seconds since 1970."""
    refresh: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    """The ID token."""
    scope: str = ""


class Issuer:
    """An OpenID provider; its endpoints are found by discovery. For many threads."""

    def __init__(self, settings: Authentication) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            ConfigError: the client's secret cannot be read.
        """
        self.url = settings.issuer
        self.client_id = settings.client_id
        self._secret = _secret(settings.client_secret_file)
        self._lock = threading.Lock()
        self._described: dict[str, Any] = {}
        self._fetched = -_KEEP_S

    def described(self) -> dict[str, Any]:
        """What discovery tells.

        Raises:
            IssuerProblem: it cannot be fetched, or is another issuer's.
        """
        with self._lock:
            if not self._described or time.monotonic() - self._fetched > _KEEP_S:
                try:
                    self._described, self._fetched = described(self.url), time.monotonic()
                except Exception as error:
                    if not self._described:
                        raise IssuerProblem(f"The issuer {self.url} does not answer") from error
            return self._described

    def exchange(self, token: str, audience: str, scope: str) -> Tokens:
        """A token for other services in the name of whom this one is of.

        Raises:
            IssuerProblem: the issuer refuses.
        """
        asked = {"subject_token": token, "subject_token_type": _ACCESS_TOKEN, "requested_token_type": _ACCESS_TOKEN}
        wanted = {name: value for name, value in (("audience", audience), ("scope", scope)) if value}
        return self.fetch(_EXCHANGE, **asked, **wanted)

    def renew(self, refresh: str) -> Tokens:
        """Newer tokens; the refresh token stays if the issuer gives no other.

        Raises:
            IssuerProblem: the issuer refuses.
        """
        made = self.fetch("refresh_token", refresh_token=refresh)
        return made if made.refresh else replace(made, refresh=refresh)

    def fetch(self, grant: str, **asked: str) -> Tokens:
        """What the token endpoint answers to a grant.

        Raises:
            IssuerProblem: the issuer refuses, or does not answer.
        """
        endpoint = str(self.described().get("token_endpoint", ""))
        answer = self.post(endpoint, grant, **asked)
        access = answer.get("access_token")
        if not isinstance(access, str) or not access:
            raise IssuerProblem(f"The issuer {self.url} answers without a token")
        lasts = answer.get("expires_in")
        seconds = float(lasts) if isinstance(lasts, int | float | str) and str(lasts).isdigit() else _LIFETIME_S
        others = (str(answer.get(name) or "") for name in ("refresh_token", "id_token", "scope"))
        return Tokens(access, time.time() + seconds, *others)

    def post(self, endpoint: str, grant: str, **asked: str) -> dict[str, Any]:
        """Send a grant as the service's client; the answer.

        Raises:
            IssuerProblem: the issuer refuses, or does not answer.
        """
        imports.require("authlib", "gridcwl serve")
        imports.load("requests")
        import requests
        from authlib.common.errors import AuthlibBaseError
        from authlib.integrations.requests_client import OAuth2Session

        method = "client_secret_basic" if self._secret else "none"
        with OAuth2Session(self.client_id, self._secret or None, token_endpoint_auth_method=method) as session:
            try:
                return dict(session.fetch_token(endpoint, grant_type=grant, timeout=_PATIENCE_S, **asked))
            except AuthlibBaseError as error:
                about = f"{error.error}: {error.description}" if error.description else str(error.error)
                raise IssuerProblem(
                    f"The issuer {self.url} refuses ({about[:_LONGEST]})", final=True, code=str(error.error)
                ) from None
            except (requests.RequestException, ValueError):
                raise IssuerProblem(f"The issuer {self.url} does not answer") from None


def described(issuer: str) -> dict[str, Any]:
    """What an issuer's discovery document holds.

    Raises:
        ValueError: it describes another issuer.
        RequestException: it cannot be fetched.
    """
    imports.load("requests")
    from gridcwl.cwl.anonymous import AnonymousSession

    answer = AnonymousSession().get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", timeout=_PATIENCE_S)
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict) or str(found.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        raise ValueError("the issuer describes another one")
    return found


def _secret(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"auth.client_secret_file, {file}, cannot be read: {error}") from None
