"""The caller's productions: the routes below ``/api/v1/productions``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request

from gridcwl.service import production_requests
from gridcwl.service.db import Viewer
from gridcwl.service.production_requests import ProductionRequest
from gridcwl.service.stored_requests import store_request
from gridcwl.service.web import Service, service_of, viewer_of

router = APIRouter(prefix="/api/v1/productions", include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]


@router.get("")
def list_productions(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """The caller's productions, with their progress."""
    return {"productions": production_requests.shown(service, viewer)}


@router.post("")
async def create_production(request: Request, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Create a production: a WES RunRequest without the values of one input, and the field ``production`` as JSON."""
    create = partial(production_requests.create, service, viewer)
    wanted, _ = await store_request(request, service, viewer, "production", ProductionRequest, create)
    return await asyncio.to_thread(show_production, wanted.name, service, viewer)


@router.get("/{name}")
def show_production(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """A production with its portions, and what failed."""
    return production_requests.shown_whole(service, production_requests.found(service, viewer, name))


@router.post("/{name}/{action}")
def act(
    name: str, action: str, service: _Service, viewer: _Viewer, given: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, Any]:
    """``extend``, ``retry``, ``stop`` or ``rm``."""
    return production_requests.act(service, viewer, name, action, given)


@router.delete("/{name}")
def remove_production(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Remove a production; its runs stay."""
    return production_requests.act(service, viewer, name, "rm")
