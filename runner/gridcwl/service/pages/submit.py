"""Submitting a document: its files, the choice of one, and a form for its inputs. A run is submitted again so, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.datastructures import FormData, UploadFile

from gridcwl.cwl.described import DescribedDocument
from gridcwl.errors import GridCWLError
from gridcwl.runs.record.folder import new_run_id
from gridcwl.service import drafts as drafts_module
from gridcwl.service import facilities, form_fields, submission
from gridcwl.service.capacity import GPU, has_gpu
from gridcwl.service.db import Viewer
from gridcwl.service.drafts import Draft, Drafts
from gridcwl.service.endings import without_places
from gridcwl.service.form_fields import FormField
from gridcwl.service.forms import form_of
from gridcwl.service.pages import repeating
from gridcwl.service.pages.rendering import PageRoute, TheService, TheViewer, checked, page, redirect
from gridcwl.service.problems import BadRequest, Forbidden, Refused
from gridcwl.service.submitting import enqueue
from gridcwl.service.web import Service
from gridcwl.service.wes import visible

_MOST_FIELDS = 2000

router = APIRouter(route_class=PageRoute)


@router.get("/submit")
def submit_page(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """Which document."""
    _check(viewer)
    return _first_page(request, service)


@router.post("/submit")
async def upload(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """Keep the files; the form for their inputs comes next."""
    _check(viewer)
    async with _form(request, service) as form:
        uploads = [one for one in form.getlist("files") if isinstance(one, UploadFile) and one.filename]
        url = str(form.get("url") or "").strip()
        try:
            draft = await asyncio.to_thread(_new_draft, service, viewer, url, uploads)
        except Refused as problem:
            return _first_page(request, service, problem.message, url)
    return redirect(draft.link)


@router.get("/submit/{draft_id}")
def draft_page(
    request: Request, draft_id: str, service: TheService, viewer: TheViewer, document: Annotated[str, Query()] = ""
) -> Response:
    """The form for the inputs; before that, the choice of the document if there are several."""
    _check(viewer)
    draft = _drafts(service).get(draft_id, viewer.subject)
    if document:
        draft = replace(draft, document=drafts_module.checked_document(document, draft.folder.files))
    if not draft.document:
        known = drafts_module.documents_in(draft.folder.files)
        return page(request, "choose.html", draft=draft, documents=known, may_submit=True)
    return _form_page(request, service, draft)


@router.post("/submit/{draft_id}")
async def submit_draft(request: Request, draft_id: str, service: TheService, viewer: TheViewer) -> Response:
    """Submit a draft with the inputs that were filled in."""
    _check(viewer)
    async with _form(request, service) as form:
        draft = await asyncio.to_thread(_drafts(service).get, draft_id, viewer.subject)
        document = str(form.get("document") or "")
        if document and document != draft.document:  # it was chosen among several
            draft = replace(draft, document=drafts_module.checked_document(document, draft.folder.files))
        return await asyncio.to_thread(_submitted, request, service, viewer, draft, form)


@router.get("/runs/{run_id}/again")
def again_page(request: Request, run_id: str, service: TheService, viewer: TheViewer) -> Response:
    """The form with the inputs of a run."""
    _check(viewer)
    return _form_page(request, service, _of_run(service, viewer, run_id))


@router.post("/runs/{run_id}/again")
async def submit_again(request: Request, run_id: str, service: TheService, viewer: TheViewer) -> Response:
    """Run a document of a run with other inputs."""
    _check(viewer)
    async with _form(request, service) as form:
        draft = await asyncio.to_thread(_of_run, service, viewer, run_id)
        return await asyncio.to_thread(_submitted, request, service, viewer, draft, form)


def _check(viewer: Viewer) -> None:
    if not viewer.may_submit:
        raise Forbidden("You may not submit runs")


def _drafts(service: Service) -> Drafts:
    return Drafts(service.folder, service.settings.max_upload_mib << 20)


def _of_run(service: Service, viewer: Viewer, run_id: str) -> Draft:
    run = visible(service, run_id, viewer)
    return _drafts(service).of_run(run, service.folder.run(run.engine), viewer.subject)


@asynccontextmanager
async def _form(request: Request, service: Service) -> Any:
    """The fields of a form with files, whose token has been checked."""
    limits = service.settings
    reading = form_of(
        request, max_files=limits.max_files, max_fields=_MOST_FIELDS, max_part_size=submission.MOST_FIELD_BYTES
    )
    async with service.uploading, reading as form:
        await checked(request, form)
        yield form


# -- the document ------------------------------------------------------------------------------------------------------


def _first_page(request: Request, service: Service, problem: str = "", url: str = "") -> Response:
    return page(
        request,
        "submit.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK,
        problem=problem,
        url=url,
        allowed=service.settings.allowed_urls,
        most_mib=service.settings.max_upload_mib,
        may_submit=True,
    )


def _new_draft(service: Service, viewer: Viewer, url: str, uploads: list[Any]) -> Draft:
    if bool(url) == bool(uploads):
        raise BadRequest("Choose files, or give a URL")
    drafts = _drafts(service)
    draft = drafts.new(viewer.subject, url)
    try:
        if url:
            if "://" not in url:
                raise BadRequest("The URL is not an http(s), trs or file URL")  # noqa: TRY301
            submission.document_place(url, draft.folder.files, service.driver.confinement())
            return draft
        drafts.add(draft, uploads)
        known = drafts_module.documents_in(draft.folder.files)
        if not known:
            raise BadRequest("None of the files is a CWL document: none has a cwlVersion")  # noqa: TRY301
        if len(known) == 1:
            draft = replace(draft, document=known[0])
            drafts.save(draft)
    except BaseException:
        drafts.remove(draft)
        raise
    return draft


# -- its inputs --------------------------------------------------------------------------------------------------------


def _described(service: Service, draft: Draft) -> DescribedDocument:
    """What the document takes.

    Raises:
        BadRequest: it cannot be read, or is not valid.
    """
    files = draft.folder.files
    place = submission.document_place(draft.document, files, service.driver.confinement())
    try:
        return service.described(place, files)
    except GridCWLError as error:
        raise BadRequest(without_places(str(error), files)) from None


def _form_page(request: Request, service: Service, draft: Draft) -> Response:
    try:
        document = _described(service, draft)
    except BadRequest as problem:
        return _invalid_page(request, draft, problem)
    fields = form_fields.fields_of(document.inputs)
    texts = form_fields.texts_of(fields, draft.params) | _settings_of(draft)
    return _filled_page(request, service, draft, document, fields, texts, {})


def _invalid_page(request: Request, draft: Draft, problem: Refused) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return page(request, "invalid.html", status, draft=draft, problem=problem.message, may_submit=True)


def _filled_page(
    request: Request,
    service: Service,
    draft: Draft,
    document: DescribedDocument,
    fields: list[FormField],
    texts: Mapping[str, str],
    problems: Mapping[str, str],
    other: str = "",
) -> Response:
    failed = bool(problems or other)
    match = None if service.sites.offers().problem else facilities.matched(service, document.steps)
    known = [] if match is None else [*(one.group.name for one in match.groups), *(fit.site.site for fit in match.fits)]
    return page(
        request,
        "inputs.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if failed else HTTPStatus.OK,
        draft=draft,
        document=document,
        fields=fields,
        texts=texts,
        problems=problems,
        other=other,
        labels=dict(_labels(fields)),
        match=match,
        gpu_sites=match is not None and any(has_gpu(fit.site) for fit in match.fits),
        known_choices=[*known, GPU],
        may_submit=True,
    )


def _labels(fields: list[FormField]) -> Any:
    for one in fields:
        yield one.name, (one.id, one.label)
        yield from _labels(list(one.fields))


def _settings_of(draft: Draft) -> dict[str, str]:
    plain = {name.lstrip("-").replace("-", "_"): str(value) for name, value in draft.parameters.items()}
    settings = {name: plain.get(name, "") for name in ("retries", "on_error", "site")}
    return settings | {"name": draft.tags.get("name", "")}


def _submitted(  # noqa: PLR0911
    request: Request, service: Service, viewer: Viewer, draft: Draft, form: FormData
) -> Response:
    """The run's page, or the form again with what is wrong beside each field. Blocks."""
    try:
        document = _described(service, draft)
    except BadRequest as problem:
        return _invalid_page(request, draft, problem)
    drafts = _drafts(service)
    draft = drafts.kept(draft)
    drafts.save(draft)
    fields = form_fields.fields_of(document.inputs)
    texts = _texts(form)
    uploaded, problems = _uploaded(drafts, draft, fields, form)
    repeated = repeating.wanted(texts)
    read = dict(texts)
    for one in fields if repeated else ():
        read[one.name] = repeating.as_written(one, texts.get(one.name, ""))
    filled = form_fields.read(fields, read, uploaded)
    problems |= filled.problems | _misplaced(service, draft, fields, filled.params, later=bool(repeated))
    if repeated == repeating.PRODUCTION:  # its input has its values from elsewhere
        problems.pop(next((one.name for one in fields if one.path[-1] == texts.get("production_input")), ""), None)
    for name, entries in uploaded.items():  # a browser does not send its files again
        words = [form_fields.as_text(entry, "place") for entry in entries]
        text = name.removesuffix(form_fields.UPLOAD)
        texts[text] = "\n".join([*texts.get(text, "").split("\n"), *words]).strip() if len(words) > 1 else words[0]
    if problems:
        return _filled_page(request, service, draft, document, fields, texts, problems)
    try:
        if choice := texts.get("site", "").strip():
            facilities.chosen(service, choice.split(","), document.steps)
    except BadRequest as problem:
        return _filled_page(request, service, draft, document, fields, texts, {}, problem.message)
    if repeated:
        try:
            places = {one.path[-1]: one.place for one in fields if one.place}
            request_fields = _request(draft, filled.params, texts)
            return redirect(repeating.add(service, viewer, draft, request_fields, texts, places))
        except Refused as problem:
            return _filled_page(request, service, draft, document, fields, texts, {}, problem.message)
    run = str(new_run_id())
    folder = service.folder.run(run)
    draft.folder.path.rename(folder.path)
    try:
        for left in ("draft.json", "basket.json"):
            (folder.path / left).unlink(missing_ok=True)
        enqueue(service, viewer, run, folder, _request(draft, filled.params, texts))
    except Refused as problem:
        folder.path.rename(draft.folder.path)
        drafts.save(draft)
        return _filled_page(request, service, draft, document, fields, texts, {}, problem.message)
    if service.owners is not None:
        service.owners.submitted(viewer)
    service.driver.wake()
    return redirect(f"/runs/{run}")


def _texts(form: FormData) -> dict[str, str]:
    """The texts of the form, several of one name as lines."""
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            texts[name] = f"{texts[name]}\n{value}" if name in texts else value
    return texts


def _uploaded(
    drafts: Drafts, draft: Draft, fields: list[FormField], form: FormData
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Files and Directories that were chosen in the form, saved; and what is wrong with their names."""
    found: dict[str, list[Any]] = {}
    problems: dict[str, str] = {}
    for one in _with_inner(fields):
        uploads = [each for each in form.getlist(one.upload) if isinstance(each, UploadFile) and each.filename]
        if not uploads:
            continue
        below = f"uploads/{one.id}"
        try:
            names = drafts.add(draft, uploads, below)  # type: ignore[arg-type]
        except BadRequest as problem:
            problems[one.name] = f"{problem.message}."
            continue
        if one.place == "Directory":
            tops = {PurePosixPath(name).relative_to(below).parts[0] for name in names}
            single = len(tops) == 1 and all(name.count("/") > below.count("/") + 1 for name in names)
            names = [f"{below}/{tops.pop()}" if single else below]
        else:
            names = _primary(names, one)
        found[one.upload] = [{"class": one.place, "location": quote(name)} for name in names]
    return found, problems


def _with_inner(fields: list[FormField]) -> Any:
    for one in fields:
        if one.place:
            yield one
        yield from _with_inner(list(one.fields))


def _primary(names: list[str], one: FormField) -> list[str]:
    """The files without those that lie beside others of them."""
    beside = {other for name in names for pattern in one.secondary if (other := _beside(name, pattern)) != name}
    chosen = [name for name in names if name not in beside] or names
    return chosen if one.many else chosen[:1]


def _beside(name: str, pattern: str) -> str:
    """The name of a secondary file, https://www.commonwl.org/v1.2/CommandLineTool.html#SecondaryFileSchema."""
    pattern = pattern.removesuffix("?")
    while pattern.startswith("^"):
        pattern = pattern[1:]
        stem, dot, _ = name.rpartition(".")
        name = stem if dot and "/" not in name[len(stem) :] else name
    return name + pattern


def _misplaced(
    service: Service, draft: Draft, fields: list[FormField], params: Mapping[str, Any], *, later: bool = False
) -> dict[str, str]:
    """What is wrong with the locations of Files, by the names of the controls; some may be known later only."""
    problems: dict[str, str] = {}
    confinement = service.driver.confinement()
    for one in fields:
        value = params.get(one.path[-1])
        if one.control == "group" and isinstance(value, Mapping):
            problems |= _misplaced(service, draft, list(one.fields), value, later=later)
            continue
        if later and repeating.is_template(value):
            continue
        try:
            copy = json.loads(json.dumps(value))
            submission.check_places(copy, draft.folder.files, confinement, service.schemes)
        except BadRequest as problem:
            problems[one.name] = f"{problem.message.replace(' in workflow_params', '')}."
    return problems


def _request(draft: Draft, params: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, str]:
    """The fields of WES's RunRequest."""
    tags = {name: value for name, value in draft.tags.items() if name != "name"}
    if name := texts.get("name", "").strip():
        tags["name"] = name
    known = ("retries", "on-error", "site")
    parameters = {
        key: value for key, value in draft.parameters.items() if key.lstrip("-").replace("_", "-") not in known
    }
    for setting, parameter in (("retries", "--retries"), ("on_error", "--on-error"), ("site", "--site")):
        if text := texts.get(setting, "").strip():
            parameters[parameter] = text
    return {
        "workflow_type": submission.WORKFLOW_TYPE,
        "workflow_type_version": submission.TYPE_VERSIONS[-1],
        "workflow_url": draft.document,
        "workflow_params": json.dumps(params),
        **({"tags": json.dumps(tags)} if tags else {}),
        **({"workflow_engine_parameters": json.dumps(parameters)} if parameters else {}),
    }
