"""The workflows that the operator offers, each with a form for its inputs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gridcwl.cwl.described import DescribedDocument
from gridcwl.service.catalogue import Offer
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.drafts import Drafts
from gridcwl.service.pages.rendering import Form, PageRoute, TheService, TheViewer, page, redirect
from gridcwl.service.problems import BadRequest, Forbidden
from gridcwl.service.web import Service

TAG = "workflow"
"""Of runs: the name of their workflow in the catalogue."""
_LATEST = 3
_LOOKED_AT = 200

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class Shown:
    """A workflow on the page."""

    offer: Offer
    document: DescribedDocument | None = None
    problem: str = ""
    latest: tuple[StoredRun, ...] = ()

    @property
    def title(self) -> str:
        """In a line."""
        return (self.document.label if self.document is not None else "") or self.offer.name


@router.get("/catalogue")
def catalogue_page(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """All workflows, with the latest runs of each."""
    latest: dict[str, list[StoredRun]] = {}
    for run in service.db.page(viewer, _LOOKED_AT, search=TAG):
        latest.setdefault(run.tags.get(TAG, ""), []).append(run)
    shown = [_shown(service, offer, latest.get(offer.name, [])) for offer in service.catalogue.offers()]
    return page(request, "catalogue.html", shown=shown, may_submit=viewer.may_submit)


@router.post("/catalogue/{name}")
async def choose(name: str, service: TheService, viewer: TheViewer, _form: Form) -> Response:
    """On to the form for a workflow's inputs."""
    if not viewer.may_submit:
        raise Forbidden("You may not submit runs")
    return redirect(await asyncio.to_thread(_draft, service, viewer, name))


def _draft(service: Service, viewer: Viewer, name: str) -> str:
    offer = service.catalogue.get(name)
    drafts = Drafts(service.folder, service.settings.max_upload_mib << 20)
    draft = replace(drafts.new(viewer.subject, offer.url), tags={TAG: name})
    drafts.save(draft)
    return draft.link


def _shown(service: Service, offer: Offer, runs: list[StoredRun]) -> Shown:
    try:
        document = service.catalogue.described(offer).document
    except BadRequest as problem:
        return Shown(offer, problem=problem.message)
    return Shown(offer, document, latest=tuple(runs[:_LATEST]))
