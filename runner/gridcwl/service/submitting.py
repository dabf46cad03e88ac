"""From a multipart request to a run in the queue."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from gridcwl.runs.record.folder import new_run_id
from gridcwl.service import facilities, quotas, submission
from gridcwl.service.db import NewRun, Viewer
from gridcwl.service.folders import SubmittedFolder, stored_bytes
from gridcwl.service.problems import BadRequest, Busy, TooLarge
from gridcwl.service.web import Service

_MOST_FIELDS = 100


async def submitted(request: Request, service: Service, viewer: Viewer) -> str:
    """Take a request in; returns the id of its run.

    Raises:
        Refused: the request is malformed, too large, or the queue is full.
    """
    limits = service.settings
    async with (
        service.uploading,
        request.form(
            max_files=limits.max_files, max_fields=_MOST_FIELDS, max_part_size=submission.MOST_FIELD_BYTES
        ) as form,
    ):
        fields, uploads = await _parted(form)
        run = new_run_id()
        folder = service.folder.run(run)
        try:
            await asyncio.to_thread(_take_in, service, viewer, run, folder, fields, uploads)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)
            raise
    if service.owners is not None:
        await asyncio.to_thread(service.owners.submitted, viewer)
    service.driver.wake()
    return str(run)


async def _parted(form: FormData) -> tuple[dict[str, str], list[Any]]:
    """The fields, and the attachments."""
    fields: dict[str, str] = {}
    uploads: list[Any] = []
    for name, value in form.multi_items():
        if name in submission.ATTACHMENTS:
            if not isinstance(value, UploadFile):
                raise BadRequest("A workflow_attachment has no file name")
            uploads.append(value)
        elif name in submission.FIELDS:
            if name in fields:
                raise BadRequest(f"The field {name} is given twice")
            fields[name] = await _text(name, value)
    return fields, uploads


async def _text(name: str, value: UploadFile | str) -> str:
    """A field's text; some clients send fields as files."""
    if isinstance(value, str):
        return value
    data = await value.read(submission.MOST_FIELD_BYTES + 1)
    if len(data) > submission.MOST_FIELD_BYTES:
        raise TooLarge(f"The field {name} has more than {submission.MOST_FIELD_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"The field {name} is not UTF-8") from None


def _take_in(
    service: Service, viewer: Viewer, run: str, folder: SubmittedFolder, fields: dict[str, str], uploads: list[Any]
) -> None:
    folder.path.mkdir(mode=0o700)
    submission.save_attachments(uploads, folder.files)
    enqueue(service, viewer, run, folder, fields)


def enqueue(service: Service, viewer: Viewer, run: str, folder: SubmittedFolder, fields: Mapping[str, str]) -> None:
    """Add a run whose attachments have been saved to the queue.

    Args:
        service: see there.
        viewer: its owner.
        run: its id.
        folder: of the run.
        fields: of WES's RunRequest, as texts.

    Raises:
        Refused: the request is malformed, or the queue is full.
    """
    confinement = service.driver.confinement()
    accepted = submission.accepted(fields, folder, confinement, service.schemes)
    settings = dict(accepted.settings)
    if choice := settings.get("sites"):
        settings["sites"] = list(facilities.chosen(service, choice))
    folder.params.write_text(json.dumps(accepted.params), "utf-8")
    service.folder.submitted(run)
    new = NewRun(
        id=run,
        owner=viewer.subject,
        groups=viewer.groups,
        request=accepted.request,
        document=accepted.document,
        tags=accepted.tags,
        settings=settings,
    )
    size = stored_bytes(folder.path)
    quotas.check_request(service.db, service.settings.quotas, viewer.subject, size)
    if not service.db.add(new, service.settings.max_queued):
        raise Busy("The queue is full; try again later", {"Retry-After": "60"})
    if service.settings.quotas.stored_mib:
        quotas.note_stored(service.db, run, size)
