"""The caller's schedules: the routes below ``/api/v1/schedules``."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from gridcwl.service import schedule_requests, submission
from gridcwl.service.db import Viewer
from gridcwl.service.problems import Forbidden, NotFound
from gridcwl.service.submitting import parted
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
    if not viewer.may_submit:
        raise Forbidden("The token does not allow to submit runs")
    folder = service.folder.run(f"kept-{secrets.token_hex(8)}")
    async with service.uploading:
        fields, uploads, form = await parted(request, service, "schedule")
        try:
            wanted = schedule_requests.wanted_of(fields.pop("schedule", None))
            folder.path.mkdir(mode=0o700)
            await asyncio.to_thread(submission.save_attachments, uploads, folder.files)
            changed = await asyncio.to_thread(schedule_requests.add, service, viewer, wanted, fields, folder)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)
            raise
        finally:
            await form.close()
    return {**await asyncio.to_thread(show_schedule, wanted.name, service, viewer), "changed": changed}


@router.get("/{name}")
def show_schedule(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """A schedule with its next times and its latest runs."""
    return schedule_requests.shown_whole(service, schedule_requests.found(service, viewer, name))


@router.post("/{name}/{action}")
def act(name: str, action: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """``pause``, ``resume``, ``run-now`` or ``rm``."""
    if action not in schedule_requests.ACTIONS:
        raise NotFound(f"There is no action {action[:40]}: there are {', '.join(schedule_requests.ACTIONS)}")
    return schedule_requests.act(service, viewer, name, action)


@router.delete("/{name}")
def remove_schedule(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Remove a schedule; its runs stay."""
    return schedule_requests.act(service, viewer, name, "rm")
