"""From a multipart request to a run in the queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from gridcwl import plugins
from gridcwl.model.confinement import Confinement
from gridcwl.runs.record.folder import new_run_id
from gridcwl.service import facilities, quotas, submission, zooniverse_exports
from gridcwl.service.db import Database, NewRun, Viewer
from gridcwl.service.folders import ServiceFolder, SubmittedFolder, received, stored_bytes
from gridcwl.service.forms import form_of, read_form
from gridcwl.service.problems import BadRequest, Busy, TooLarge
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.sites import Sites
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
        form_of(
            request, max_files=limits.max_files, max_fields=_MOST_FIELDS, max_part_size=submission.MOST_FIELD_BYTES
        ) as form,
    ):
        fields, uploads = await _parted(form)
        run = new_run_id()
        folder = service.folder.run(run)
        await asyncio.to_thread(_take_in, service, viewer, run, folder, fields, uploads)
    if service.owners is not None:
        await asyncio.to_thread(service.owners.submitted, viewer)
    service.driver.wake()
    return str(run)


async def _parted(form: FormData, more: Sequence[str] = ()) -> tuple[dict[str, str], list[Any]]:
    """The fields, and the attachments."""
    fields: dict[str, str] = {}
    uploads: list[Any] = []
    for name, value in form.multi_items():
        if name in submission.ATTACHMENTS:
            if not isinstance(value, UploadFile):
                raise BadRequest("A workflow_attachment has no file name")
            uploads.append(value)
        elif name in submission.FIELDS or name in more:
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
    with received(folder):
        submission.save_attachments(uploads, folder.files)
        enqueue(service, viewer, run, folder, fields)


def add_to_queue(service: Intake, new: NewRun) -> None:
    """Let other machines have what a client has sent, and add its run to the queue.

    Raises:
        Busy: the queue is full. Nothing of the run is left in the database.
    """
    added = False
    try:
        service.folder.submitted(new.id)
        added = service.db.add(new, service.settings.max_queued)
    finally:
        if not added:
            service.db.drop_files(new.id)
    if not added:
        raise Busy("The queue is full; try again later", {"Retry-After": "60"})


class Taking(Protocol):
    """What knows which files documents may read, and stops runs: a driver of the queue."""

    def confinement(self, *folders: Path) -> Confinement: ...  # noqa: D102
    def cancel(self, run: str) -> None: ...  # noqa: D102


class Intake(Protocol):
    """What is needed to put runs into the queue: parts of ``Service``."""

    @property
    def settings(self) -> ServiceSettings: ...  # noqa: D102
    @property
    def folder(self) -> ServiceFolder: ...  # noqa: D102
    @property
    def db(self) -> Database: ...  # noqa: D102
    @property
    def driver(self) -> Taking: ...  # noqa: D102
    @property
    def schemes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def sites(self) -> Sites: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class DriverIntake:
    """Implements ``Intake`` in a process that only works on runs."""

    settings: ServiceSettings
    folder: ServiceFolder
    db: Database
    driver: Taking
    schemes: Sequence[str]
    sites: Sites


def driver_intake(settings: ServiceSettings, folder: ServiceFolder, db: Database, driver: Taking) -> DriverIntake:
    """The intake of a process that works on runs."""
    return DriverIntake(settings, folder, db, driver, schemes_of(settings), Sites(settings, folder))


def schemes_of(settings: ServiceSettings) -> list[str]:
    """Of files that the store knows."""
    return sorted(plugins.store(str(settings.runs.get("store") or "local")).schemes - {"file"})


def filled(request: Mapping[str, str], fill: Callable[[Any], Any], tags: Mapping[str, str]) -> dict[str, str]:
    """A kept request with values in it.

    Args:
        request: the fields of WES's RunRequest.
        fill: puts values into the input object.
        tags: in addition; those of the request go before them.
    """
    given = json.loads(request.get("tags") or "{}")
    params = fill(json.loads(request.get("workflow_params") or "{}"))
    made = {**tags, **{name: fill(value) for name, value in given.items()}}
    return {**request, "workflow_params": json.dumps(params), "tags": json.dumps(made)}


async def parted(request: Request, service: Service, *more: str) -> tuple[dict[str, str], list[Any], Any]:
    """The fields of a form, its attachments, and what closes it.

    Args:
        request: a POST.
        service: see there.
        more: names of fields that are not WES's.
    """
    limits = service.settings
    form = await read_form(
        request, max_files=limits.max_files, max_fields=_MOST_FIELDS, max_part_size=submission.MOST_FIELD_BYTES
    )
    fields, uploads = await _parted(form, more)
    return fields, uploads, form


def enqueue(service: Intake, viewer: Viewer, run: str, folder: SubmittedFolder, fields: Mapping[str, str]) -> None:
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
    accepted = submission.checked_submission(fields, folder, confinement, service.schemes)
    zooniverse_exports.check(service.settings, accepted.params)
    settings = dict(accepted.settings)
    if choice := settings.get("sites"):
        settings["sites"] = list(facilities.chosen(service, choice))
    folder.params.write_text(json.dumps(accepted.params), "utf-8")
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
    add_to_queue(service, new)
    if service.settings.quotas.stored_mib:
        quotas.note_stored(service.db, run, size)
