"""Baskets for programs: the routes below ``/api/v1/baskets``, and a run's outputs into a basket."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Body, Depends, Request

from gridcwl.cwl.described import DescribedDocument
from gridcwl.datasets.rules import usual_rules
from gridcwl.errors import GridCWLError
from gridcwl.service import basket_requests, submission
from gridcwl.service.basket_requests import Addition, BasketQuery
from gridcwl.service.db import Viewer
from gridcwl.service.endings import without_places
from gridcwl.service.folders import SubmittedFolder
from gridcwl.service.problems import BadRequest
from gridcwl.service.stored_requests import converted
from gridcwl.service.submitting import parted
from gridcwl.service.web import Service, check_may_submit, service_of, viewer_of
from gridcwl.service.wes import visible

router = APIRouter(prefix="/api/v1", include_in_schema=False)
_Service = Annotated[Service, Depends(service_of)]
_Viewer = Annotated[Viewer, Depends(viewer_of)]
_Given = Annotated[dict[str, Any] | None, Body()]
T = TypeVar("T")


@router.post("/baskets/items")
def list_items(service: _Service, viewer: _Viewer, given: _Given = None) -> dict[str, Any]:
    """The items of a source, and what in it is none."""
    wanted = _read(viewer, given or {}, BasketQuery)
    with basket_requests.refusals():
        items, unknown = basket_requests.found(service, viewer, wanted)
    reasons = [{"number": number, "reason": why} for number, why in unknown]
    return {"items": [basket_requests.plain(item) for item in items], "unknown": reasons}


@router.post("/baskets/rules")
async def usual(request: Request, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """The usual mapping rules for a document: the fields ``workflow_url`` and ``workflow_attachment`` of WES."""
    return await _of_document(request, service, viewer, _usual)


@router.post("/baskets/inputs")
async def preview(request: Request, service: _Service, viewer: _Viewer) -> dict[str, Any]:
    """What items become as inputs of a document, and item by item why not: in addition the field ``basket``."""

    def mapped(document: DescribedDocument, about: str) -> dict[str, Any]:
        try:
            given = msgspec.json.decode(about or "{}")
        except (msgspec.MsgspecError, RecursionError) as error:
            raise BadRequest(f"The field basket is wrong: {error}") from None
        wanted = _read(viewer, given, BasketQuery)
        items, unknown = basket_requests.found(service, viewer, wanted)
        made = basket_requests.mapped_items(service, items, wanted.rules, document)
        return {"inputs": made.inputs, "items": basket_requests.rows(items, unknown, made)}

    return await _of_document(request, service, viewer, mapped)


@router.post("/baskets/add")
def add_items(service: _Service, viewer: _Viewer, given: _Given = None) -> dict[str, Any]:
    """Put DIDs and URLs into the caller's basket."""
    addition = _read(viewer, given or {}, Addition)
    with basket_requests.refusals():
        return basket_requests.add(service, viewer, addition)


@router.post("/runs/{run_id}/basket")
def add_outputs(run_id: str, service: _Service, viewer: _Viewer, given: _Given = None) -> dict[str, Any]:
    """Put a run's outputs into the caller's basket."""
    run = visible(service, run_id, viewer)
    addition = _read(viewer, given or {}, Addition)
    with basket_requests.refusals():
        return basket_requests.add(service, viewer, addition, run)


def _read(viewer: Viewer, given: Any, kind: type[T]) -> T:
    check_may_submit(viewer)
    return converted(given, kind, "request")


def _usual(document: DescribedDocument, _about: str) -> dict[str, Any]:
    ports = basket_requests.ports_of(document)
    return {
        "rules": [rule.plain() for rule in usual_rules(ports)],
        "inputs": [{"name": port.name, "type": port.kind, "many": port.many} for port in ports],
    }


async def _of_document(
    request: Request, service: Service, viewer: Viewer, make: Callable[[DescribedDocument, str], dict[str, Any]]
) -> dict[str, Any]:
    check_may_submit(viewer)
    async with service.uploading:
        fields, uploads, form = await parted(request, service, "basket")
        try:
            return await asyncio.to_thread(_made, service, fields, uploads, make)
        finally:
            await form.close()


def _made(
    service: Service,
    fields: Mapping[str, str],
    uploads: Sequence[Any],
    make: Callable[[DescribedDocument, str], dict[str, Any]],
) -> dict[str, Any]:
    url = fields.get("workflow_url")
    if not url:
        raise BadRequest("The field workflow_url is missing")
    place = service.folder.scratch()
    folder = SubmittedFolder(place)
    try:
        submission.save_attachments(uploads, folder.files)
        document = submission.document_place(url, folder.files, service.driver.confinement())
        try:
            described = service.described(document, folder.files)
        except GridCWLError as error:
            raise BadRequest(without_places(str(error), folder.files)) from None
        with basket_requests.refusals():
            return make(described, fields.get("basket", ""))
    finally:
        shutil.rmtree(place, ignore_errors=True)
