"""How clients log in, and the caller's API keys: ``/api/v1/login`` and the routes below ``/api/v1/keys``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from gridcwl.service.credentials import body_of
from gridcwl.service.db import Viewer
from gridcwl.service.identities import Identities
from gridcwl.service.keys import ApiKeys
from gridcwl.service.problems import BadRequest, NotFound
from gridcwl.service.web import Service, service_of, viewer_of

router = APIRouter(prefix="/api/v1", include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]
_DEFAULT_DAYS = 90


@router.get("/login")
def how_to_log_in(service: _Service) -> dict[str, Any]:
    """Where ``gridcwl login`` gets a token: for anybody."""
    identities = _identities(service)
    settings = identities.settings
    if identities.issuer is None and not settings.cli_client_id:
        raise NotFound("This service has no login: it needs client_id in [auth]")
    return {
        **{"issuer": settings.issuer, "client_id": settings.cli_client_id or settings.client_id},
        **{"scope": f"{settings.login_scope} offline_access", "audience": settings.login_audience},
    }


@router.get("/keys")
def list_keys(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """The caller's keys, without the keys themselves."""
    return {"keys": _keys(service).all_of(viewer.subject)}


@router.post("/keys")
async def add_key(request: Request, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Make a key: ``{"name": ..., "may": [...], "days": ...}``. It is shown this once."""
    given = await body_of(request)
    name, may, days = given.get("name") or "", given.get("may") or ["read", "submit"], given.get("days", _DEFAULT_DAYS)
    fine = isinstance(name, str) and isinstance(may, list) and all(isinstance(word, str) for word in may)
    if not fine or isinstance(days, bool) or not isinstance(days, int | float):
        raise BadRequest("The request takes name, may (a list of words) and days")
    key, about = await asyncio.to_thread(_keys(service).add, viewer, name, may, days)
    return {"key": key, **about}


@router.delete("/keys/{key}")
def remove_key(key: str, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """Make a key invalid at once."""
    if not _keys(service).revoke(viewer, key):
        raise NotFound(f"You have no key {key[:40]}")
    return {"id": key}


def _identities(service: Service) -> Identities:
    found = service.authenticator
    assert isinstance(found, Identities)
    return found


def _keys(service: Service) -> ApiKeys:
    return _identities(service).api_keys
