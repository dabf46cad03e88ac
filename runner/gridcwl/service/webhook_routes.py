"""The caller's webhooks: the routes below ``/api/v1/webhooks``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from gridcwl.service.credentials import body_of
from gridcwl.service.db import Viewer
from gridcwl.service.problems import BadRequest, Conflict, Forbidden, NotFound
from gridcwl.service.web import Service, check_may_submit, service_of, viewer_of
from gridcwl.service.webhooks import Webhooks
from gridcwl.service.wes import visible

router = APIRouter(prefix="/api/v1/webhooks", include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]


@router.get("")
def list_webhooks(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """The caller's webhooks, with what went wrong last."""
    return {"webhooks": [] if service.webhooks is None else service.webhooks.all_of(viewer.subject)}


@router.post("")
async def add_webhook(request: Request, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Make a webhook: ``{"url": ..., "run": ID or none for all runs, "states": [...] or none for all}``."""
    given = await body_of(request)
    url, run, states = given.get("url"), given.get("run"), given.get("states") or []
    fine = isinstance(url, str) and (run is None or isinstance(run, str)) and isinstance(states, list)
    if not fine or not all(isinstance(state, str) for state in states):
        raise BadRequest("The request takes url, run and states (a list of words)")
    return await asyncio.to_thread(add, service, viewer, str(url), run, states)


@router.delete("/{hook}")
def remove_webhook(hook: str, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """Remove a webhook, and what is still to be sent there."""
    if not viewer.changes_own:
        raise Forbidden("The API key allows to read only")
    if service.webhooks is None or not service.webhooks.remove(viewer.subject, hook):
        raise NotFound(f"You have no webhook {hook[:40]}")
    return {"id": hook}


@router.post("/{hook}/test")
def send_test(hook: str, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """Send a test at once; what went wrong, empty if nothing."""
    check_may_submit(viewer)
    problem = None if service.webhooks is None else service.webhooks.test(viewer.subject, hook)
    if problem is None:
        raise NotFound(f"You have no webhook {hook[:40]}")
    return {"id": hook, "problem": problem}


@router.get("/{hook}/deliveries")
def list_deliveries(hook: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """What became of the last deliveries, the latest first."""
    hooks = service.webhooks
    if hooks is None or hook not in [one["id"] for one in hooks.all_of(viewer.subject)]:
        raise NotFound(f"You have no webhook {hook[:40]}")
    return {"deliveries": hooks.attempts(viewer.subject, hook)}


def add(service: Service, viewer: Viewer, url: str, run: str | None, states: list[str]) -> dict[str, Any]:
    """Make a webhook; what is known of it, with its secret.

    Raises:
        Refused: the caller may not, or the service calls no such URL.
    """
    check_may_submit(viewer)
    hooks: Webhooks | None = service.webhooks
    if hooks is None:
        raise Conflict("This service calls no webhooks: its operator allows none by [webhooks] urls")
    if run is not None and visible(service, run, viewer).state.is_terminal:
        raise Conflict(f"The run {run} has ended")
    return hooks.add(viewer.subject, url, run, states)
