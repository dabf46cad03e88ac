"""A step of the form for a run: items of an ESAP basket, or rows of Virtual Observatory results, as inputs."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.datastructures import FormData, UploadFile

from gridcwl.cwl.described import DescribedDocument
from gridcwl.datasets import vo
from gridcwl.datasets.items import Item
from gridcwl.datasets.rules import Mapped, usual_rules
from gridcwl.errors import ConfigError, GridCWLError
from gridcwl.service import basket_requests, submission
from gridcwl.service.basket_requests import BasketQuery
from gridcwl.service.db import Viewer
from gridcwl.service.drafts import Draft, Drafts
from gridcwl.service.endings import without_places
from gridcwl.service.forms import form_of
from gridcwl.service.pages.rendering import PageRoute, TheService, TheViewer, checked, page, redirect
from gridcwl.service.problems import BadRequest, Forbidden
from gridcwl.service.web import Service

_KEPT = "basket.json"

router = APIRouter(route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was found, and the rules for it."""

    items: tuple[Item, ...] = ()
    unknown: tuple[tuple[int, str], ...] = ()
    rules: str = ""


@router.get("/submit/{draft_id}/basket")
def basket_page(request: Request, draft_id: str, service: TheService, viewer: TheViewer) -> Response:
    """Where data come from; and what was found."""
    draft, document = _draft(service, viewer, draft_id)
    return _page(request, service, draft, document, _kept(draft), {})


@router.post("/submit/{draft_id}/basket")
async def basket_step(request: Request, draft_id: str, service: TheService, viewer: TheViewer) -> Response:
    """Look for items, map them by other rules, or use what they become."""
    reading = form_of(request, max_files=2, max_fields=50, max_part_size=submission.MOST_FIELD_BYTES)
    async with service.uploading, reading as form:
        await checked(request, form)
        return await asyncio.to_thread(_done, request, service, viewer, draft_id, form)


def _draft(service: Service, viewer: Viewer, draft_id: str) -> tuple[Draft, DescribedDocument]:
    if not viewer.may_submit:
        raise Forbidden("You may not submit runs")
    draft = _drafts(service).get(draft_id, viewer.subject)
    place = submission.document_place(draft.document, draft.folder.files, service.driver.confinement())
    try:
        return draft, service.described(place, draft.folder.files)
    except GridCWLError as error:
        raise BadRequest(without_places(str(error), draft.folder.files)) from None


def _drafts(service: Service) -> Drafts:
    return Drafts(service.folder, service.settings.max_upload_mib << 20)


def _done(request: Request, service: Service, viewer: Viewer, draft_id: str, form: FormData) -> Response:
    draft, document = _draft(service, viewer, draft_id)
    texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    chosen = replace(_kept(draft), rules=texts.get("rules", "").replace("\r\n", "\n"))
    try:
        if texts.get("do") == "find":
            items, unknown = _found(service, viewer, draft, texts, form)
            chosen = replace(chosen, items=tuple(items), unknown=tuple(unknown))
        _keep(draft, chosen)
        if texts.get("do") == "use":
            drafts = _drafts(service)
            drafts.save(replace(draft, params={**draft.params, **_mapped(service, chosen, document).inputs}))
            return redirect(draft.link)
    except GridCWLError as error:
        return _page(request, service, draft, document, chosen, texts, f"{error.message}. {error.remedy}".strip())
    except BadRequest as problem:
        return _page(request, service, draft, document, chosen, texts, problem.message)
    return _page(request, service, draft, document, chosen, texts)


# -- items -------------------------------------------------------------------------------------------------------------


def _found(
    service: Service, viewer: Viewer, draft: Draft, texts: dict[str, str], form: FormData
) -> tuple[list[Item], list[tuple[int, str]]]:
    source, text = texts.get("source", ""), {name: value.strip() for name, value in texts.items()}
    if source == "votable":
        return _of_table(draft, form), []
    values = {name: text[name] for name in ("token", "url", "query") if text.get(name)}
    position = _position(text.get("position", "")) if source == "sia" else None
    about = {**values, "source": source, "dids": text.get("dids", "").split(), "position": position}
    try:
        wanted = msgspec.convert(about, BasketQuery)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The form is wrong: {error}") from None
    return basket_requests.found(service, viewer, wanted)


def _position(text: str) -> list[float] | None:
    try:
        ra, dec, radius = (float(one) for one in text.split(","))
    except ValueError:
        raise BadRequest("The position is not written as RA,DEC,RADIUS in degrees") from None
    return [ra, dec, radius]


def _of_table(draft: Draft, form: FormData) -> list[Item]:
    upload = form.get("table")
    if not isinstance(upload, UploadFile) or not upload.filename:
        raise BadRequest("No file was chosen")
    place = draft.folder.path / "table.xml"
    try:
        place.write_bytes(upload.file.read(submission.MOST_FIELD_BYTES))
        return vo.votable(place, most=basket_requests.MOST_ROWS)
    except ConfigError as error:
        raise BadRequest(error.message.replace(str(place), "The file")) from None
    finally:
        place.unlink(missing_ok=True)


def _kept(draft: Draft) -> Chosen:
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads((draft.folder.path / _KEPT).read_text("utf-8"))
        items = tuple(Item(one["archive"], one["record"], one["number"]) for one in known["items"])
        return Chosen(items, tuple((int(number), str(why)) for number, why in known["unknown"]), known["rules"])
    return Chosen()


def _keep(draft: Draft, chosen: Chosen) -> None:
    items = [{"archive": one.archive, "record": dict(one.record), "number": one.number} for one in chosen.items]
    plain = {"items": items, "unknown": chosen.unknown, "rules": chosen.rules}
    Path(draft.folder.path / _KEPT).write_text(json.dumps(plain), "utf-8")


# -- rules -------------------------------------------------------------------------------------------------------------


def _rules_of(document: DescribedDocument) -> str:
    """The usual rules, as a user may edit them."""
    from io import StringIO

    from ruamel.yaml import YAML

    yaml, text = YAML(typ="safe"), StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump({"rules": [rule.plain() for rule in usual_rules(basket_requests.ports_of(document))]}, text)
    return text.getvalue()


def _mapped(service: Service, chosen: Chosen, document: DescribedDocument) -> Mapped:
    """The inputs that items become.

    Raises:
        ConfigError: a rule means nothing.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        written = YAML(typ="safe").load(chosen.rules) if chosen.rules.strip() else None
    except YAMLError as error:
        raise ConfigError(f"The rules are not readable YAML: {str(error).splitlines()[0]}") from None
    return basket_requests.mapped_items(service, chosen.items, written, document)


def _page(
    request: Request,
    service: Service,
    draft: Draft,
    document: DescribedDocument,
    chosen: Chosen,
    texts: dict[str, str],
    problem: str = "",
) -> Response:
    rows: list[dict[str, Any]] = []
    inputs: dict[str, Any] = {}
    try:
        made = _mapped(service, chosen, document)
        inputs = made.inputs
        rows = basket_requests.rows(chosen.items, chosen.unknown, made)
    except GridCWLError as error:
        problem = problem or f"{error.message}. {error.remedy}".strip()
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
    return page(
        request, "basket.html", status, draft=draft, document=document, texts=texts, rows=rows, inputs=inputs,
        rules=chosen.rules or _rules_of(document), problem=problem.rstrip("."), gateway=service.settings.esap_gateway,
        urls=service.settings.allowed_urls, may_submit=True,
    )  # fmt: skip
