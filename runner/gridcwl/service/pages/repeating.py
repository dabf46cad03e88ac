"""Schedules and productions: lists, each one, what can be done with them; and what the form for a run says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gridcwl.errors import GridCWLError
from gridcwl.productions.model import seeds_of
from gridcwl.runs.units import seconds_of
from gridcwl.schedules.model import DIDS
from gridcwl.service import production_requests, schedule_requests
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.drafts import Draft
from gridcwl.service.form_fields import FormField
from gridcwl.service.pages.rendering import Form, PageRoute, TheService, TheViewer, page, redirect
from gridcwl.service.problems import BadRequest, Refused
from gridcwl.service.stored_requests import converted, new_folder
from gridcwl.service.web import Service

_SHOWN_PORTIONS = 500
SCHEDULE, PRODUCTION = "schedule", "production"

router = APIRouter(route_class=PageRoute)


@router.get("/schedules")
def schedules_page(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """All schedules."""
    shown = schedule_requests.shown(service, viewer)
    return page(request, "schedules.html", shown=shown, viewer=viewer, may_submit=viewer.may_submit)


@router.get("/schedules/{name}")
def schedule_page(request: Request, name: str, service: TheService, viewer: TheViewer) -> Response:
    """One schedule: its next times and its latest runs."""
    kept = schedule_requests.found(service, viewer, name)
    about = schedule_requests.shown_whole(service, kept)
    runs = service.db.some([tick["run"] for tick in about["ticks"]], viewer)
    return page(
        request, "schedule.html", about=about, runs=runs, key=_key(about, viewer),
        may_change=viewer.may_change(kept.schedule.owner), may_submit=viewer.may_submit,
    )  # fmt: skip


@router.post("/schedules/{name}/{action}")
def change_schedule(name: str, action: str, _form: Form, service: TheService, viewer: TheViewer) -> Response:
    """Pause, resume, run or remove a schedule."""
    schedule_requests.act(service, viewer, name, action)
    return redirect("/schedules" if action == "rm" else f"/schedules/{name}")


@router.get("/productions")
def productions_page(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """All productions, with their progress."""
    shown = production_requests.shown(service, viewer)
    return page(request, "productions.html", shown=shown, viewer=viewer, may_submit=viewer.may_submit)


@router.get("/productions/{name}")
def production_page(request: Request, name: str, service: TheService, viewer: TheViewer) -> Response:
    """One production: its portions, and what failed."""
    production = production_requests.found(service, viewer, name)
    about = production_requests.shown_whole(service, production)
    portions = about["portions"]
    latest = {one["run"]: run for one in portions[:_SHOWN_PORTIONS] if (run := _latest(service, one["run"], viewer))}
    return page(
        request, "production.html", about=about, portions=portions[:_SHOWN_PORTIONS], runs=latest,
        key=_key(about, viewer), may_change=viewer.may_change(production.owner), more=len(portions) > _SHOWN_PORTIONS,
        may_submit=viewer.may_submit,
    )  # fmt: skip


@router.post("/productions/{name}/{action}")
def change_production(name: str, action: str, form: Form, service: TheService, viewer: TheViewer) -> Response:
    """Extend, retry, stop or remove a production."""
    count = str(form.get("count") or "").strip()
    given = {"count": int(count) if count.isascii() and count.isdigit() else None}
    production_requests.act(service, viewer, name, action, given)
    return redirect("/productions" if action == "rm" else f"/productions/{name}")


def _latest(service: Service, engine: str, viewer: Viewer) -> StoredRun | None:
    run = service.db.latest_of(engine)
    return None if run is None else service.db.get(run.id, viewer)


def _key(about: Mapping[str, Any], viewer: Viewer) -> str:
    """How the page of one is named: those of others by their id."""
    return str(about["name"] if about["owner"] == viewer.subject else about["id"])


# -- in place of a run -------------------------------------------------------------------------------------------------


def wanted(texts: Mapping[str, str]) -> str:
    """Whether a form wants a schedule or a production in place of a run."""
    return texts.get("repeat", "") if texts.get("repeat") in (SCHEDULE, PRODUCTION) else ""


def as_written(one: FormField, text: str) -> str:
    """A text of the form, in which data that arrive are written as its control takes them."""
    if text.strip() != DIDS:
        return text
    if one.place:
        return json.dumps({"class": one.place, "location": DIDS})
    return json.dumps(DIDS) if one.control == "written" else text


def is_template(value: Any) -> bool:
    """Whether a value of the form stands for data that are known only when a run begins."""
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(one, dict) and one.get("location") == DIDS for one in entries)


def add(
    service: Service,
    viewer: Viewer,
    draft: Draft,
    fields: Mapping[str, str],
    texts: Mapping[str, str],
    places: Mapping[str, str],
) -> str:
    """Make a schedule or a production of a draft, whose files become its own; returns its page.

    Args:
        service: see there.
        viewer: its owner.
        draft: the document.
        fields: of WES's RunRequest.
        texts: of the form.
        places: the inputs that are Files or Directories: which of these.

    Raises:
        Refused: something is wrong; the draft is as it was.
    """
    folder = new_folder(service)
    about = (draft.folder.path / "draft.json").read_text("utf-8")
    draft.folder.path.rename(folder.path)
    try:
        for left in ("draft.json", "basket.json"):
            (folder.path / left).unlink(missing_ok=True)
        if wanted(texts) == SCHEDULE:
            schedule = _schedule(texts)
            schedule_requests.add(service, viewer, schedule, fields, folder)
            return f"/schedules/{schedule.name}"
        production = _production(texts, places)
        production_requests.create(service, viewer, production, fields, folder)
    except Refused:
        folder.path.rename(draft.folder.path)
        (draft.folder.path / "draft.json").write_text(about, "utf-8")
        raise
    return f"/productions/{production.name}"


_SEEDS = re.compile(r"\s*-?\d+\s*\.\.\s*-?\d+\s*")


def _schedule(texts: Mapping[str, str]) -> schedule_requests.ScheduleRequest:
    text = {name.removeprefix("repeat_"): value.strip() for name, value in texts.items() if name.startswith("repeat_")}
    kind = text.get("when", "cron")
    made: dict[str, Any] = {"name": text.get("name", ""), "cron": "", "arrival": ""}
    if kind == "cron":
        made |= {"cron": text.get("cron", ""), "timezone": text.get("timezone", "") or "UTC"}
    elif kind == "every":
        made["every_s"] = _seconds(text.get("every", ""), "The interval")
    else:
        made |= {"arrival": text.get("arrival", ""), "existing": bool(text.get("existing"))}
        made["group_count"] = _number(text.get("group_count", ""), "The number of files in a run")
    made |= {"overlap": text.get("overlap", "skip"), "catch_up": text.get("catch_up", "latest")}
    made["pause_after"] = _number(text.get("pause_after", ""), "The number of failures")
    return converted(made, schedule_requests.ScheduleRequest, SCHEDULE)


def _production(texts: Mapping[str, str], places: Mapping[str, str]) -> production_requests.ProductionRequest:
    made: dict[str, Any] = {"name": texts.get("production_name", "").strip()}
    made["input"] = texts.get("production_input", "").strip()
    over = texts.get("production_over", "").strip()
    if _SEEDS.fullmatch(over):
        try:
            _, seeds = seeds_of(f"seed={over}")
        except GridCWLError as error:
            raise BadRequest(error.message) from None
        made["seeds"] = (seeds.start, seeds.stop - 1)
    elif "\n" not in over and ("*" in over or "://" in over):
        made["query"] = over
    else:
        lines = [line.strip() for line in over.splitlines() if line.strip()]
        kind = places.get(made["input"])
        made["items"] = [{"class": kind, "location": line} for line in lines] if kind else list(map(_value, lines))
    for name, what in (("each", "Values for one instance"), ("portion", "Instances in a run")):
        if (number := _number(texts.get(f"production_{name}", ""), what)) is not None:
            made[name] = number
    return converted(made, production_requests.ProductionRequest, PRODUCTION)


def _value(text: str) -> Any:
    """A number where it is one."""
    try:
        return int(text)
    except ValueError:
        return text


def _number(text: str, what: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdigit() or not int(text.strip()[:9]) > 0:
        raise BadRequest(f"{what} is {text[:40]!r}, but takes a whole number from 1 on")
    return int(text)


def _seconds(text: str, what: str) -> float:
    seconds = seconds_of(text)
    if seconds is None:
        raise BadRequest(f"{what} is {text[:40]!r}, but takes a time as 15m, 6h or 1d")
    return seconds
