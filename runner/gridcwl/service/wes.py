"""GA4GH WES 1.1: the routes below ``/ga4gh/wes/v1``.

https://github.com/ga4gh/workflow-execution-service-schemas, version 1.1.0. In addition, below ``/runs/{run_id}``:
``stdout``, ``stderr``, ``outputs/PATH`` and ``tasks/{task_id}/stdout``, ``.../stderr``, which the URLs of logs and
outputs lead to.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from gridcwl import __version__
from gridcwl.errors import UnsafePath
from gridcwl.service import engine_parameters, outputs, paging, submission, tasks
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.problems import BadRequest, Forbidden, NotFound
from gridcwl.service.states import State
from gridcwl.service.submitting import submitted
from gridcwl.service.times import iso
from gridcwl.service.web import Service, check_may_submit, public_url, service_of, viewer_of

PREFIX = "/ga4gh/wes/v1"
WES_VERSIONS = ("1.1.0", "1.0.0")
DEFAULT_PAGE = 100
MOST_PAGE = 1000

router = APIRouter(prefix=PREFIX)

_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]
_Size = Annotated[str | None, Query(alias="page_size")]
_Token = Annotated[str | None, Query(alias="page_token")]


@router.get("/service-info")
def service_info(request: Request, service: _Service) -> dict[str, Any]:
    """What the service is, and what it supports."""
    settings = service.settings
    made: dict[str, Any] = {
        "id": settings.id,
        "name": settings.name,
        "type": {"group": "org.ga4gh", "artifact": "wes", "version": WES_VERSIONS[0]},
        "description": settings.description,
        "organization": {"name": settings.organization.name, "url": settings.organization.url},
        "documentationUrl": "https://gridcwl.readthedocs.io",
        "version": __version__,
        "workflow_type_versions": {submission.WORKFLOW_TYPE: {"workflow_type_version": list(submission.TYPE_VERSIONS)}},
        "supported_wes_versions": list(WES_VERSIONS),
        "supported_filesystem_protocols": service.protocols,
        "workflow_engine_versions": {submission.ENGINE: {"workflow_engine_version": list(submission.ENGINE_VERSIONS)}},
        "default_workflow_engine_parameters": engine_parameters.described(),
        "system_state_counts": {str(state): count for state, count in service.db.counts().items()},
        "auth_instructions_url": service.auth_instructions or f"{public_url(request, service)}/",
        "tags": {},
    }
    if settings.contact_url:
        made["contactUrl"] = settings.contact_url
    return made


@router.get("/runs")
def list_runs(service: _Service, viewer: _Viewer, page_size: _Size = None, page_token: _Token = None) -> dict[str, Any]:
    """The runs that the caller may see, the latest first."""
    size = _page_size(page_size)
    found = service.db.page(viewer, size + 1, paging.position(page_token, "runs"))
    more = paging.token("runs", found[size - 1].number) if len(found) > size else ""
    return {"runs": [_summary(run) for run in found[:size]], "next_page_token": more}


@router.post("/runs")
async def run_workflow(request: Request, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """Add a run to the queue."""
    check_may_submit(viewer)
    return {"run_id": await submitted(request, service, viewer)}


@router.get("/runs/{run_id}")
def run_log(request: Request, run_id: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """All about a run."""
    run = visible(service, run_id, viewer)
    base = f"{public_url(request, service)}{PREFIX}/runs/{run.id}"
    name = run.document.partition("#")[0].rstrip("/").rpartition("/")[2]
    log: dict[str, Any] = {
        "name": name,
        "cmd": ["gridcwl", str(run.request.get("workflow_url", name))],
        "stdout": f"{base}/stdout",
        "stderr": f"{base}/stderr",
        "system_logs": _system_logs(run),
    }
    log |= _times(run)
    if run.exit_code is not None:
        log["exit_code"] = run.exit_code
    return {
        "run_id": run.id,
        "request": dict(run.request),
        "state": str(run.state),
        "run_log": log,
        "task_logs_url": f"{base}/tasks",
        "task_logs": None,
        "outputs": public_outputs(request, service, run),
    }


@router.get("/runs/{run_id}/status")
def run_status(run_id: str, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """The state of a run."""
    run = visible(service, run_id, viewer)
    return {"run_id": run.id, "state": str(run.state)}


@router.post("/runs/{run_id}/cancel")
def cancel_run(run_id: str, service: _Service, viewer: _Viewer) -> dict[str, str]:
    """Stop a run; one that has ended stays as it is."""
    run = changeable(service, run_id, viewer)
    service.driver.cancel(run.id)
    return {"run_id": run.id}


@router.get("/runs/{run_id}/tasks")
def list_tasks(
    request: Request,
    run_id: str,
    service: _Service,
    viewer: _Viewer,
    page_size: _Size = None,
    page_token: _Token = None,
) -> dict[str, Any]:
    """The tasks of a run, in the order in which they came."""
    run = visible(service, run_id, viewer)
    try:
        size, after = _page_size(page_size), paging.position(page_token, run.id)
    except BadRequest as problem:  # the specification has no 400 here
        raise NotFound(problem.message) from None
    record = service.folder.record(run.engine)
    found, last = tasks.page(record, size, after or 0, _task_link(request, service, run))
    return {"task_logs": found, "next_page_token": "" if last is None else paging.token(run.id, last)}


@router.get("/runs/{run_id}/tasks/{task_id}")
def get_task(request: Request, run_id: str, task_id: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """One task of a run."""
    run = visible(service, run_id, viewer)
    found = tasks.one(service.folder.record(run.engine), task_id, _task_link(request, service, run))
    if found is None:
        raise NotFound(f"The run {run.id} has no task {task_id[:80]}")
    return found


@router.api_route("/runs/{run_id}/tasks/{task_id}/{stream}", methods=["GET", "HEAD"], include_in_schema=False)
def task_stream(run_id: str, task_id: str, stream: str, service: _Service, viewer: _Viewer) -> Response:
    """What a task has written to stdout or stderr so far."""
    run = visible(service, run_id, viewer)
    if stream not in tasks.STREAMS:
        raise NotFound(f"A task has no {stream[:80]}")
    there, path = tasks.log_file(
        service.folder.record(run.engine), task_id, stream, partial(service.folder.fetch, run.engine)
    )
    if not there:
        raise NotFound(f"The run {run.id} has no task {task_id[:80]}")
    return Response(b"", media_type="text/plain") if path is None else text_file(path)


@router.api_route("/runs/{run_id}/stderr", methods=["GET", "HEAD"], include_in_schema=False)
def run_stderr(run_id: str, service: _Service, viewer: _Viewer) -> Response:
    """What gridcwl has reported of a run so far."""
    run = visible(service, run_id, viewer)
    path = service.folder.run(run.engine).messages(run.id)
    return text_file(path) if path.is_file() else Response(b"", media_type="text/plain")


@router.api_route("/runs/{run_id}/stdout", methods=["GET", "HEAD"], include_in_schema=False)
def run_stdout(request: Request, run_id: str, service: _Service, viewer: _Viewer) -> Response:
    """The output object, as the command line prints it."""
    run = visible(service, run_id, viewer)
    if run.outputs is None:
        return Response(b"", media_type="text/plain")
    return Response(json.dumps(public_outputs(request, service, run), indent=4) + "\n", media_type="text/plain")


@router.api_route("/runs/{run_id}/outputs", methods=["GET"], include_in_schema=False)
def run_outputs(request: Request, run_id: str, service: _Service, viewer: _Viewer) -> JSONResponse:
    """The output object."""
    run = visible(service, run_id, viewer)
    return JSONResponse(public_outputs(request, service, run))


@router.api_route("/runs/{run_id}/outputs/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
def output_file(run_id: str, path: str, service: _Service, viewer: _Viewer) -> Response:
    """A file among the outputs."""
    found = output_of(service, visible(service, run_id, viewer), path)
    # what a tool has made is never shown as a page of this service
    return FileResponse(found, media_type="application/octet-stream", filename=found.name, headers=UNTRUSTED)


UNTRUSTED = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


def text_file(path: Any) -> FileResponse:
    """A log: with ranges, as text, whatever is in it."""
    return FileResponse(path, media_type="text/plain; charset=utf-8", headers=UNTRUSTED)


def public_outputs(request: Request, service: Service, run: StoredRun) -> dict[str, Any]:
    """The outputs of a run as its client sees them."""
    base = f"{public_url(request, service)}{PREFIX}/runs/{run.id}/outputs"
    local = service.settings.auth is None  # whoever reaches the service is on this machine
    return outputs.public(run.outputs, service.folder.run(run.engine), run.engine, base, local=local)


def visible(service: Service, run_id: str, viewer: Viewer) -> StoredRun:
    """A run that the caller may see.

    Raises:
        NotFound: there is none; the same answer for one of somebody else.
    """
    run = service.db.get(run_id, viewer)
    if run is None:
        raise NotFound(f"There is no run {run_id[:80]}")
    return run


def output_of(service: Service, run: StoredRun, path: str) -> Path:
    """A file among the outputs of a run.

    Raises:
        NotFound: there is none.
    """
    try:
        found = outputs.file_of(service.folder.run(run.engine), path)
    except UnsafePath as error:
        raise NotFound(error.message) from None
    if found is None:
        raise NotFound(f"The run {run.id} has no output {path[:200]}")
    return found


def changeable(service: Service, run_id: str, viewer: Viewer) -> StoredRun:
    """A run that the caller may cancel and resume: their own, or any for an operator.

    Raises:
        NotFound: as :func:`visible`.
        Forbidden: it is somebody else's, or the caller may only read.
    """
    run = visible(service, run_id, viewer)
    if not viewer.may_change(run.owner):
        what = "belongs to somebody else" if viewer.may_submit else "cannot be changed with a token that may only read"
        raise Forbidden(f"The run {run.id} {what}")
    return run


def _system_logs(run: StoredRun) -> list[str]:
    if run.state is State.QUEUED:
        return [run.reason or "It waits for its turn"]
    return [*([run.reason] if run.reason else []), *run.message.splitlines()]


def _times(run: StoredRun) -> dict[str, str]:
    times = {"start_time": run.started, "end_time": run.ended}
    return {name: iso(seconds) for name, seconds in times.items() if seconds is not None}


def _summary(run: StoredRun) -> dict[str, Any]:
    return {"run_id": run.id, "state": str(run.state), "tags": dict(run.tags), **_times(run)}


def _task_link(request: Request, service: Service, run: StoredRun) -> Any:
    base = f"{public_url(request, service)}{PREFIX}/runs/{run.id}/tasks"
    return lambda task, stream: f"{base}/{task}/{stream}"


def _page_size(text: str | None) -> int:
    """At most as many as were asked for, and at most 1000."""
    if text is None:
        return DEFAULT_PAGE
    plain = text.strip()
    if not plain.isascii() or not plain.isdigit() or not 1 <= int(plain[:20]) <= paging.MOST_NUMBER:
        raise BadRequest(f"page_size is {text[:80]!r}, but takes a whole number of at least 1")
    return min(int(plain[:20]), MOST_PAGE)
