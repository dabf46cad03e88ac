"""Logging in with a browser: OpenID Connect's authorization code flow with PKCE; and logging out.

For pages: a route that depends on ``gridcwl.service.web.viewer_of`` knows who has logged in, as with a bearer token;
``request.state.viewer`` is the same for templates, and ``request.state.session`` is there if a browser has logged in (a
page then offers a form that posts to ``/logout``). A route whose viewer is unknown raises ``Unauthenticated``; one of
the class ``PageRoute`` sends the browser to ``login_page(request)``. Forms need a token against other sites' forms:
``pages.rendering.Form`` compares a hidden field with a cookie. Requests with a session that change something are
refused in addition if another site's page has made them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import time
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from cryptography.fernet import InvalidToken
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from gridcwl.service.identities import COOKIE, Identities, cookie_name
from gridcwl.service.issuer import IssuerProblem
from gridcwl.service.pages.rendering import HEADERS, PageRoute, form_of, login_page, page
from gridcwl.service.problems import BadRequest, Forbidden, NotFound, Unauthenticated, Unavailable
from gridcwl.service.sessions import Session
from gridcwl.service.tokens import granted, words
from gridcwl.service.web import Service, public_url, service_of

__all__ = ["COOKIE", "login_page", "router"]

_PENDING = "gridcwl_login"
_PATIENCE_S = 600
"""For logging in at the issuer."""

router = APIRouter(include_in_schema=False, route_class=PageRoute)
_Service = Annotated[Service, Depends(service_of)]


@router.get("/login")
async def login(request: Request, service: _Service, next: str = "/") -> Response:
    """Send the browser to the issuer."""
    identities = _identities(service)
    issuer = identities.issuer
    assert issuer is not None
    try:
        endpoint = str((await asyncio.to_thread(issuer.described)).get("authorization_endpoint", ""))
    except IssuerProblem as error:
        raise Unavailable(f"{error.message}; try again later") from None
    verifier = secrets.token_urlsafe(48)
    pending = {
        **{"state": secrets.token_urlsafe(24), "nonce": secrets.token_urlsafe(24)},
        **{"verifier": verifier, "next": next if _is_local(next) else "/", "begun": time.time()},
    }
    digest = hashlib.sha256(verifier.encode()).digest()
    asked = {
        **{"response_type": "code", "client_id": issuer.client_id, "redirect_uri": _redirect_uri(request, service)},
        **{"scope": identities.settings.login_scope, "state": pending["state"], "nonce": pending["nonce"]},
        **{"code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="), "code_challenge_method": "S256"},
    }
    if identities.settings.login_audience:
        asked["audience"] = identities.settings.login_audience
    sign = "&" if "?" in endpoint else "?"
    answer = RedirectResponse(f"{endpoint}{sign}{urlencode(asked)}", HTTPStatus.SEE_OTHER, headers=HEADERS)
    sealed = identities.keys.encrypt(json.dumps(pending).encode()).decode()
    answer.set_cookie(
        _PENDING, sealed, _PATIENCE_S, path="/login", httponly=True, samesite="lax", secure=_is_https(request, service)
    )
    return answer


@router.get("/login/callback")
async def callback(
    request: Request, service: _Service, code: str = "", state: str = "", error: str = "", error_description: str = ""
) -> Response:
    """The browser comes back from the issuer."""
    identities = _identities(service)
    pending = _pending(request, identities)
    if not state or not secrets.compare_digest(pending["state"].encode(), state.encode("utf-8", "replace")):
        raise BadRequest("This login was not begun in this browser. Log in again")
    if error or not code:
        raise Forbidden(f"The issuer did not log you in: {(error_description or error or 'no code')[:200]}")
    redirect_uri = _redirect_uri(request, service)
    session = await asyncio.to_thread(_logged_in, identities, code, pending, redirect_uri)
    word = await asyncio.to_thread(identities.sessions.begin, session)
    answer = RedirectResponse(pending["next"], HTTPStatus.SEE_OTHER, headers=HEADERS)
    https = _is_https(request, service)
    seconds = max(1, int(session.ends - time.time()))
    # lax: the browser comes from the issuer's page, and would not send a strict one with its next request
    answer.set_cookie(cookie_name(https=https), word, seconds, path="/", httponly=True, samesite="lax", secure=https)
    answer.delete_cookie(_PENDING, path="/login")
    return answer


@router.post("/logout")
async def logout(request: Request, service: _Service, _form: Annotated[FormData, Depends(form_of)]) -> Response:
    """End the session."""
    identities = _identities(service)
    if word := identities.cookie(request):
        await asyncio.to_thread(identities.sessions.end, word)
    answer = page(request, "logged_out.html", may_submit=False)
    for https in (True, False):
        answer.delete_cookie(cookie_name(https=https), path="/", secure=https, httponly=True, samesite="lax")
    return answer


def _logged_in(identities: Identities, code: str, pending: dict[str, Any], redirect_uri: str) -> Session:
    """Exchange a code for tokens, and see whose they are.

    Raises:
        Refused: the issuer refuses, the tokens are not valid, or nothing is allowed.
    """
    issuer, settings = identities.issuer, identities.settings
    assert issuer is not None
    try:
        made = issuer.fetch(
            "authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=pending["verifier"]
        )
    except IssuerProblem as error:
        raise Forbidden(f"The issuer did not log you in: {error.message}") from None
    if not made.identity:
        raise Forbidden("The issuer gave no ID token: the scope of the login has to include openid")
    try:
        about = identities.tokens.claims(made.identity, audience=issuer.client_id)
    except Unauthenticated as error:
        raise Forbidden(f"The issuer's ID token is not accepted. {error.message}") from None
    if about.get("nonce") != pending["nonce"]:
        raise Forbidden("The ID token is of another login. Log in again")
    try:
        access = identities.tokens.claims(made.access)
    except Unauthenticated:  # opaque, or for somebody else: the ID token has to tell all
        access = {}
    if access and access.get("sub") != about.get("sub"):
        raise Forbidden("The issuer gave tokens of two users. Log in again")
    groups = frozenset(words(about.get(settings.groups_claim))) | frozenset(words(access.get(settings.groups_claim)))
    scopes = frozenset(words(access.get("scope"))) or frozenset(made.scope.split())
    name = str(about.get(settings.name_claim) or access.get(settings.name_claim) or about["sub"])[:255]
    granted(settings, name, groups, scopes)  # or there is nothing to log in for
    ends = time.time() + settings.session_hours * 3600
    return Session(name, groups, scopes, ends, made.access if access else "", made.ends)


def _pending(request: Request, identities: Identities) -> dict[str, Any]:
    try:
        data = identities.keys.decrypt(request.cookies.get(_PENDING, "").encode("utf-8", "replace"), ttl=_PATIENCE_S)
        found = json.loads(data)
    except (InvalidToken, ValueError):
        found = None
    if not isinstance(found, dict) or "verifier" not in found:
        raise BadRequest("The login took too long, or was begun in another browser. Log in again")
    return found


def _identities(service: Service) -> Identities:
    """How users are known.

    Raises:
        NotFound: nobody logs in here.
    """
    found = service.authenticator
    if not isinstance(found, Identities) or found.issuer is None:
        raise NotFound("This service has no login page: it needs client_id in [auth]")
    return found


def _is_local(path: str) -> bool:
    """Whether a path is one of this service, and nothing that a browser takes for another host's."""
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path


def _redirect_uri(request: Request, service: Service) -> str:
    return f"{public_url(request, service)}/login/callback"


def _is_https(request: Request, service: Service) -> bool:
    return public_url(request, service).startswith("https://")
