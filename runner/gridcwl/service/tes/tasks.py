"""Taking a task in: from its request to a run in the queue."""

from __future__ import annotations

import json
from typing import Any

from gridcwl.runs.record.folder import new_run_id
from gridcwl.service import quotas
from gridcwl.service.db import TASK_KIND, NewRun, Viewer
from gridcwl.service.folders import received, stored_bytes
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.submitting import add_to_queue
from gridcwl.service.tes import document, request, shown, urls
from gridcwl.service.tes.ending import allowed
from gridcwl.service.web import Service


def create(service: Service, viewer: Viewer, body: bytes) -> str:
    """Add a task to the queue; its id. Blocking.

    Raises:
        Refused: the task is malformed or asks for what is not allowed, or the queue is full.
    """
    settings = service.settings
    task, warnings = request.accepted(request.decoded(body))
    urls.check(task, allowed(settings, tuple(service.schemes)))
    run = new_run_id()
    folder = service.folder.run(run)
    with received(folder):
        folder.files.mkdir(mode=0o700)
        made = document.document(task, network=settings.network)
        (folder.files / document.DOCUMENT).write_text(json.dumps(made), "utf-8")
        _write_contents(task, folder.files)
        folder.params.write_text(json.dumps(document.params(task, folder.files)), "utf-8")
        new = NewRun(
            id=run,
            owner=viewer.subject,
            groups=viewer.groups,
            request={
                **{"workflow_type": "TES", "workflow_type_version": "1.1.0", "workflow_url": task.name or "task"},
                **{shown.TASK: request.plain(task), shown.WARNINGS: warnings},
            },
            document=str(folder.files / document.DOCUMENT),
            tags=task.tags or {},
            settings=_settings(settings, task, tuple(service.schemes)),
            kind=TASK_KIND,
            name=task.name or "",
        )
        size = stored_bytes(folder.path)
        quotas.check_request(service.db, settings.quotas, viewer.subject, size)
        add_to_queue(service, new)
        if settings.quotas.stored_mib:
            quotas.note_stored(service.db, run, size)
    if service.owners is not None:
        service.owners.submitted(viewer)
    service.driver.wake()
    return str(run)


def _write_contents(task: request.Task, files: Any) -> None:
    contents = {number: given.content for number, given in enumerate(task.inputs or ()) if given.content}
    if contents:
        (files / document.CONTENT).mkdir(mode=0o700)
    for number, content in contents.items():
        (files / document.CONTENT / str(number)).write_bytes(content.encode())


def _settings(settings: ServiceSettings, task: request.Task, schemes: tuple[str, ...]) -> dict[str, Any]:
    """Settings of the run beyond the service's: the dataset that the outputs go to."""
    kept = [output.url for output in task.outputs or () if urls.scheme(output.url) in schemes]
    if not kept:
        return {}
    store = str(settings.runs.get("store"))
    table = settings.runs.get(store) or {}
    return {store: {**table, "output_dataset": urls.dataset(kept[0])}}
