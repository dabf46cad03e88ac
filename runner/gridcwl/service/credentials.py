"""The caller's credentials for runs: the routes below ``/api/v1/credentials``. What is given is never given back."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from gridcwl.service.db import Viewer
from gridcwl.service.problems import BadRequest, Conflict, Forbidden, NotFound, TooLarge
from gridcwl.service.web import Service, check_may_submit, service_of, viewer_of
from gridcwl.service.zooniverse_exports import KIND

router = APIRouter(prefix="/api/v1/credentials", include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]
_MOST_BYTES = 256 << 10


@router.get("")
def list_credentials(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """What the caller has here, without the secrets; what runs need, and why they wait."""
    if service.vault is None or service.owners is None:
        return {"needed": [], "optional": [], "credentials": [], "waits": ""}
    stored = service.vault.all_of(viewer.subject)
    waits = service.owners.lacking(viewer.subject)
    optional = [KIND] if service.settings.zooniverse is not None else []
    return {
        **{"needed": list(service.owners.needed), "optional": optional},
        **{"credentials": [one.shown() for one in stored], "waits": waits},
    }


@router.put("/{kind}")
async def put_credential(kind: str, request: Request, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Keep a proxy or a token for the caller's runs: ``{"text": ..., "account": ...}``."""
    given = await body_of(request)
    return await asyncio.to_thread(put, service, viewer, kind, given)


@router.delete("/{kind}")
def remove_credential(kind: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Forget one: runs that are active keep it until they have ended."""
    if not viewer.changes_own:
        raise Forbidden("The API key allows to read only")
    if service.vault is None or not service.vault.remove(viewer.subject, kind):
        raise NotFound(f"There are no credentials of the kind {kind[:40]}")
    return {"kind": kind}


def put(service: Service, viewer: Viewer, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """Keep a credential; what is shown of it.

    Raises:
        Refused: the caller may not, it is none, or nothing uses it.
    """
    from gridcwl.service import uploads

    check_may_submit(viewer)

    if service.vault is None:
        raise Conflict("This service uses no credentials of users: all runs use those of the service")
    text, account = given.get("text"), given.get("account") or ""
    if not isinstance(text, str) or not isinstance(account, str):
        raise BadRequest("The request takes text and account")
    if kind == KIND and service.settings.zooniverse is None:
        raise Conflict("This service fetches no exports of Zooniverse")
    stored = uploads.read(kind, text, account, viewer.dirac_group)
    service.vault.put(viewer.subject, stored)
    service.driver.wake()
    found = service.vault.get(viewer.subject, stored.kind)
    return {} if found is None else found.shown()


async def body_of(request: Request) -> dict[str, Any]:
    """A JSON object; no part of it is in any message."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BYTES:
            raise TooLarge("The request has too many bytes")
    import json

    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise BadRequest("The request is no JSON object")
    return given
