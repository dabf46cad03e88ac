"""Pages for people: the list of runs, and one run. They need no JavaScript; with it they follow active runs.

Only on a service without authentication: there is no login yet. Everything that is shown is escaped, and the policy
lets a browser load nothing but this service's own style and script.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from gridcwl.model.objects import entries
from gridcwl.runs.record.counts import StepCounts, step_counts
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.service import tasks
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.problems import NotFound
from gridcwl.service.states import State
from gridcwl.service.times import iso
from gridcwl.service.web import Service, service_of, viewer_of
from gridcwl.service.wes import PREFIX, public_outputs, visible

_PAGE = 50
_TASKS = 100
_STATIC = {"style.css": "text/css", "live.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

router = APIRouter(include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]
_templates = Environment(
    loader=PackageLoader("gridcwl.service"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_templates.filters["time"] = lambda seconds: "" if seconds is None else iso(seconds)


@router.get("/")
def list_page(
    service: _Service, viewer: _Viewer, state: str = "", before: Annotated[int | None, Query(ge=1)] = None
) -> Response:
    """The runs, the latest first."""
    states = [State(state)] if state in list(State) else []
    found = service.db.page(viewer, _PAGE + 1, before, states)
    more = found[_PAGE - 1].number if len(found) > _PAGE else None
    counts = service.db.counts() if viewer.sees_all else {}
    shown = [one for one in State if counts.get(one)]
    return _page("runs.html", runs=found[:_PAGE], more=more, state=state, states=shown, counts=counts)


@router.get("/runs/{run_id}")
def run_page(request: Request, run_id: str, service: _Service, viewer: _Viewer) -> Response:
    """One run: its steps, its tasks, its outputs."""
    run = visible(service, run_id, viewer)
    record = service.folder.record(run.engine)
    base = f"{PREFIX}/runs/{run.id}"
    found, last = tasks.page(record, _TASKS, 0, lambda task, stream: f"{base}/tasks/{task}/{stream}")
    return _page(
        "run.html",
        run=run,
        active=not run.state.is_terminal,
        document=run.request.get("workflow_url", ""),
        base=base,
        steps=_steps(service, run),
        tasks=found,
        more=last is not None,
        outputs=list(_outputs(public_outputs(request, service, run))),
    )


@router.post("/runs/{run_id}/cancel")
def cancel(run_id: str, service: _Service, viewer: _Viewer) -> Response:
    """Stop a run. Requests of other sites are refused before they come here."""
    run = visible(service, run_id, viewer)
    if viewer.may_submit:
        service.driver.cancel(run.id)
    return RedirectResponse(f"/runs/{run.id}", 303)


@router.get("/static/{name}")
def static(name: str) -> Response:
    """The style and the script."""
    if name not in _STATIC:
        raise NotFound(f"There is no {name[:80]}")
    headers = {"X-Content-Type-Options": "nosniff"}
    return FileResponse(Path(__file__).parent / "static" / name, media_type=_STATIC[name], headers=headers)


def _page(template: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(**values), headers=_HEADERS)


def _steps(service: Service, run: StoredRun) -> list[StepCounts]:
    with (
        contextlib.suppress(JournalError),
        contextlib.closing(History(service.folder.record(run.engine).journal)) as found,
    ):
        return list(step_counts(found, alive=not run.state.is_terminal))
    return []


def _outputs(outputs: dict[str, Any]) -> Any:
    """Each output: its name, its files with their links, and its value if it has none."""
    for name, value in outputs.items():
        files = [entry for entry in entries(value, "File") if entry.get("location")]
        links = [
            {
                "name": str(entry.get("basename") or "file"),
                "size": entry.get("size"),
                # other schemes are shown, not followed
                "url": entry["location"] if str(entry["location"]).startswith(("http://", "https://")) else "",
                "location": str(entry["location"]),
            }
            for entry in files
        ]
        yield {"name": name, "files": links, "value": "" if links else str(value)[:1000]}
