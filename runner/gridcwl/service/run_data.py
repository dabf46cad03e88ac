"""What runs have cost, which files they have, and what sites offer: for ``gridcwl usage``, ``data`` and ``sites``.

Each answer has what one run, or a limited number of runs, needs; a client adds up the pages.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import secrets
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, cast
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request

from gridcwl.errors import GridCWLError
from gridcwl.runs.record.data import LocalFile, local_files, stored_data
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.usage import GROUPS, By, costs
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.native import PREFIX
from gridcwl.service.outputs import place_in_outputs
from gridcwl.service.problems import BadRequest, Unavailable
from gridcwl.service.web import Service, public_url, service_of, viewer_of
from gridcwl.service.wes import PREFIX as WES
from gridcwl.service.wes import visible
from gridcwl.stores.reports import RunReport
from gridcwl.worker import credentials

MOST_RUNS = 200
"""Whose journals are read for one answer."""

router = APIRouter(prefix=PREFIX, include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]
_Words = Annotated[list[str] | None, Query()]


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks the store for a run's files; see ``owners.OfOwner``."""

    id: str
    owner: str


@router.get("/costs")
def run_costs(
    service: _Service,
    viewer: _Viewer,
    by: str = "run",
    since: float | None = None,
    run: _Words = None,
    before: Annotated[int | None, Query(ge=1, lt=1 << 62)] = None,
) -> dict[str, Any]:
    """What the latest runs cost, those before the run with this number, or these runs.

    ``next`` is where the next page begins, 0 if nowhere.
    """
    if by not in GROUPS:
        raise BadRequest(f"by is {by[:80]!r}, but takes one of: {', '.join(GROUPS)}")
    if since is not None and not math.isfinite(since):
        raise BadRequest("since is not a number of seconds")
    chosen, following = _chosen(service, viewer, run or (), before)
    records = service.folder.records(one.engine for one in chosen)
    there = [record for record in records.values() if record.journal.is_file()]  # others have not begun
    found = costs(service.folder.state, cast("By", by), since=since, runs=there)
    return {
        "groups": [cost.plain() for cost in found.groups],
        "runs": list(found.runs),
        "unreadable": list(found.unreadable),
        "labels": {one.engine: _label(one) for one in chosen},
        "next": following,
    }


def _chosen(
    service: Service, viewer: Viewer, named: list[str] | tuple[()], before: int | None
) -> tuple[list[StoredRun], int]:
    """The runs of a page, and where the next one begins."""
    if len(named) > MOST_RUNS:
        raise BadRequest(f"{len(named)} runs are named, but at most {MOST_RUNS} in one request are accepted")
    if named:
        return [visible(service, one, viewer) for one in named], 0
    found = service.db.page(viewer, MOST_RUNS + 1, before)
    following = found[MOST_RUNS - 1].number if len(found) > MOST_RUNS else 0
    # a run that was resumed has one journal, which counts where it began
    return [one for one in found[:MOST_RUNS] if one.engine == one.id], following


def _label(run: StoredRun) -> str:
    return str(run.tags.get("name") or run.request.get("workflow_url", run.document))


@router.get("/runs/{run_id}/data")
def run_data(request: Request, run_id: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """The files of a run: its outputs at this service, and what its store has, as ``gridcwl data`` shows them."""
    run = visible(service, run_id, viewer)
    record = service.folder.record(run.engine)
    base = f"{public_url(request, service)}{WES}/runs/{run.id}/outputs"
    try:
        with closing(History(record.journal)) as history:
            files = [_plain(one, run.engine, base) for one in local_files(history)]
            about = _stored(service, run, history)
    except JournalError:
        files, about = [], None
    return {"files": files, "stored": msgspec.to_builtins(_readable(about)) if about is not None else None}


def _plain(file: LocalFile, engine: str, base: str) -> dict[str, Any]:
    """A file with its URL in place of its path, which is of no use to a client and nobody's business."""
    below = place_in_outputs(file.path, engine)
    path = f"{base}/{quote(below)}" if below and file.state == "published" else ""
    return {"output": file.output, "state": file.state, "path": path, "size": file.size}


def _readable(about: RunReport) -> RunReport:
    """A report whose values are all texts, numbers and lists: Rucio's rules have dates."""
    return msgspec.convert(msgspec.json.decode(msgspec.json.encode(about)), RunReport)


def _stored(service: Service, run: StoredRun, history: History) -> RunReport | None:
    """What the store has of a run, asked with the credentials of its owner."""
    owners = service.owners
    if owners is not None and (reason := owners.lacking(run.owner)):
        raise Unavailable(reason.replace("It waits for credentials: ", "", 1))
    asker = _Asker(f"data-{secrets.token_hex(8)}", run.owner)

    def ask() -> RunReport | None:
        if owners is not None:
            credentials.act_for(owners.open(asker))
        return asyncio.run(stored_data(history))

    try:
        return contextvars.copy_context().run(ask)
    except GridCWLError as error:
        raise Unavailable(error.message) from None
    finally:
        if owners is not None:
            owners.close(asker.id)


@router.get("/sites")
def list_sites(service: _Service, viewer: _Viewer) -> dict[str, Any]:  # noqa: ARG001
    """What the sites of the service's backend offer."""
    found = service.sites.offers()
    if found.problem:
        raise Unavailable(f"The sites of {found.backend} are not known: {found.problem}")
    return {"backend": found.backend, "sites": msgspec.to_builtins(found.sites)}
