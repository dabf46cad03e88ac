"""The caller's schedules: the routes below ``/api/v1/schedules``."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from gridcwl.service import schedule_requests
from gridcwl.service.db import Viewer
from gridcwl.service.schedule_requests import ScheduleRequest
from gridcwl.service.stored_requests import store_request
from gridcwl.service.web import Service, service_of, viewer_of

router = APIRouter(prefix="/api/v1/schedules", include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]


@router.get("")
def list_schedules(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """The caller's schedules, each with its latest run."""
    return {"schedules": schedule_requests.shown(service, viewer)}


@router.post("")
async def add_schedule(request: Request, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Add a schedule: a WES RunRequest with templates, and the field ``schedule`` as JSON."""
    add = partial(schedule_requests.add, service, viewer)
    wanted, changed = await store_request(request, service, viewer, "schedule", ScheduleRequest, add)
    return {**await asyncio.to_thread(show_schedule, wanted.name, service, viewer), "changed": changed}


@router.get("/{name}")
def show_schedule(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """A schedule with its next times and its latest runs."""
    return schedule_requests.shown_whole(service, schedule_requests.found(service, viewer, name))


@router.post("/{name}/{action}")
def act(name: str, action: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """``pause``, ``resume``, ``run-now`` or ``rm``."""
    return schedule_requests.act(service, viewer, name, action)


@router.delete("/{name}")
def remove_schedule(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Remove a schedule; its runs stay."""
    return schedule_requests.act(service, viewer, name, "rm")
