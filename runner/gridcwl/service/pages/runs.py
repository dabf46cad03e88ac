"""The list of runs, one run, and what can be done with it."""

from __future__ import annotations

import contextlib
import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from markupsafe import Markup

from gridcwl.runs.outline import read_outline
from gridcwl.runs.record.counts import StepCounts, step_counts, summary
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.report.graph_svg import in_words, picture, state_of
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.native import resume_run, run_crate
from gridcwl.service.pages import jobs
from gridcwl.service.pages.outputs import shown_outputs
from gridcwl.service.pages.rendering import STATIC, Form, PageRoute, TheService, TheViewer, page, redirect, shown
from gridcwl.service.problems import Forbidden, NotFound
from gridcwl.service.states import State
from gridcwl.service.web import Service
from gridcwl.service.wes import PREFIX, changeable, public_outputs, visible

_PAGE = 50
_GROUPS = 10
_NAMED = 5
_LONGEST_INPUT = 2000
_STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}

router = APIRouter(route_class=PageRoute)


@router.get("/")
def list_page(
    request: Request,
    service: TheService,
    viewer: TheViewer,
    state: str = "",
    q: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """The runs, the latest first."""
    states = [State(state)] if state in list(State) else []
    search = q.strip()
    found = service.db.page(viewer, _PAGE + 1, before, states, search)
    counts = service.db.counts(viewer)
    return page(
        request,
        "runs.html",
        runs=found[:_PAGE],
        more=found[_PAGE - 1].number if len(found) > _PAGE else None,
        state=states[0] if states else "",
        q=search,
        before=before,
        states=[one for one in State if counts.get(one) or one in states],
        counts=counts,
        total=sum(counts.values()),
        may_submit=viewer.may_submit,
        document_of=document_of,
    )


@router.get("/runs/{run_id}")
def run_page(
    request: Request,
    run_id: str,
    service: TheService,
    viewer: TheViewer,
    step: Annotated[str, Query(max_length=500)] = "",
    site: Annotated[str, Query(max_length=500)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    after: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
) -> Response:
    """One run: its steps, its jobs, its outputs."""
    run = visible(service, run_id, viewer)
    wanted = jobs.JobFilter(step, site, state if state in jobs.STATES else "", after)
    return page(
        request,
        "run.html",
        run=run,
        title=run.tags.get("name") or run.id,
        active=not run.state.is_terminal,
        document=document_of(run),
        base=f"{PREFIX}/runs/{run.id}",
        messages=jobs.tail(service.folder.run(run.engine).messages(run.id)),
        inputs=_inputs(run),
        outputs=list(shown_outputs(public_outputs(request, service, run), run.id)),
        may_resume=viewer.may_change(run.owner) and run.state.is_terminal and run.state is not State.COMPLETE,
        may_change=viewer.may_change(run.owner),
        may_submit=viewer.may_submit,
        wanted=wanted,
        in_words=in_words,
        state_of=state_of,
        **_progress(service, run, wanted),
    )


@router.post("/runs/{run_id}/cancel")
def cancel(run_id: str, _form: Form, service: TheService, viewer: TheViewer) -> Response:
    """Stop a run."""
    run = changeable(service, run_id, viewer)
    service.driver.cancel(run.id)
    return redirect(f"/runs/{run.id}")


@router.post("/runs/{run_id}/resume")
def resume(run_id: str, _form: Form, service: TheService, viewer: TheViewer) -> Response:
    """Resume a run that has ended, as a new run in its journal."""
    return redirect(f"/runs/{resume_run(run_id, service, viewer, {})['run_id']}")


@router.get("/runs/{run_id}/crate")
def crate(run_id: str, service: TheService, viewer: TheViewer) -> Response:
    """The run as a Provenance Run Crate, in a zip file."""
    return run_crate(run_id, service, viewer)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """The style, the script and the icon."""
    if name not in _STATIC:
        raise NotFound(f"There is no {name[:80]}")
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return FileResponse(STATIC / name, HTTPStatus.OK, media_type=_STATIC[name], headers=headers)


def document_of(run: StoredRun) -> str:
    """The document as its user named it."""
    return str(run.request.get("workflow_url") or run.document)


def _inputs(run: StoredRun) -> list[tuple[str, str]]:
    params = run.request.get("workflow_params")
    if not isinstance(params, dict):
        return []
    return [(str(name), _value(value)) for name, value in params.items()]


def _value(value: Any) -> str:
    if isinstance(value, dict) and value.get("class") in ("File", "Directory"):
        text = str(value.get("location") or value.get("path") or value.get("basename") or value["class"])
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    return text if len(text) <= _LONGEST_INPUT else f"{text[:_LONGEST_INPUT]} ..."


def _progress(service: Service, run: StoredRun, wanted: jobs.JobFilter) -> dict[str, Any]:
    """What the journal has of a run; nothing before it has begun."""
    made: dict[str, Any] = {
        **{"steps": [], "graph": "", "done": summary([]), "failures": [], "more_failures": False},
        **{"sites": [], "jobs": [], "next": None, "running": 0},
    }
    record = service.folder.record(run.engine)
    with contextlib.suppress(JournalError), contextlib.closing(History(record.journal)) as history:
        steps = list(step_counts(history, alive=not run.state.is_terminal))
        groups = history.failure_groups(_GROUPS + 1)
        made |= {
            "steps": steps,
            "graph": _graph(history, steps),
            "done": summary(steps),
            "running": sum(one.running for one in steps),
            "failures": [
                {"group": one, "shards": history.failed_shards(one, _NAMED), "text": shown(one.last_line)}
                for one in groups[:_GROUPS]
            ],
            "more_failures": len(groups) > _GROUPS,
            "sites": jobs.by_site(history),
        }
        made |= jobs.listed(history, wanted)
    return made


def _graph(history: History, steps: list[StepCounts]) -> Markup:
    drawn = picture(read_outline(history.meta("graph")), {one.step: one for one in steps})
    return Markup(drawn)  # noqa: S704  its texts are escaped where it is drawn, as in the report


def checked_submitter(viewer: Viewer) -> None:
    """Refuse who may only read.

    Raises:
        Forbidden: the viewer is one.
    """
    if not viewer.may_submit:
        raise Forbidden("You may not submit runs")
