"""The catalogue and the facilities for programs, such as an ESAP gateway: below ``/api/v1``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from gridcwl.cwl.described import DescribedInput
from gridcwl.cwl.step_requirements import StepRequirements
from gridcwl.service import capacity, facilities
from gridcwl.service.catalogue import DescribedOffer
from gridcwl.service.catalogue_runs import TAG, RecentRuns, recent_runs
from gridcwl.service.catalogue_sources import CatalogueWorkflow
from gridcwl.service.db import Viewer
from gridcwl.service.native import PREFIX
from gridcwl.service.problems import BadRequest, Forbidden
from gridcwl.service.web import Service, service_of, viewer_of

router = APIRouter(prefix=PREFIX, include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]


@router.get("/facilities")
def list_facilities(service: _Service, viewer: _Viewer) -> dict[str, Any]:  # noqa: ARG001  whoever asks is known
    """The sites with what they offer, and the groups that users choose: with all of them under the backend's name."""
    offers = service.sites.offers()
    groups = [
        {
            "name": group.name,
            "description": group.description,
            "url": group.url,
            "kind": group.kind or offers.backend,
            "sites": list(group.sites),
            "open": any(site.is_open for site in offers.sites if site.site in group.sites),
            "gpu": any(capacity.has_gpu(site) for site in offers.sites if site.site in group.sites),
        }
        for group in facilities.groups(service)
    ]
    return {
        "backend": offers.backend,
        "problem": offers.problem,
        "facilities": groups,
        "sites": [capacity.plain(site) for site in offers.sites],
    }


@router.get("/catalogue")
def list_workflows(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """All workflows, with what they take, what they need and where they can run."""
    recent = recent_runs(service, viewer)
    shown = [_workflow(service, offer, recent.get(offer.name, RecentRuns())) for offer in service.catalogue.offers()]
    return {"workflows": shown}


@router.get("/catalogue/{name}")
def show_workflow(name: str, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """One workflow of the catalogue."""
    return _workflow(service, service.catalogue.get(name), recent_runs(service, viewer).get(name, RecentRuns()))


@router.post("/catalogue/refresh")
async def refresh(service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """Read all documents again; what is not offered, and why."""
    if not viewer.may_operate:
        raise Forbidden("You may not refresh the catalogue")
    await asyncio.to_thread(service.catalogue.refresh)
    return {"problems": dict(service.catalogue.problems)}


def _workflow(service: Service, offer: CatalogueWorkflow, recent: RecentRuns) -> dict[str, Any]:
    about: dict[str, Any] = {"name": offer.name, "workflow_url": offer.url, "tags": {TAG: offer.name}}
    try:
        described = service.catalogue.described(offer)
    except BadRequest as problem:
        return about | {"label": offer.label or offer.name, "doc": offer.doc, "problem": problem.message}
    return about | _described(described) | _matched(service, described) | {"recent": _cost(recent)}


def _described(described: DescribedOffer) -> dict[str, Any]:
    return {
        "label": described.title,
        "doc": described.doc,
        "inputs": [_input(one) for one in described.document.inputs],
        "steps": [_step(one) for one in described.document.steps],
        "problem": "",
    }


def _input(one: DescribedInput) -> dict[str, Any]:
    return {
        "name": one.name,
        "type": str(one.kind),
        "required": one.required,
        "label": one.label,
        "doc": one.doc,
        "default": one.default,
        "symbols": list(one.kind.symbols),
    }


def _step(one: StepRequirements) -> dict[str, Any]:
    return {
        "name": one.name,
        "needs": capacity.needs_in_words(one),
        "cores": one.cores,
        "ram_mib": one.ram_mib,
        "disk_mib": one.disk_mib,
        "gpus": one.gpus,
        "time_s": one.time_s,
        "image": one.image,
        "sites": list(one.sites),
        "banned": list(one.banned),
        "tags": list(one.tags),
        "several": one.several,
        "conditional": one.conditional,
        "by_inputs": list(one.by_inputs),
    }


def _matched(service: Service, described: DescribedOffer) -> dict[str, Any]:
    if service.sites.offers().problem:
        return {"summary": "", "details": [], "sites": []}
    match = facilities.matched(service, described.document.steps)
    return {"summary": match.summary, "details": list(match.details), "sites": list(match.able)}


def _cost(recent: RecentRuns) -> Mapping[str, Any]:
    counted: dict[str, Any] = {"runs": recent.counted, "complete": recent.complete, "elapsed_s": recent.elapsed_s}
    return counted | ({} if recent.cost is None else {"cost": recent.cost.plain()})
