"""What ``gridcwl --server`` needs beyond WES: the routes below ``/api/v1``.

Events of a run as they come (server-sent events), its steps, the logs of its jobs, explanations, and resuming it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from gridcwl.errors import ConfigError, GridCWLError
from gridcwl.model import RunId
from gridcwl.remote.following import plain_event
from gridcwl.runs.about import about_whole
from gridcwl.runs.events import Event, Failure, RunEnded, RunStarted
from gridcwl.runs.observer import Follower
from gridcwl.runs.record.explain import answers
from gridcwl.runs.record.folder import RunFolder, new_run_id
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.listing import about_folder
from gridcwl.runs.record.logs import JobLog, check_step, logs
from gridcwl.service import quotas
from gridcwl.service.db import NewRun, StoredRun, Viewer
from gridcwl.service.engine_parameters import settings_of
from gridcwl.service.problems import BadRequest, Busy, Conflict, NotFound
from gridcwl.service.scheduled_runs import forget
from gridcwl.service.states import ACTIVE, State
from gridcwl.service.web import Service, service_of, viewer_of
from gridcwl.service.wes import changeable, text_file, visible

PREFIX = "/api/v1"
NAMES = {
    State.COMPLETE: "success",
    State.EXECUTOR_ERROR: "failed",
    State.SYSTEM_ERROR: "failed",
    State.CANCELED: "cancelled",
    State.CANCELING: "cancelling",
}
"""States as ``gridcwl runs`` calls them, where that is not their WES name in small letters."""
_REPORTS = {"html": "text/html", "tsv": "text/tab-separated-values", "json": "application/json"}
_MOST_RUNS = 1000
_HEARTBEAT_S = 15.0
_LOOK_EVERY_S = 0.5
_LOGS_HERE = re.compile(r"Its logs are in \S+\.(?=\s|$)")

router = APIRouter(prefix=PREFIX, include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]


@router.get("/whoami")
def whoami(viewer: _Viewer) -> dict[str, Any]:
    """Who the caller is here, and what they may do."""
    return {
        "user": viewer.subject,
        "groups": sorted(viewer.groups),
        "may": [word for word, so in viewer.may.items() if so],
        "dirac_group": viewer.dirac_group,
    }


@router.get("/usage")
def usage(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """What the caller has now, each with what a user may have; 0 is no limit."""
    found = quotas.usage(service.db, service.settings.quotas, viewer.subject)
    return {one.what: {"used": one.number, "most": one.most} for one in found}


@router.get("/runs")
def list_runs(
    service: _Service,
    viewer: _Viewer,
    limit: Annotated[int, Query(ge=1)] = 100,
    before: Annotated[int | None, Query(ge=1, lt=1 << 62)] = None,
) -> dict[str, Any]:
    """The latest runs, each as ``gridcwl runs --json`` has it; ``next`` is where the next page begins, 0 if nowhere."""
    most = min(limit, _MOST_RUNS)
    found = service.db.page(viewer, most + 1, before)
    more = found[most - 1].number if len(found) > most else 0
    records = service.folder.records(run.engine for run in found[:most])
    return {"runs": [_about(run, records[run.engine]) for run in found[:most]], "next": more}


@router.get("/runs/{run_id}")
def show_run(run_id: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """A run as ``gridcwl status --json`` has it."""
    run = visible(service, run_id, viewer)
    record = service.folder.record(run.engine)
    try:
        with contextlib.closing(History(record.journal)) as history:
            about = about_whole(record, history)
    except JournalError:
        about = _about(run, record) | {
            name: [] for name in ("sessions", "steps", "running", "failures", "failure_groups", "events")
        }
    return about | _of_service(run)


@router.get("/runs/{run_id}/events")
async def run_events(run_id: str, service: _Service, viewer: _Viewer) -> Response:
    """The events of a run, those that have been first; the last one is RunEnded."""
    run = await asyncio.to_thread(visible, service, run_id, viewer)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(service, run), media_type="text/event-stream", headers=headers)


@router.get("/runs/{run_id}/logs")
def run_logs(run_id: str, service: _Service, viewer: _Viewer, step: str | None = None) -> dict[str, Any]:
    """The attempts of jobs, failed ones first, as ``gridcwl logs`` has them; without their texts."""
    return {"logs": [_plain_log(log) for log in _logs(service, visible(service, run_id, viewer), step)]}


@router.get("/runs/{run_id}/log")
def run_log_file(run_id: str, name: str, attempt: int, stream: str, service: _Service, viewer: _Viewer) -> Response:
    """What an attempt of a job has written."""
    run = visible(service, run_id, viewer)
    for log in _logs(service, run, name):
        path = {"stdout": log.stdout, "stderr": log.stderr}.get(stream)
        if log.name == name and log.attempt == attempt and path is not None:
            return text_file(path)
    raise NotFound(f"There is no such log of {name[:200]}")


@router.get("/runs/{run_id}/explain")
def run_explained(run_id: str, step: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Why the jobs of a step ran."""
    run = visible(service, run_id, viewer)
    record = service.folder.record(run.engine)
    try:
        with contextlib.closing(History(record.journal)) as history:
            found = list(answers(history, record, step, service.folder.state))
            if not found:
                check_step(history, step)
    except GridCWLError as error:
        raise NotFound(error.message) from None
    return {"answers": msgspec.to_builtins(found)}


@router.get("/runs/{run_id}/report")
def run_report(
    run_id: str, service: _Service, viewer: _Viewer, form: Annotated[str, Query(alias="format")] = "html"
) -> Response:
    """The report of a run, as ``gridcwl report`` writes it."""
    from gridcwl.runs.report import report_of

    run = visible(service, run_id, viewer)
    if form not in _REPORTS:
        raise BadRequest(f"format is {form[:80]!r}, but takes one of: {', '.join(_REPORTS)}")
    try:
        made = report_of(service.folder.record(run.engine))
    except GridCWLError as error:
        raise NotFound(error.message) from None
    # the page has its own style and script, and what is in it comes from documents
    headers = {
        "Content-Disposition": f'attachment; filename="report-{run.id}.{form}"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse((part.encode() for part in made.parts(form)), media_type=_REPORTS[form], headers=headers)


@router.get("/runs/{run_id}/crate")
def run_crate(run_id: str, service: _Service, viewer: _Viewer) -> Response:
    """The run as a Provenance Run Crate, in a zip file."""
    from gridcwl.runs.provenance.crate import write_crate
    from gridcwl.runs.provenance.crate_options import CrateOptions

    run = visible(service, run_id, viewer)
    if not run.state.is_terminal:
        raise Conflict("The run is active: its crate can be downloaded when it has ended")
    folder = service.folder.scratch()
    try:
        options = CrateOptions(full_name=run.owner if run.owner != "anonymous" else "", host=False, user=False)
        made = write_crate(service.folder.record(run.engine), folder / f"{run.id}.zip", options).path
    except GridCWLError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NotFound(f"The crate cannot be written: {error.message}") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    removing = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    headers = {"X-Content-Type-Options": "nosniff"}
    return FileResponse(
        made, media_type="application/zip", filename=f"run-{run.id}.zip", headers=headers, background=removing
    )


@router.post("/runs/{run_id}/resume")
def resume_run(
    run_id: str, service: _Service, viewer: _Viewer, parameters: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, str]:
    """Resume a run that has ended, as a new run in its journal: states are final."""
    run = changeable(service, run_id, viewer)
    if not run.state.is_terminal or service.db.continued(run.engine):
        raise Conflict(f"The run {run.id} is active")
    settings = settings_of(parameters or {})
    if unknown := sorted(settings.keys() - {"on_error", "retries", "max_jobs", "cap_resources"}):
        raise BadRequest(f"A run cannot be resumed with another {unknown[0]}")
    quotas.check_request(service.db, service.settings.quotas, run.owner)
    new = NewRun(
        id=new_run_id(),
        owner=run.owner,
        groups=service.db.groups_of(run.id),
        request=run.request,
        document=run.document,
        engine=run.engine,
        tags=run.tags,
        settings=settings,
    )
    if not service.db.add(new, service.settings.max_queued):
        raise Busy("The queue is full; try again later", {"Retry-After": "60"})
    if service.owners is not None and run.owner == viewer.subject:
        service.owners.submitted(viewer)
    service.driver.wake()
    return {"run_id": new.id}


@router.delete("/runs/{run_id}")
def remove_run(run_id: str, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """Remove a run that has ended, with all that is kept of it here, and with those that it was resumed from or as."""
    run = changeable(service, run_id, viewer)
    if not run.state.is_terminal or service.db.continued(run.engine):
        raise Conflict(f"The run {run.id} is active")
    forget(service.db, service.folder, run.engine)
    return {"run_id": run.id}


def _about(run: StoredRun, record: RunFolder) -> dict[str, Any]:
    about: dict[str, Any] = {
        **{"name": str(run.tags.get("name", "")), "started": run.started, "seconds": None},
        **{"done": 0, "failed": 0, "shards": 0, "disk_bytes": 0},
    }
    if record.path.is_dir():
        about |= about_folder(record)
    return about | _of_service(run)


def _of_service(run: StoredRun) -> dict[str, Any]:
    """What the database knows better than the journal."""
    document = str(run.request.get("workflow_url", run.document))
    state = NAMES.get(run.state, str(run.state).lower())
    return {
        "run": run.id,
        "state": state,
        "document": document,
        "message": run.reason or run.message,
        "ended": run.ended,
        "owner": run.owner,
    }


def _logs(service: Service, run: StoredRun, step: str | None) -> list[JobLog]:
    record = service.folder.record(run.engine)
    try:
        with contextlib.closing(History(record.journal)) as history:
            check_step(history, step)
            return list(logs(record, history, step))
    except JournalError:
        return []
    except ConfigError as error:
        raise NotFound(str(error)) from None


def _plain_log(log: JobLog) -> dict[str, Any]:
    made = {name: getattr(log, name) for name in ("name", "attempt", "outcome", "exit_code", "reason")}
    return made | {"stdout": log.stdout is not None, "stderr": log.stderr is not None}


async def _stream(service: Service, run: StoredRun) -> AsyncIterator[bytes]:
    events = _events(service, run)
    session = ""
    following = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=_HEARTBEAT_S)
            if not done:
                yield b": alive\n\n"
                continue
            event = following.result()
            if event is None:
                return
            session = service.driver.session(run.id) or session
            yield b"data: " + json.dumps(_for_client(event) | {"session": session}).encode() + b"\n\n"
            following = asyncio.ensure_future(anext(events, None))
    finally:
        following.cancel()


def _for_client(event: Event) -> dict[str, Any]:
    """An event without places of this machine, which its client has no use for."""
    if isinstance(event, Failure):
        event = replace(event, remedy=_LOGS_HERE.sub("", event.remedy).strip())
    return plain_event(event)


async def _events(service: Service, run: StoredRun) -> AsyncIterator[Event]:
    """What happens in a run, until it has its final state; of one that has it already, what is recorded."""
    run_id = RunId(run.id)
    while True:
        current = await asyncio.to_thread(service.db.get, run.id)
        if current is None:
            return
        if current.state.is_terminal:
            async for event in _followed(service, run):
                yield event
            break
        subscription = await service.driver.subscribe(run.id)
        if subscription is not None:
            async for event in subscription:
                if not isinstance(event, RunEnded):  # its outputs are recorded after it
                    yield event
            while current is not None and not current.state.is_terminal and service.driver.is_working:
                await asyncio.sleep(_LOOK_EVERY_S)
                current = await asyncio.to_thread(service.db.get, run.id)
            break
        if current.state in ACTIVE and not service.driver.works_here:
            async for event in _followed(service, run):
                yield event
            current = await asyncio.to_thread(service.db.get, run.id)
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    if current is not None:
        yield RunEnded(run_id, NAMES.get(current.state, "killed"), current.message)


async def _followed(service: Service, run: StoredRun) -> AsyncIterator[Event]:
    """The events of a run that no driver here reports, from its journal, until it has ended."""
    while True:
        record = await asyncio.to_thread(service.folder.record, run.engine)
        current = await asyncio.to_thread(service.db.get, run.id)
        ended = current is None or current.state.is_terminal
        if ended or record.journal.is_file():
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    if not record.journal.is_file():
        return
    follower = Follower(record, await asyncio.to_thread(History, record.journal))
    try:
        yield RunStarted(RunId(run.id))
        while True:
            ended = current is None or current.state.is_terminal
            for event in await asyncio.to_thread(follower.look, alive=not ended):
                if not isinstance(event, RunEnded):
                    yield event
            if ended:
                return
            await asyncio.sleep(_LOOK_EVERY_S)
            current = await asyncio.to_thread(service.db.get, run.id)
            await asyncio.to_thread(service.folder.record, run.engine)
    finally:
        follower.history.close()
