"""Who asks: by a bearer token of the issuer, by an API key, or by the session of a browser that has logged in."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from urllib.parse import urlsplit

from cryptography.fernet import MultiFernet
from fastapi import Request

from gridcwl.service.db import Viewer
from gridcwl.service.issuer import Issuer
from gridcwl.service.keys import ApiKeys
from gridcwl.service.problems import Forbidden, Unauthenticated
from gridcwl.service.sessions import Sessions
from gridcwl.service.settings import Authentication
from gridcwl.service.tokens import BearerTokens, granted

COOKIE = "gridcwl_session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Identities:
    """Implements ``gridcwl.service.web.Authenticator``."""

    def __init__(
        self, settings: Authentication, sessions: Sessions, api_keys: ApiKeys, keys: MultiFernet, issuer: Issuer | None
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            settings: of the operator.
            sessions: of browsers.
            api_keys: of machines.
            keys: encrypt what a browser keeps while it logs in.
            issuer: browsers log in there; None if they cannot.
        """
        self.settings = settings
        self.sessions = sessions
        self.api_keys = api_keys
        self.keys = keys
        self.issuer = issuer
        self.tokens = BearerTokens(settings)
        self.instructions = self.tokens.instructions

    async def viewer(self, request: Request) -> Viewer:
        """See ``Authenticator.viewer``.

        Raises:
            Unauthenticated: there is no token, key or session that is valid.
            Forbidden: it allows nothing here, or another site's page has made the request.
        """
        kind, _, word = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and ApiKeys.is_key(word.strip()):
            return await asyncio.to_thread(self.api_keys.viewer, word.strip(), self.settings)
        if kind or not (cookie := self.cookie(request)):
            return await self.tokens.viewer(request)
        found = await asyncio.to_thread(self.sessions.find, cookie)
        if found is None:
            raise Unauthenticated("The session has ended: log in again", {"WWW-Authenticate": 'Bearer realm="gridcwl"'})
        if request.method not in _SAFE:
            check_same_site(request)
        request.state.session = found
        viewer = granted(self.settings, found.owner, found.groups, found.scopes)
        return replace(viewer, token=found.token if found.token_ends > time.time() else "")

    def cookie(self, request: Request) -> str:
        """The word of a browser's session; empty if there is none."""
        return request.cookies.get(cookie_name(https=True), "") or request.cookies.get(COOKIE, "")


def cookie_name(*, https: bool) -> str:
    """Of a session. With the prefix, browsers take it from this very host by https only."""
    return f"__Host-{COOKIE}" if https else COOKIE


def check_same_site(request: Request) -> None:
    """Refuse a request that another site's page has made: the browser sends its cookie by itself.

    Raises:
        Forbidden: it did.
    """
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if fetched not in ("same-origin", "none") or foreign:
        raise Forbidden("A page of another site made this request")
