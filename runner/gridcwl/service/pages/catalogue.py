"""The workflows that the operator offers, each with a form for its inputs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gridcwl.cwl.described import DescribedDocument
from gridcwl.service import facilities
from gridcwl.service.capacity import Match
from gridcwl.service.catalogue import DescribedOffer
from gridcwl.service.catalogue_runs import TAG, RecentRuns, recent_runs
from gridcwl.service.catalogue_sources import CatalogueWorkflow
from gridcwl.service.db import Viewer
from gridcwl.service.drafts import Drafts
from gridcwl.service.pages.rendering import Form, PageRoute, TheService, TheViewer, page, redirect
from gridcwl.service.problems import BadRequest, Forbidden
from gridcwl.service.web import Service

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class ShownWorkflow:
    """A workflow on the page."""

    offer: CatalogueWorkflow
    described: DescribedOffer | None = None
    problem: str = ""
    match: Match | None = None
    """Against the sites; None if they are not known."""
    recent: RecentRuns = field(default_factory=RecentRuns)

    @property
    def title(self) -> str:
        """In a line."""
        return self.offer.label or self.offer.name if self.described is None else self.described.title

    @property
    def document(self) -> DescribedDocument:
        """What it takes."""
        assert self.described is not None
        return self.described.document


@router.get("/catalogue")
def catalogue_page(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """All workflows, with the latest runs of each."""
    recent = recent_runs(service, viewer)
    shown = [_shown(service, offer, recent.get(offer.name, RecentRuns())) for offer in service.catalogue.offers()]
    problem = service.sites.offers().problem if shown else ""
    return page(
        request,
        "catalogue.html",
        shown=shown,
        problem=problem,
        sources=service.catalogue.problems if viewer.may_operate else {},
        may_submit=viewer.may_submit,
        may_operate=viewer.may_operate,
    )


@router.post("/catalogue")
def refresh(service: TheService, viewer: TheViewer, _form: Form) -> Response:
    """Read all documents again."""
    if not viewer.may_operate:
        raise Forbidden("You may not refresh the catalogue")
    service.catalogue.refresh()
    return redirect("/catalogue")


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


def _shown(service: Service, offer: CatalogueWorkflow, recent: RecentRuns) -> ShownWorkflow:
    try:
        described = service.catalogue.described(offer)
    except BadRequest as problem:
        return ShownWorkflow(offer, problem=problem.message)
    match = None if service.sites.offers().problem else facilities.matched(service, described.document.steps)
    return ShownWorkflow(offer, described, match=match, recent=recent)
