"""GA4GH TES 1.1: the routes below ``/ga4gh/tes/v1``.

https://github.com/ga4gh/task-execution-schemas, version 1.1.0.
"""

from __future__ import annotations

import asyncio
from itertools import zip_longest
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Query, Request
from starlette.requests import ClientDisconnect

from gridcwl import __version__
from gridcwl.service import paging
from gridcwl.service.db import TASK_KIND, StoredRun, Viewer
from gridcwl.service.problems import BadRequest, Forbidden, NotFound, TooLarge
from gridcwl.service.states import State
from gridcwl.service.tes import request as requests
from gridcwl.service.tes import shown, tasks
from gridcwl.service.web import Service, service_of, viewer_of

PREFIX = "/ga4gh/tes/v1"
TES_VERSION = "1.1.0"
DEFAULT_PAGE = 256
MOST_PAGE = 2047
_LIST = "tasks"

router = APIRouter(prefix=PREFIX)

_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]
_Words = Annotated[list[str] | None, Query()]


@router.get("/service-info")
def service_info(service: _Service) -> dict[str, Any]:
    """What the service is, and what it supports."""
    settings = service.settings
    made: dict[str, Any] = {
        "id": f"{settings.id}.tes",
        "name": settings.name,
        "type": {"group": "org.ga4gh", "artifact": "tes", "version": TES_VERSION},
        "description": "Each task a job",
        "organization": {"name": settings.organization.name, "url": settings.organization.url},
        "documentationUrl": "https://gridcwl.readthedocs.io",
        "version": __version__,
        "storage": [
            *(root.as_uri() for root in settings.output_roots),
            *settings.output_urls,
            *(f"{scheme}://" for scheme in service.schemes),
        ],
        "tesResources_backend_parameters": list(requests.PARAMETERS),
    }
    if settings.contact_url:
        made["contactUrl"] = settings.contact_url
    return made


@router.get("/tasks")
def list_tasks(
    service: _Service,
    viewer: _Viewer,
    name_prefix: str = "",
    state: str | None = None,
    tag_key: _Words = None,
    tag_value: _Words = None,
    page_size: str | None = None,
    page_token: str | None = None,
    view: str = "MINIMAL",
) -> dict[str, Any]:
    """The tasks that the caller may see, the latest first."""
    size, shape = _size(page_size), _view(view)
    states = () if not state else (_state(state),)
    before = paging.position(page_token, _LIST)
    tags = _tags(tag_key or [], tag_value or [])
    found = service.db.page(
        viewer, size + 1, before, states, kind=TASK_KIND, name_prefix=name_prefix.replace("\0", ""), tags=tags
    )
    made: dict[str, Any] = {"tasks": [_shown(service, run, shape) for run in found[:size]]}
    if len(found) > size:
        made["next_page_token"] = paging.token(_LIST, found[size - 1].number)
    return made


@router.post("/tasks")
async def create_task(request: Request, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """Add a task to the queue."""
    if not viewer.may_submit:
        raise Forbidden("The token does not allow to submit tasks")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > requests.MOST_BYTES:
                raise TooLarge(f"The task has more than {requests.MOST_BYTES >> 20} MiB")
    except ClientDisconnect:
        raise BadRequest("The request has ended too early") from None
    return {"id": await asyncio.to_thread(tasks.create, service, viewer, bytes(body))}


@router.get("/tasks/{task_id}")
def get_task(task_id: str, service: _Service, viewer: _Viewer, view: str = "MINIMAL") -> dict[str, Any]:
    """One task."""
    shape = _view(view)
    return _shown(service, _visible(service, task_id, viewer), shape)


@router.post("/tasks/{task_id}:cancel")
def cancel_task(task_id: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Stop a task; one that has ended stays as it is."""
    run = _visible(service, task_id, viewer)
    if not viewer.may_change(run.owner):
        raise Forbidden(f"The task {run.id} belongs to somebody else, or the token may only read")
    service.driver.cancel(run.id)
    return {}


def _visible(service: Service, task: str, viewer: Viewer) -> StoredRun:
    run = service.db.get(task, viewer)
    if run is None or run.kind != TASK_KIND:
        raise NotFound(f"There is no task {task[:80]}")
    return run


def _shown(service: Service, run: StoredRun, view: shown.View) -> dict[str, Any]:
    return shown.minimal(run) if view == "MINIMAL" else shown.whole(run, service.folder.record(run.engine), view)


def _view(text: str) -> shown.View:
    for view in get_args(shown.View):
        if text in ("", view):
            return view  # type: ignore[no-any-return]
    raise BadRequest(f"view is {text[:80]!r}, but takes one of: {', '.join(get_args(shown.View))}")


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        raise BadRequest(f"state is {text[:80]!r}, but takes one of: {', '.join(State)}") from None


def _tags(keys: list[str], values: list[str]) -> dict[str, str]:
    """By key: the value, or an empty text for any value."""
    if len(values) > len(keys):
        raise BadRequest("There are more of tag_value than of tag_key")
    if any("\0" in text for text in (*keys, *values)):
        raise BadRequest("tag_key and tag_value contain a NUL character")
    return {str(key): value or "" for key, value in zip_longest(keys, values)}


def _size(text: str | None) -> int:
    if not text:
        return DEFAULT_PAGE
    plain = text.strip()
    if not plain.isascii() or not plain.isdigit() or not 1 <= int(plain[:20]) <= MOST_PAGE:
        raise BadRequest(f"page_size is {text[:80]!r}, but takes 1 to {MOST_PAGE}")
    return int(plain)
