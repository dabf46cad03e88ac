"""Jobs of UWS: found, created from a workflow of the catalogue, started, aborted, deleted. Blocking."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vo_models.uws.types import ExecutionPhase

from gridcwl.runs.record.folder import new_run_id
from gridcwl.service import form_fields, submission
from gridcwl.service.db import Viewer
from gridcwl.service.problems import BadRequest, Busy, Forbidden, NotFound, TooLarge
from gridcwl.service.submitting import enqueue
from gridcwl.service.uws.documents import CHANGING, Found
from gridcwl.service.uws.store import JobStore, UwsJob, UwsState
from gridcwl.service.web import Service
from gridcwl.service.wes import changeable

MOST_LISTED = 1000
_MOST_PENDING = 100
"""Jobs of one user that have not been started: they keep their uploads."""
_MOST_BYTES = submission.MOST_FIELD_BYTES
"""Of the parameters of a job together."""
_LONGEST_PART = 200
"""Of the name of a folder."""
_PARAM = "param:"
"""How a value names a part of the request: DALI's inline uploads."""


def find(service: Service, viewer: Viewer, job_id: str, workflow: str = "") -> Found:
    """A job that the caller may see.

    Args:
        service: see there.
        viewer: who asks.
        job_id: of the job, which is that of its run.
        workflow: it has to be of this workflow of the catalogue; empty for any.

    Raises:
        NotFound: there is none.
    """
    job = JobStore(service.db.engine).get(job_id)
    run = service.db.get(job_id, viewer)
    if run is None and job is not None and not (viewer.sees_all or job.owner == viewer.subject):
        job = None
    if (
        (job is None and run is None)
        or (job is not None and (job.state is UwsState.DELETED or (run is None and job.state is UwsState.STARTED)))
        or (workflow and (job is None or job.workflow != workflow))
    ):
        raise NotFound(f"There is no job {job_id[:80]}")
    return Found(job_id, job, run)


def listed(
    service: Service,
    viewer: Viewer,
    workflow: str,
    phases: Sequence[ExecutionPhase],
    after: datetime | None,
    last: int | None,
) -> list[Found]:
    """Jobs, the latest first: at most the latest 1000."""
    store = JobStore(service.db.engine)
    found: list[Found] = []
    if workflow:
        jobs = store.page(viewer, MOST_LISTED, workflow)
        runs = service.db.some([job.id for job in jobs if job.state is UwsState.STARTED], viewer)
        found = [Found(job.id, job, runs.get(job.id)) for job in jobs]
        found = [one for one in found if one.run is not None or (one.job and one.job.state is not UwsState.STARTED)]
    else:
        page = service.db.page(viewer, MOST_LISTED)
        known = store.some([run.id for run in page])
        found = [Found(run.id, known.get(run.id), run) for run in page]
        found = [one for one in found if one.job is None or one.job.state is not UwsState.DELETED]
        ahead = store.page(viewer, MOST_LISTED, states=(UwsState.PENDING, UwsState.ABORTED))
        found += [Found(job.id, job, None) for job in ahead]
        found.sort(key=lambda one: one.created, reverse=True)
    chosen = [
        one
        for one in found
        if (not phases or one.phase in phases) and (after is None or datetime.fromtimestamp(one.created, UTC) > after)
    ]
    return chosen[: MOST_LISTED if last is None else last]


def create(
    service: Service, viewer: Viewer, workflow: str, values: Mapping[str, Sequence[str]], uploads: Mapping[str, Any],
    label: str = "",
) -> UwsJob:  # fmt: skip
    """A new job, which is pending.

    Args:
        service: see there.
        viewer: its owner.
        workflow: its name in the catalogue.
        values: of inputs, as texts.
        uploads: files that values name by ``param:``.
        label: the client's name for it.

    Raises:
        BadRequest: there is no such input.
        Busy: the user has too many jobs that have not been started.
        NotFound: there is no such workflow.
        TooLarge: the values are.
    """
    _may_submit(viewer)
    if JobStore(service.db.engine).pending(viewer.subject) >= _MOST_PENDING:
        raise Busy(f"You have {_MOST_PENDING} PENDING jobs: start or delete some")
    described = service.catalogue.described(service.catalogue.get(workflow))
    parameters = _known(values, [one.name for one in described.document.inputs])
    label = label.replace("\0", "")[:255]
    now = time.time()
    job = UwsJob(str(new_run_id()), viewer.subject, workflow, label, parameters, now, UwsState.PENDING)
    _save(service, job.id, uploads)
    try:
        _check_uploads(service, job.id, parameters)
        JobStore(service.db.engine).add(job)
    except BaseException:
        shutil.rmtree(service.folder.run(job.id).path, ignore_errors=True)
        raise
    return job


def change(
    service: Service, viewer: Viewer, found: Found, values: Mapping[str, Sequence[str]], uploads: Mapping[str, Any]
) -> None:
    """Set parameters of a pending job; those that are not named stay.

    Raises:
        Refused: there is no such input, or the job is not pending.
    """
    job = _own(viewer, found)
    described = service.catalogue.described(service.catalogue.get(job.workflow))
    parameters = {**job.parameters, **_known(values, [one.name for one in described.document.inputs])}
    _save(service, job.id, uploads)
    _check_uploads(service, job.id, parameters)
    if not JobStore(service.db.engine).change(job.id, parameters):
        raise Forbidden(_not_pending(found))


def start(service: Service, viewer: Viewer, found: Found) -> None:
    """Have a pending job run; its parameters are checked now.

    Raises:
        Refused: a parameter is missing or wrong, the queue is full, or the job is not pending.
    """
    if found.phase in CHANGING[1:]:
        return  # it runs: asked twice, by a client whose answer was lost
    job = _own(viewer, found)
    offer = service.catalogue.get(job.workflow)
    fields = form_fields.fields_of(service.catalogue.described(offer).document.inputs)
    params = _params(fields, job.parameters, service.folder.run(job.id).files)
    store = JobStore(service.db.engine)
    if not store.move(job.id, UwsState.PENDING, UwsState.STARTED):
        raise Forbidden(_not_pending(found))
    folder = service.folder.run(job.id)
    folder.files.mkdir(parents=True, exist_ok=True, mode=0o700)
    request = {
        "workflow_type": submission.WORKFLOW_TYPE,
        "workflow_type_version": submission.TYPE_VERSIONS[-1],
        "workflow_url": offer.url,
        "workflow_params": json.dumps(params),
        "tags": json.dumps({"workflow": job.workflow} | ({"name": job.label} if job.label else {})),
    }
    try:
        enqueue(service, viewer, job.id, folder, request)
    except BaseException:
        store.move(job.id, UwsState.STARTED, UwsState.PENDING)
        raise
    if service.owners is not None:
        service.owners.submitted(viewer)
    service.driver.wake()


def abort(service: Service, viewer: Viewer, found: Found) -> None:
    """Stop a job; one that has ended stays as it is.

    Raises:
        Forbidden: it is somebody else's.
    """
    if found.run is not None:
        changeable(service, found.id, viewer)
        service.driver.cancel(found.id)
    elif found.phase is ExecutionPhase.PENDING:
        _own(viewer, found)
        JobStore(service.db.engine).move(found.id, UwsState.PENDING, UwsState.ABORTED)


def delete(service: Service, viewer: Viewer, found: Found) -> None:
    """Stop a job, and show it no longer. Its run, with what it has published, stays in the list of runs.

    Raises:
        Forbidden: it is somebody else's.
    """
    if found.run is not None and not viewer.may_change(found.run.owner):
        raise Forbidden(f"The job {found.id} belongs to somebody else")
    abort(service, viewer, found)
    JobStore(service.db.engine).delete(found.id, found.owner)
    if found.run is None:
        shutil.rmtree(service.folder.run(found.id).path, ignore_errors=True)


def parameters_of(found: Found) -> dict[str, list[str]]:
    """The inputs of a job as texts: as the client wrote them, or those of its run."""
    if found.job is not None:
        return {name: list(values) for name, values in found.job.parameters.items()}
    params = found.run.request.get("workflow_params") if found.run is not None else None
    made: dict[str, list[str]] = {}
    for name, value in (params if isinstance(params, dict) else {}).items():
        several = isinstance(value, list) and not any(isinstance(one, list) for one in value)
        made[name] = [form_fields.as_text(one, "text") for one in (value if several else [value]) if one is not None]
    return made


def _may_submit(viewer: Viewer) -> None:
    if not viewer.may_submit:
        raise Forbidden("You may not submit jobs")


def _own(viewer: Viewer, found: Found) -> UwsJob:
    """A job without a run.

    Raises:
        Forbidden: it has one, or was aborted; or it is somebody else's.
    """
    job = found.job
    if job is None or found.phase is not ExecutionPhase.PENDING:
        raise Forbidden(_not_pending(found))
    _may_submit(viewer)
    if job.owner != viewer.subject:
        raise Forbidden(f"The job {found.id} belongs to somebody else")
    return job


def _not_pending(found: Found) -> str:
    return f"The job {found.id} is {found.phase.value}: only a PENDING one is changed or started"


def _known(values: Mapping[str, Sequence[str]], inputs: Sequence[str]) -> dict[str, list[str]]:
    """Values by the names of inputs; IVOA's names do not care about capitals."""
    folded = {name.casefold(): name for name in inputs}
    made: dict[str, list[str]] = {}
    for name, texts in values.items():
        known = name if name in inputs else folded.get(name.casefold())
        if known is None:
            raise BadRequest(f"The workflow has no input {name[:80]}; it has: {', '.join(inputs) or 'none'}")
        made.setdefault(known, []).extend(texts)
    if sum(len(text) for texts in made.values() for text in texts) > _MOST_BYTES:
        raise TooLarge(f"The parameters have more than {_MOST_BYTES >> 20} MiB together")
    return made


def _save(service: Service, job: str, uploads: Mapping[str, Any]) -> None:
    if not uploads:
        return
    folder = service.folder.run(job)
    for name, upload in uploads.items():
        submission.save_attachments([upload], folder.files / _part(name))


def _part(name: str) -> str:
    """The folder of an upload among the attachments."""
    written = quote(name, safe="").replace(".", "%2E")
    return written if len(written) <= _LONGEST_PART else f"part-{hashlib.sha256(written.encode()).hexdigest()}"


def _check_uploads(service: Service, job: str, parameters: Mapping[str, Sequence[str]]) -> None:
    for name, texts in parameters.items():
        for text in texts:
            if text.startswith(_PARAM) and not (service.folder.run(job).files / _part(text[len(_PARAM) :])).is_dir():
                raise BadRequest(f"{name} is {text[:80]}, but the request has no such part")


def _params(
    fields: Sequence[form_fields.FormField], parameters: Mapping[str, Sequence[str]], files: Path
) -> dict[str, Any]:
    """The input object.

    Raises:
        BadRequest: naming each input that is missing or does not take its value.
    """
    texts: dict[str, str] = {}
    uploaded: dict[str, list[Any]] = {}
    for one in fields:
        values = parameters.get(one.path[-1], ())
        parts = [text[len(_PARAM) :] for text in values if one.place and text.startswith(_PARAM)]
        if parts:
            uploaded[one.upload] = [_entry(files / _part(part), one.place) for part in parts]
        texts[one.name] = "\n".join(text for text in values if not (one.place and text.startswith(_PARAM)))
    filled = form_fields.read(fields, texts, uploaded)
    if filled.problems:
        named = [f"{name.partition(':')[2]}: {problem}" for name, problem in filled.problems.items()]
        raise BadRequest("\n".join(named))
    return filled.params


def _entry(folder: Path, kind: str) -> dict[str, Any]:
    """An upload as an input: the one file in its folder, or the folder."""
    name = quote(folder.name)
    return {"class": kind, "location": name if kind == "Directory" else f"{name}/{quote(next(folder.iterdir()).name)}"}
