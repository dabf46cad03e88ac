"""Requests that are stored and submitted later: what schedules and productions have in common. Mostly blocking."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import Request

from gridcwl.errors import GridCWLError
from gridcwl.schedules.model import DIDS, has_template
from gridcwl.service import quotas, submission, zooniverse_exports
from gridcwl.service.db import Database, Viewer
from gridcwl.service.endings import without_places
from gridcwl.service.folders import ServiceFolder, SubmittedFolder, stored_bytes
from gridcwl.service.problems import BadRequest, NotFound
from gridcwl.service.productions import ServiceProductions
from gridcwl.service.schedules import ServiceSchedules
from gridcwl.service.submitting import parted
from gridcwl.service.web import Service, check_may_submit

_PREFIX = "kept-"
_BEING_MADE_S = 86_400.0
"""A folder that is not older may belong to a request that is being received."""
K = TypeVar("K")
R = TypeVar("R")


def new_folder(service: Service) -> SubmittedFolder:
    """The place of a stored request, and of what is attached to it; not made yet."""
    return service.folder.run(f"{_PREFIX}{secrets.token_hex(8)}")


def drop_folder(service: Service, name: str) -> None:
    """Remove the folder of a stored request; an empty name is none."""
    if name:
        service.db.drop_files(name)
        shutil.rmtree(service.folder.run(name).path, ignore_errors=True)


def checked_size(service: Service, viewer: Viewer, folder: SubmittedFolder) -> int:
    """The size of what was attached, which counts in its owner's quota.

    Raises:
        TooLarge: it is too much.
    """
    size = stored_bytes(folder.path)
    quotas.check_stored(service.db, service.settings.quotas, viewer.subject, size)
    return size


def remove_unknown(folder: ServiceFolder, db: Database, now: float) -> None:
    """Remove folders of requests that were never stored, as the service was killed, or that are no longer known.

    Args:
        folder: of the service.
        db: its database.
        now: seconds since 1970.
    """
    kept = [path for path in (folder.path / "runs").glob(f"{_PREFIX}*") if path.stat().st_mtime < now - _BEING_MADE_S]
    if not kept:
        return
    stored = [one.schedule.files for one in ServiceSchedules(db.engine).all()]
    stored += [one.files for one in ServiceProductions(db.engine).of(None)]
    for path in kept:
        if path.name not in stored:
            db.drop_files(path.name)
            shutil.rmtree(path, ignore_errors=True)


async def store_request(
    request: Request,
    service: Service,
    viewer: Viewer,
    field: str,
    kind: type[K],
    add: Callable[[K, Mapping[str, str], SubmittedFolder], R],
) -> tuple[K, R]:
    """Take in a WES RunRequest that has one field more.

    Args:
        request: a POST.
        service: see there.
        viewer: who asks.
        field: the name of that field: "schedule".
        kind: what the field holds as JSON.
        add: stores it, with the other fields and the folder of what was attached. Called in a thread.

    Returns:
        What the field holds, and what ``add`` returned.

    Raises:
        Refused: the request is wrong; nothing of it is left.
    """
    check_may_submit(viewer)
    folder = new_folder(service)
    async with service.uploading:
        fields, uploads, form = await parted(request, service, field)
        try:
            wanted = decoded(fields.pop(field, None), kind, field)
            folder.path.mkdir(mode=0o700)
            await asyncio.to_thread(submission.save_attachments, uploads, folder.files)
            added = await asyncio.to_thread(add, wanted, fields, folder)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)
            raise
        finally:
            await form.close()
    return wanted, added


def decoded(text: str | None, kind: type[K], field: str) -> K:
    """What a field of a request holds as JSON.

    Raises:
        BadRequest: it is missing, or wrong.
    """
    try:
        return msgspec.json.decode(text or "", type=kind)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"The field {field} is wrong: {error}") from None


def converted(values: Mapping[str, Any], kind: type[K], what: str) -> K:
    """The values of a form, or of a JSON object.

    Args:
        values: by name.
        kind: what they are to be.
        what: for messages: "schedule".

    Raises:
        BadRequest: one of them is wrong.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The {what} is wrong: {error}") from None


def check_action(action: str, known: Mapping[str, Any]) -> None:
    """Check that there is an action of this name.

    Raises:
        NotFound: there is none.
    """
    if action not in known:
        raise NotFound(f"There is no action {action[:40]}: there are {', '.join(known)}")


def check_request(service: Service, fields: Mapping[str, str], folder: SubmittedFolder) -> None:
    """Check that a run could be submitted so, except for what stands in templates; the document is read.

    Raises:
        BadRequest: it could not.
    """
    confinement = service.driver.confinement()
    params = submission.checked_submission({**fields, "workflow_params": ""}, folder, confinement, service.schemes)
    written = submission.json_object(fields.get("workflow_params"), "workflow_params")
    zooniverse_exports.check(service.settings, written)
    submission.check_places(_without_templates(written), folder.files, confinement, service.schemes)
    try:
        document = service.described(params.document, folder.files)
    except GridCWLError as error:
        raise BadRequest(without_places(str(error), folder.files)) from None
    known = {one.name: one for one in document.inputs}
    for one in document.inputs:
        if one.required and written.get(one.name) is None:
            raise BadRequest(f"The input {one.name} is missing")
    for name in written:
        if name not in known and not name.startswith(("cwl:", "$")):
            raise BadRequest(f"The document has no input {name[:80]}")


def _without_templates(value: Any) -> Any:
    """An input object without the Files whose places are known only when a run begins."""
    if isinstance(value, dict):
        place = str(value.get("location") or value.get("path") or "")
        if value.get("class") in ("File", "Directory") and (DIDS in place or has_template(place)):
            return None
        return {key: _without_templates(item) for key, item in value.items()}
    return [_without_templates(item) for item in value] if isinstance(value, list) else value
