"""The routes of UWS below ``/uws``: ``/uws/async`` has all runs, ``/uws/WORKFLOW/async`` those of one workflow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.datastructures import UploadFile
from vo_models.uws.types import ExecutionPhase

from gridcwl.service import submission
from gridcwl.service.db import Viewer
from gridcwl.service.forms import read_form
from gridcwl.service.problems import BadRequest, Forbidden, NotFound, Refused
from gridcwl.service.uws import documents, jobs
from gridcwl.service.uws.documents import WAITING, Found
from gridcwl.service.web import Service, public_url, service_of, viewer_of
from gridcwl.service.wes import PREFIX as WES
from gridcwl.service.wes import public_outputs, text_file

PREFIX = "/uws"
_XML = "application/xml"
_MOST_FIELDS = 2000
_LOOK_EVERY_S = 0.25
_LONGEST_WAIT_S = 86400
_CONTROL = ("PHASE", "RUNID", "WORKFLOW", "RESPONSEFORMAT", "REQUEST", "VERSION")
"""Parameters that are no inputs, in capitals."""


class UwsRoute(APIRoute):
    """Errors are texts, as IVOA's DALI has them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as problem:
                return PlainTextResponse(f"{problem.message}\n", problem.status, headers=problem.headers)

        return handle


@dataclass(frozen=True, slots=True)
class Asked:
    """What every route needs."""

    request: Request
    service: Service
    viewer: Viewer
    workflow: str
    """Of the catalogue; empty for all."""

    @property
    def link(self) -> str:
        """The URL of the list of jobs."""
        below = f"/{self.workflow}" if self.workflow else ""
        return f"{public_url(self.request, self.service)}{PREFIX}{below}/async"

    def find(self, job: str) -> Found:
        """A job that the caller may see."""
        return jobs.find(self.service, self.viewer, job, self.workflow)

    def outputs(self, found: Found) -> dict[str, Any]:
        """The output object of a job, with URLs."""
        return {} if found.run is None else public_outputs(self.request, self.service, found.run)

    def whole(self, found: Found) -> str:
        """The URL of the output object."""
        return f"{public_url(self.request, self.service)}{WES}/runs/{found.id}/outputs"

    def to(self, job: str = "") -> Response:
        """On to a job, or to the list."""
        return RedirectResponse(f"{self.link}/{job}" if job else self.link, HTTPStatus.SEE_OTHER)


def asked(
    request: Request, service: Annotated[Service, Depends(service_of)], viewer: Annotated[Viewer, Depends(viewer_of)]
) -> Asked:
    """What every route needs; a workflow that is not in the catalogue has no jobs."""
    workflow = str(request.path_params.get("workflow") or "")
    if workflow:
        service.catalogue.get(workflow)
    return Asked(request, service, viewer, workflow)


def asked_by_anybody(request: Request, service: Annotated[Service, Depends(service_of)]) -> Asked:
    """The same for what VOSI lets anybody read: nobody is authenticated, and nobody's jobs are seen."""
    return asked(request, service, Viewer("", may_submit=False))


TheAsked = Annotated[Asked, Depends(asked)]
TheOpen = Annotated[Asked, Depends(asked_by_anybody)]
router = APIRouter(route_class=UwsRoute)


@router.get("/async")
def list_jobs(asked: TheAsked) -> Response:
    """The latest jobs; PHASE, AFTER and LAST choose among them."""
    query = {name.upper(): value for name, value in asked.request.query_params.items()}
    phases = [
        _phase(text) for name, text in asked.request.query_params.multi_items() if name.upper() == "PHASE" and text
    ]
    after = _time(query["AFTER"]) if query.get("AFTER") else None
    last = _number(query["LAST"], "LAST", 1) if query.get("LAST") else None
    found = jobs.listed(asked.service, asked.viewer, asked.workflow, phases, after, last)
    return Response(documents.jobs_document(found, asked.link), media_type=_XML)


@router.post("/async")
async def create_job(asked: TheAsked) -> Response:
    """A new job: PENDING, or with PHASE=RUN in the queue."""
    async with _sent(asked) as (control, values, uploads):
        workflow = asked.workflow or control.get("WORKFLOW", "")
        if not workflow:
            raise BadRequest("WORKFLOW is missing: the name of a workflow of the catalogue")
        run = _wanted(control) is ExecutionPhase.EXECUTING if "PHASE" in control else False
        make = partial(jobs.create, asked.service, asked.viewer, workflow, values, uploads, control.get("RUNID", ""))
        job = await asyncio.to_thread(make)
    if run:
        await asyncio.to_thread(lambda: jobs.start(asked.service, asked.viewer, asked.find(job.id)))
    return asked.to(job.id)


@router.get("/async/{job}")
async def get_job(job: str, asked: TheAsked) -> Response:
    """A job; with WAIT once its phase has changed, or after so many seconds (-1: whenever)."""
    found = await _waited(asked, job)
    return await asyncio.to_thread(_job_document, asked, found)


def _job_document(asked: Asked, found: Found) -> Response:
    made = documents.job_document(found, jobs.parameters_of(found), asked.outputs(found), asked.whole(found))
    return Response(made, media_type=_XML)


@router.delete("/async/{job}")
def delete_job(job: str, asked: TheAsked) -> Response:
    """Stop a job, and show it no longer."""
    jobs.delete(asked.service, asked.viewer, asked.find(job))
    return asked.to()


@router.post("/async/{job}")
async def post_job(job: str, asked: TheAsked) -> Response:
    """ACTION=DELETE, for clients that know no DELETE; otherwise parameters of a pending job."""
    form = await _form(asked)
    actions = [value for name, value in form if name.upper() == "ACTION"]
    if actions and str(actions[0]).upper() != "DELETE":
        raise BadRequest(f"ACTION is {str(actions[0])[:80]!r}, but takes DELETE")
    if actions:
        return await asyncio.to_thread(delete_job, job, asked)
    return await set_parameters(job, asked)


@router.get("/async/{job}/phase")
def get_phase(job: str, asked: TheAsked) -> Response:
    """The phase in a word."""
    return PlainTextResponse(asked.find(job).phase.value)


@router.post("/async/{job}/phase")
async def set_phase(job: str, asked: TheAsked) -> Response:
    """PHASE=RUN starts a pending job, PHASE=ABORT stops one."""
    control = {name.upper(): str(value) for name, value in await _form(asked)}
    wanted = _wanted(control)
    act = jobs.start if wanted is ExecutionPhase.EXECUTING else jobs.abort
    await asyncio.to_thread(lambda: act(asked.service, asked.viewer, asked.find(job)))
    return asked.to(job)


@router.get("/async/{job}/parameters")
def get_parameters(job: str, asked: TheAsked) -> Response:
    """The inputs of a job."""
    return Response(documents.parameters_document(jobs.parameters_of(asked.find(job))), media_type=_XML)


@router.post("/async/{job}/parameters")
async def set_parameters(job: str, asked: TheAsked) -> Response:
    """Set inputs of a pending job."""
    async with _sent(asked) as (_, values, uploads):
        set_ = partial(jobs.change, asked.service, asked.viewer)
        await asyncio.to_thread(lambda: set_(asked.find(job), values, uploads))
    return asked.to(job)


@router.get("/async/{job}/parameters/{name}")
def get_parameter(job: str, name: str, asked: TheAsked) -> Response:
    """One input of a job."""
    known = jobs.parameters_of(asked.find(job))
    if name not in known:
        raise NotFound(f"The job {job} has no parameter {name[:80]}")
    return PlainTextResponse("\n".join(known[name]))


@router.get("/async/{job}/results")
def get_results(job: str, asked: TheAsked) -> Response:
    """The files that a job has made."""
    found = asked.find(job)
    return Response(documents.results_document(asked.outputs(found), asked.whole(found)), media_type=_XML)


@router.get("/async/{job}/results/{name}")
def get_result(job: str, name: str, asked: TheAsked) -> Response:
    """On to one of these files."""
    found = asked.find(job)
    for result in documents.results_of(asked.outputs(found), asked.whole(found)).results or []:
        if result.id == name and result.href:
            return RedirectResponse(result.href, HTTPStatus.SEE_OTHER)
    raise NotFound(f"The job {job} has no result {name[:80]}")


@router.get("/async/{job}/error")
def get_error(job: str, asked: TheAsked) -> Response:
    """What gridcwl has reported of a job."""
    found = asked.find(job)
    if found.run is None or found.phase is not ExecutionPhase.ERROR:
        return PlainTextResponse("")
    path = asked.service.folder.run(found.run.engine).messages(found.id)
    return text_file(path) if path.is_file() else PlainTextResponse(f"{found.run.message}\n")


@router.get("/async/{job}/owner")
def get_owner(job: str, asked: TheAsked) -> Response:
    """Whose job it is."""
    return PlainTextResponse(asked.find(job).owner)


@router.get("/async/{job}/quote")
@router.get("/async/{job}/destruction")
def get_nothing(job: str, asked: TheAsked) -> Response:
    """When a job will end is not known, and none is destroyed by itself."""
    asked.find(job)
    return PlainTextResponse("")


@router.get("/async/{job}/executionduration")
def get_duration(job: str, asked: TheAsked) -> Response:
    """0: the time of a job is not limited."""
    asked.find(job)
    return PlainTextResponse("0")


@router.post("/async/{job}/executionduration")
@router.post("/async/{job}/destruction")
async def set_limit(job: str, asked: TheAsked) -> Response:
    """The service decides these itself: what was sent has no effect, which the job shows."""
    found = await asyncio.to_thread(asked.find, job)
    if found.owner != asked.viewer.subject and not asked.viewer.may_operate:
        raise Forbidden(f"The job {job} belongs to somebody else")
    for name, text in await _form(asked):
        if name.upper() == "EXECUTIONDURATION":
            _number(str(text), "EXECUTIONDURATION", 0)
        elif name.upper() == "DESTRUCTION":
            _time(str(text), "DESTRUCTION")
    return asked.to(job)


# -- requests ----------------------------------------------------------------------------------------------------------


async def _form(asked: Asked) -> list[tuple[str, Any]]:
    limits = asked.service.settings
    form = await read_form(
        asked.request, max_files=limits.max_files, max_fields=_MOST_FIELDS, max_part_size=submission.MOST_FIELD_BYTES
    )
    return [*asked.request.query_params.multi_items(), *form.multi_items()]


@asynccontextmanager
async def _sent(asked: Asked) -> Any:
    """Control parameters in capitals, inputs with their values, and files by the names of their parts."""
    async with asked.service.uploading:
        control: dict[str, str] = {}
        values: dict[str, list[str]] = {}
        uploads: dict[str, UploadFile] = {}
        for name, value in await _form(asked):
            if isinstance(value, UploadFile):
                uploads[name] = value
            elif name.upper() in _CONTROL:
                control[name.upper()] = value
            else:
                values.setdefault(name, []).append(value)
        yield control, values, uploads


def _wanted(control: Mapping[str, str]) -> ExecutionPhase:
    """What PHASE asks for.

    Raises:
        BadRequest: something else, or nothing.
    """
    text = control.get("PHASE", "")
    phases = {"RUN": ExecutionPhase.EXECUTING, "ABORT": ExecutionPhase.ABORTED}
    if text.upper() not in phases:
        raise BadRequest(f"PHASE is {text[:80]!r}, but takes RUN or ABORT")
    return phases[text.upper()]


async def _waited(asked: Asked, job: str) -> Found:
    query = {name.upper(): value for name, value in asked.request.query_params.items()}
    found = await asyncio.to_thread(asked.find, job)
    if not query.get("WAIT"):
        return found
    seconds = _number(query["WAIT"], "WAIT", -1)
    ends = time.monotonic() + (_LONGEST_WAIT_S if seconds < 0 else min(seconds, _LONGEST_WAIT_S))
    before = _phase(query["PHASE"]) if query.get("PHASE") else found.phase
    while found.phase is before and found.phase in WAITING and not asked.service.ending:
        left = ends - time.monotonic()
        if left <= 0 or await asked.request.is_disconnected():
            break
        await asyncio.sleep(min(_LOOK_EVERY_S, left))
        found = await asyncio.to_thread(asked.find, job)
    return found


def _phase(text: str) -> ExecutionPhase:
    try:
        return ExecutionPhase(text.upper())
    except ValueError:
        names = ", ".join(phase.value for phase in ExecutionPhase)
        raise BadRequest(f"PHASE is {text[:80]!r}, but takes one of: {names}") from None


def _number(text: str, name: str, least: int) -> int:
    plain = text.strip()
    if not plain.isascii() or not plain.removeprefix("-").isdigit() or len(plain) > 10 or int(plain) < least:
        raise BadRequest(f"{name} is {text[:80]!r}, but takes a number from {least}")
    return int(plain)


def _time(text: str, name: str = "AFTER") -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadRequest(f"{name} is {text[:80]!r}, but takes a time as 2026-11-29T18:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
