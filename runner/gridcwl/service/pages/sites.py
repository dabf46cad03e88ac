"""What each site offers, and how many jobs of active runs are there."""

from __future__ import annotations

import contextlib
from collections import Counter

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.service.db import Viewer
from gridcwl.service.pages.rendering import PageRoute, TheService, TheViewer, page
from gridcwl.service.states import ACTIVE
from gridcwl.service.web import Service

_RUNS = 100

router = APIRouter(route_class=PageRoute)


@router.get("/sites")
def sites_page(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """The sites of the service's backend."""
    offers = service.sites.offers()
    jobs = _jobs(service, viewer)
    names = [offer.site for offer in offers.sites]
    if len(names) == 1:
        jobs = {names[0]: sum(jobs.values(), Counter())}
    return page(
        request,
        "sites.html",
        offers=offers,
        jobs=jobs,
        others=sorted(site for site in jobs if site and site not in names),
        may_submit=viewer.may_submit,
    )


def _jobs(service: Service, viewer: Viewer) -> dict[str, Counter[str]]:
    """Jobs of the viewer's active runs by site."""
    found: dict[str, Counter[str]] = {}
    for run in service.db.page(viewer, _RUNS, None, ACTIVE):
        record = service.folder.record(run.engine)
        with contextlib.suppress(JournalError), contextlib.closing(History(record.journal)) as history:
            for one in history.by_place():
                counts = {"running": one.running, "waiting": one.waiting, "done": one.done, "failed": one.failed}
                found.setdefault(one.place, Counter()).update(counts)
    return found
