"""Schedules that users add: checked, their attachments kept. Blocking."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gridcwl.errors import GridCWLError
from gridcwl.model.names import checked_name
from gridcwl.runs.finding import names_files
from gridcwl.schedules import times
from gridcwl.schedules.model import CatchUp, Overlap, Schedule, Trigger
from gridcwl.schedules.store import StoredSchedule
from gridcwl.schedules.views import plain
from gridcwl.service.db import Viewer
from gridcwl.service.folders import SubmittedFolder
from gridcwl.service.problems import BadRequest, Conflict, Forbidden
from gridcwl.service.scheduled_runs import ScheduledRuns
from gridcwl.service.schedules import ServiceSchedules
from gridcwl.service.stored_requests import check_action, check_request, checked_size, drop_folder
from gridcwl.service.web import Service

_SHOWN = 50


class ScheduleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schedule as a client sends it; see ``gridcwl.schedules.model``."""

    name: str
    cron: str = ""
    timezone: str = "UTC"
    every_s: float | None = None
    arrival: str = ""
    group_count: int | None = None
    group_s: float = 0.0
    existing: bool = False
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    deadline_s: float | None = None
    jitter_s: float = 0.0
    pause_after: int | None = None
    keep: int | None = None
    replace: bool = False


def trigger_of(wanted: ScheduleRequest, now: float) -> Trigger:
    """When it runs.

    Raises:
        BadRequest: that means nothing.
    """
    numbers = (wanted.group_s, wanted.jitter_s, wanted.deadline_s or 0, wanted.pause_after or 1, wanted.keep or 1)
    if min(numbers) < 0:
        raise BadRequest("A time or a number of a schedule is negative")
    made = Trigger(
        cron=wanted.cron, timezone=wanted.timezone or "UTC", every_s=wanted.every_s, start=now, query=wanted.arrival,
        group_count=wanted.group_count, group_s=wanted.group_s, existing=wanted.existing,
    )  # fmt: skip
    try:
        times.check(made)
        checked_name(wanted.name, "schedule")
    except GridCWLError as error:
        raise BadRequest(str(error)) from None
    return made


def add(
    service: Service, viewer: Viewer, wanted: ScheduleRequest, fields: Mapping[str, str], folder: SubmittedFolder
) -> bool:
    """Add a schedule, or change one; whether there was one.

    Args:
        service: see there.
        viewer: its owner.
        wanted: when it runs.
        fields: of WES's RunRequest, with templates.
        folder: with what was attached; it becomes the schedule's.

    Raises:
        Refused: the request is wrong, or the user has one of this name.
    """
    now = time.time()
    trigger = trigger_of(wanted, now)
    if trigger.query and names_files(trigger.query) and not service.settings.file_roots:
        raise BadRequest("Files of this machine cannot be waited for: this service reads none")
    check_request(service, fields, folder)
    size = checked_size(service, viewer, folder)
    service.folder.submitted(folder.path.name)
    schedule = Schedule(
        id=secrets.token_hex(8), name=wanted.name, trigger=trigger, overlap=wanted.overlap, catch_up=wanted.catch_up,
        deadline_s=wanted.deadline_s or None, jitter_s=wanted.jitter_s, pause_after=wanted.pause_after or None,
        keep=wanted.keep or None, created=now, owner=viewer.subject, groups=tuple(sorted(viewer.groups)),
        request=dict(fields), files=folder.path.name,
    )  # fmt: skip
    record = ServiceSchedules(service.db.engine)
    before: Schedule | None = None
    if wanted.replace and any(stored.schedule.name == wanted.name for stored in record.of(viewer.subject)):
        before = record.replace(schedule, now, size)
        drop_folder(service, before.files)
    else:
        record.add(schedule, now, size)
    if service.owners is not None:
        service.owners.submitted(viewer)
    service.driver.wake_schedules()
    return before is not None


def found(service: Service, viewer: Viewer, name: str, *, change: bool = False) -> StoredSchedule:
    """A schedule of the caller's, by its name; for operators also anybody's, by its id.

    Raises:
        NotFound: there is none.
        Forbidden: the caller may only read.
    """
    stored = ServiceSchedules(service.db.engine).get(viewer.subject, name, by_id=viewer.sees_all)
    if change and not viewer.may_change(stored.schedule.owner):
        raise Forbidden(f"You may not change the schedule {stored.schedule.name}")
    return stored


def shown(service: Service, viewer: Viewer) -> list[dict[str, Any]]:
    """The schedules that the caller sees, each with its latest run."""
    record = ServiceSchedules(service.db.engine)
    now = time.time()
    stored = record.all() if viewer.sees_all else record.of(viewer.subject)
    return [plain(one, record.latest_ticks(one.schedule.id, 1), now) for one in stored]


def shown_whole(service: Service, stored: StoredSchedule) -> dict[str, Any]:
    """A schedule with its latest runs."""
    record = ServiceSchedules(service.db.engine)
    ticks = record.latest_ticks(stored.schedule.id, _SHOWN)
    return plain(stored, ticks, time.time(), len(record.new_data(stored.schedule.id)))


def act(service: Service, viewer: Viewer, name: str, action: str) -> dict[str, Any]:
    """Pause, resume, run or remove a schedule; returns its name, and of an additional run the id.

    Raises:
        Refused: there is no such schedule, or the caller may not.
    """
    check_action(action, _ACTIONS)
    stored = found(service, viewer, name, change=True)
    record = ServiceSchedules(service.db.engine)
    done = _ACTIONS[action](service, record, stored, viewer)
    service.driver.wake_schedules()
    return {"name": stored.schedule.name} | (done or {})


def _pause(_service: Service, record: ServiceSchedules, stored: StoredSchedule, viewer: Viewer) -> None:
    who = "its user" if viewer.subject == stored.schedule.owner else viewer.subject
    record.pause(stored.schedule.id, f"by {who}")


def _resume(service: Service, record: ServiceSchedules, stored: StoredSchedule, viewer: Viewer) -> None:
    record.pause(stored.schedule.id, None)
    if service.owners is not None and viewer.subject == stored.schedule.owner:
        service.owners.submitted(viewer)


def _run_now(service: Service, record: ServiceSchedules, stored: StoredSchedule, viewer: Viewer) -> dict[str, Any]:
    if service.owners is not None and viewer.subject == stored.schedule.owner:
        service.owners.submitted(viewer)
    now, schedule = time.time(), stored.schedule
    if schedule.trigger.query:
        try:
            found = ScheduledRuns(service, service.owners).matching(schedule.trigger.query, schedule.owner, schedule.id)
        except GridCWLError as error:
            raise BadRequest(str(error)) from None
        with record.transaction():
            if (kept := record.again(stored)) is not None and kept.schedule.trigger.query == schedule.trigger.query:
                record.arrive(kept, found, now)
    return {"run": record.run_now(schedule.id, now).run}


def _remove(service: Service, record: ServiceSchedules, stored: StoredSchedule, _viewer: Viewer) -> None:
    waiting = [tick for tick in record.open_ticks(stored.schedule.id) if tick.driver]
    if any(service.db.get(tick.run) is None for tick in waiting):
        raise Conflict("A run of this schedule is beginning; try again in a moment")
    record.remove(stored.schedule.id)
    drop_folder(service, stored.schedule.files)


_ACTIONS: dict[str, Callable[[Service, ServiceSchedules, StoredSchedule, Viewer], dict[str, Any] | None]] = {
    "pause": _pause,
    "resume": _resume,
    "run-now": _run_now,
    "rm": _remove,
}
