"""Schedules as people and programs see them: plain values, the same from this machine and from a service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from gridcwl.schedules.deciding import upcoming
from gridcwl.schedules.model import Schedule, Tick
from gridcwl.schedules.store import StoredSchedule

_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60))
_PRIVATE = ("request", "files", "groups")
NEXT = 5


def plain(stored: StoredSchedule, ticks: Sequence[Tick], now: float, new_data: int = 0) -> dict[str, Any]:
    """A schedule for JSON.

    Args:
        kept: the schedule, and how it stands.
        ticks: the latest first.
        now: seconds since 1970.
        new_data: how many data wait for a run.
    """
    schedule = stored.schedule
    made = {name: value for name, value in msgspec.to_builtins(schedule).items() if name not in _PRIVATE}
    if schedule.request:
        made |= {"document": schedule.request.get("workflow_url", "")}
    return made | {
        "when": when(schedule),
        "state": standing(stored),
        "next": [] if stored.paused is not None else [f"{at:%Y-%m-%d %H:%M:%S %Z}" for at in next_times(stored, now)],
        "paused": stored.paused,
        "problem": stored.problem,
        "new_data": new_data,
        "ticks": [
            {"at": tick.at, "run": tick.run, "state": str(tick.state), "dids": list(tick.dids), "message": tick.message}
            for tick in ticks
        ],
    }


def next_times(stored: StoredSchedule, now: float, count: int = NEXT) -> list[datetime]:
    """When it runs next; empty for one that waits for data only."""
    if stored.schedule.trigger.query and not stored.schedule.trigger.cron:
        return []
    return upcoming(stored.schedule, now, count)


def when(schedule: Schedule) -> str:
    """When a schedule runs, for people."""
    trigger = schedule.trigger
    parts = [f"cron {trigger.cron} ({trigger.timezone})"] if trigger.cron else []
    if trigger.query:
        parts.append(f"new data of {trigger.query}")
        parts += [f"{trigger.group_count} at a time"] if trigger.group_count else []
    elif trigger.every_s:
        parts.append(f"every {in_units(trigger.every_s)}")
    return ", ".join(parts)


def in_units(seconds: float) -> str:
    """A time as it is typed: ``15m``."""
    for unit, length in _UNITS:
        if seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def standing(stored: StoredSchedule) -> str:
    """How a schedule stands, for people."""
    if stored.paused is not None:
        return f"paused: {stored.paused}"
    return "problem" if stored.problem else "active"


def next_of(about: dict[str, Any]) -> str:
    """When a schedule runs next, for people."""
    if about["paused"] is not None:
        return ""
    trigger = about["trigger"]
    if trigger["query"] and not trigger["cron"]:
        return "when data arrive"
    return str(next(iter(about["next"]), "never"))
