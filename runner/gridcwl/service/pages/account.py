"""What a user has at the service: usage and quotas, credentials, API keys, webhooks. Each part is a form of its own.

A new key and the secret of a new webhook are in the answer to the form, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import FormData, UploadFile

from gridcwl.service import credentials, quotas
from gridcwl.service.db import Viewer
from gridcwl.service.forms import form_of
from gridcwl.service.identities import Identities
from gridcwl.service.keys import ApiKeys
from gridcwl.service.pages.rendering import Form, PageRoute, TheService, TheViewer, checked, page, redirect
from gridcwl.service.problems import BadRequest, NotFound, Refused, TooLarge
from gridcwl.service.states import State
from gridcwl.service.uploads import MOST_BYTES
from gridcwl.service.web import Service

DAYS = (7, 30, 90, 365)
DONE = {
    "credential": "The credentials were stored. Runs that waited for them begin.",
    "no-credential": "The credentials were removed. Active runs keep them until they have ended.",
    "no-key": "The API key was revoked.",
    "no-webhook": "The webhook was removed.",
    "test": "The receiver accepted the test.",
    "test-failed": "The receiver did not accept the test: see the deliveries of the webhook.",
}
"""What a form has done, by the word in the query of the page that follows it."""
_MOST_FORM_BYTES = 2 * MOST_BYTES
_MOST_FIELDS = 20

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class Secret:
    """What is shown once."""

    what: str
    text: str


@router.get("/account")
def account_page(request: Request, service: TheService, viewer: TheViewer, done: str = "") -> Response:
    """All of it."""
    return _shown(request, service, viewer, notice=DONE.get(done, ""))


@router.post("/account/credentials/{kind}")
async def put_credential(request: Request, kind: str, service: TheService, viewer: TheViewer) -> Response:
    """Store a credential, in place of the one of its kind."""
    async with _small_form(request) as form:
        file = form.get("file")
        data = await file.read() if isinstance(file, UploadFile) else b""
        text = str(form.get("text") or "")
        account = str(form.get("account") or "").strip()
    given = {"text": data.decode("utf-8", "replace") or text, "account": account}
    if not given["text"].strip():
        problem: Refused = BadRequest(f"Choose the file of the {kind[:20]}, or paste its text")
        return await asyncio.to_thread(_shown, request, service, viewer, problem=problem)
    try:
        await asyncio.to_thread(credentials.put, service, viewer, kind, given)
    except Refused as refused:
        return await asyncio.to_thread(_shown, request, service, viewer, problem=refused)
    return _done("credential", "credentials")


@router.post("/account/credentials/{kind}/remove")
def remove_credential(kind: str, service: TheService, viewer: TheViewer, _form: Form) -> Response:
    """Forget a credential."""
    credentials.remove_credential(kind, service, viewer)
    return _done("no-credential", "credentials")


@router.post("/account/keys")
def add_key(request: Request, service: TheService, viewer: TheViewer, form: Form) -> Response:
    """Make an API key, and show it."""
    keys = _keys(service)
    if keys is None:
        raise NotFound("This service has no API keys: it has no login")
    name = str(form.get("name") or "").strip()
    days = str(form.get("days") or "")
    try:
        if not days.isascii() or not days.isdigit():
            raise BadRequest("The days of a key are a number")
        key, _ = keys.add(viewer, name, [str(word) for word in form.getlist("may")], int(days[:6]))
    except Refused as problem:
        return _shown(request, service, viewer, problem=problem)
    return _shown(request, service, viewer, secret=Secret(f"API key {name}".strip(), key))


@router.post("/account/keys/{key}/revoke")
def revoke_key(key: str, service: TheService, viewer: TheViewer, _form: Form) -> Response:
    """Make an API key invalid at once."""
    keys = _keys(service)
    if keys is None or not keys.revoke(viewer, key):
        raise NotFound(f"You have no key {key[:40]}")
    return _done("no-key", "keys")


@router.post("/account/webhooks")
def add_webhook(request: Request, service: TheService, viewer: TheViewer, form: Form) -> Response:
    """Make a webhook, and show the secret that signs what it is sent."""
    from gridcwl.service import webhook_routes

    url, run = str(form.get("url") or "").strip(), str(form.get("run") or "").strip() or None
    try:
        states = [str(state) for state in form.getlist("states")]
        made = webhook_routes.add(service, viewer, url, run, states)
    except Refused as problem:
        return _shown(request, service, viewer, problem=problem, url=url, run=run or "")
    return _shown(request, service, viewer, secret=Secret("Secret of the webhook", made["secret"]))


@router.post("/account/webhooks/{hook}/test")
def send_test(hook: str, service: TheService, viewer: TheViewer, _form: Form) -> Response:
    """Send a test to a webhook."""
    from gridcwl.service import webhook_routes

    problem = webhook_routes.send_test(hook, service, viewer)["problem"]
    return _done("test-failed" if problem else "test", "webhooks")


@router.post("/account/webhooks/{hook}/remove")
def remove_webhook(hook: str, service: TheService, viewer: TheViewer, _form: Form) -> Response:
    """Remove a webhook, and what is still to be sent there."""
    from gridcwl.service import webhook_routes

    webhook_routes.remove_webhook(hook, service, viewer)
    return _done("no-webhook", "webhooks")


def _done(word: str, part: str) -> Response:
    return redirect(f"/account?done={word}#{part}")


def _shown(
    request: Request,
    service: Service,
    viewer: Viewer,
    *,
    notice: str = "",
    problem: Refused | None = None,
    secret: Secret | None = None,
    url: str = "",
    run: str = "",
) -> Response:
    """The page; blocks for the database."""
    keys = _keys(service)
    hooks = service.webhooks
    waiting = {} if hooks is None else hooks.waiting(viewer.subject)
    return page(
        request,
        "account.html",
        HTTPStatus.OK if problem is None else problem.status,
        viewer=viewer,
        notice=notice,
        problem="" if problem is None else problem.message,
        secret=secret,
        used=quotas.usage(service.db, service.settings.quotas, viewer.subject),
        per_minute=service.settings.quotas.requests_per_minute,
        own=_credentials(service, viewer),
        keys=None if keys is None else keys.all_of(viewer.subject)[::-1],
        allowed=[word for word, so in viewer.may.items() if so],
        days=DAYS,
        hooks=None
        if hooks is None
        else [
            {**one, "attempts": hooks.attempts(viewer.subject, one["id"]), "waiting": waiting.get(one["id"], 0)}
            for one in hooks.all_of(viewer.subject)
        ],
        hook_urls=service.settings.webhooks.urls,
        states=[state for state in State if state not in (State.UNKNOWN, State.PAUSED, State.PREEMPTED)],
        typed={"url": url[:2000], "run": run[:100]},
        may_submit=viewer.may_submit,
    )


def _credentials(service: Service, viewer: Viewer) -> dict[str, Any] | None:
    """The credentials that runs need, each with the stored one; None if runs use the service's own."""
    found = credentials.list_credentials(service, viewer)
    if service.vault is None:
        return None
    stored = {one["kind"]: one for one in found["credentials"]}
    kinds = list(dict.fromkeys([*found["needed"], *found["optional"], *stored]))
    return {
        "waits": found["waits"],
        "kinds": [(kind, stored.get(kind)) for kind in kinds],
        "optional": found["optional"],
    }


def _keys(service: Service) -> ApiKeys | None:
    found = service.authenticator
    return found.api_keys if isinstance(found, Identities) else None


@asynccontextmanager
async def _small_form(request: Request) -> AsyncIterator[FormData]:
    """The fields of a form with one small file, whose token has been checked.

    Raises:
        TooLarge: it is none that a browser sends for a credential.
    """
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length[:20]) > _MOST_FORM_BYTES:
        raise TooLarge(f"The form has more than {_MOST_FORM_BYTES >> 10} KiB")
    async with form_of(request, max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_FORM_BYTES) as form:
        await checked(request, form)
        yield form
