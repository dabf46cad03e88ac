"""The caller's productions: the routes below ``/api/v1/productions``."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request

from gridcwl.service import production_requests, submission
from gridcwl.service.db import Viewer
from gridcwl.service.problems import Forbidden, NotFound
from gridcwl.service.submitting import parted
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
    if not viewer.may_submit:
        raise Forbidden("The token does not allow to submit runs")
    folder = service.folder.run(f"kept-{secrets.token_hex(8)}")
    async with service.uploading:
        fields, uploads, form = await parted(request, service, "production")
        try:
            wanted = production_requests.wanted_of(fields.pop("production", None))
            folder.path.mkdir(mode=0o700)
            await asyncio.to_thread(submission.save_attachments, uploads, folder.files)
            await asyncio.to_thread(production_requests.create, service, viewer, wanted, fields, folder)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)
            raise
        finally:
            await form.close()
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
    if action not in production_requests.ACTIONS:
        raise NotFound(f"There is no action {action[:40]}: there are {', '.join(production_requests.ACTIONS)}")
    return production_requests.act(service, viewer, name, action, given)


@router.delete("/{name}")
def remove_production(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Remove a production; its runs stay."""
    return production_requests.act(service, viewer, name, "rm")
