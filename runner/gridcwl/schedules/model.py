"""Schedules and their ticks: plain values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, TypeAlias

import msgspec

from gridcwl.model import RunId

Overlap: TypeAlias = Literal["skip", "queue", "replace"]
CatchUp: TypeAlias = Literal["none", "latest", "all"]
_DIGITS = 6
"""Of the digest in a run's id."""


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule runs. Either ``cron`` or ``every_s`` or ``query`` is given; ``query`` may go with ``cron``.

    Attributes:
        cron: five fields.
        timezone: in which cron is meant, as ``Europe/Berlin``.
        every_s: seconds from one tick to the next; of a data arrival: from one look to the next.
        start: where intervals count from; seconds since 1970.
        query: data that match it and are new: a DID pattern, a Rucio query, or files of this machine.
        group_count: so many data in one run; None for all that there are.
        group_s: wait so long for a group to fill up, from its first data on; 0 waits for nothing.
        existing: data that are there when the schedule is added count as new.
    """

    cron: str = ""
    timezone: str = "UTC"
    every_s: float | None = None
    start: float = 0.0
    query: str = ""
    group_count: int | None = None
    group_s: float = 0.0
    existing: bool = False


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule, as its user wrote it.

    Attributes:
        id: the same for as long as the schedule exists, also when it is edited; ids of runs come from it.
        name: for people.
        trigger: when it runs.
        words: a command line of ``gridcwl``, with templates.
        cwd: where relative paths count from.
        overlap: what happens at a tick while a run of the schedule is active.
        catch_up: which missed ticks run later.
        deadline_s: a tick that could not start for so long is skipped; None for no limit.
        jitter_s: each tick is moved by up to so much, always by the same amount.
        pause_after: pause after so many failed runs, one after the other; None never does.
        keep: records of so many ended runs are kept; None keeps all.
        created: seconds since 1970.
        owner: whose runs these are, at a service.
        groups: at a service, who sees the runs.
        request: at a service, the fields of a request for a run, with templates, in place of ``words``.
        files: at a service, where what was attached to the request is kept.
    """

    id: str
    name: str
    trigger: Trigger
    words: tuple[str, ...] = ()
    cwd: str = ""
    overlap: Overlap = "skip"
    catch_up: CatchUp = "latest"
    deadline_s: float | None = None
    jitter_s: float = 0.0
    pause_after: int | None = None
    keep: int | None = None
    created: float = 0.0
    owner: str = ""
    groups: tuple[str, ...] = ()
    request: dict[str, str] = {}
    files: str = ""


class TickState(StrEnum):
    """How a tick stands."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        """It will not run any more."""
        return self not in (TickState.WAITING, TickState.RUNNING)


@dataclass(frozen=True, slots=True)
class Tick:
    """One time at which a schedule runs, or one group of data.

    Attributes:
        key: unique within the schedule: the time, or a digest of the data.
        at: seconds since 1970: when it is due, without jitter.
        run: the id of its run.
        state: how it stands.
        dids: the data of an arrival.
        driver: who works on it, if it runs.
        message: why it was skipped or failed.
        forced: a user wanted it now: neither overlap nor deadline holds it back.
    """

    key: str
    at: float
    run: RunId
    state: TickState = TickState.WAITING
    dids: tuple[str, ...] = ()
    driver: str = ""
    message: str = ""
    forced: bool = False


def run_id(schedule: str, key: str, at: float) -> RunId:
    """The id of a tick's run: a digest of schedule and tick, so that no tick has two runs."""
    digest = hashlib.sha256(f"{schedule}\0{key}".encode()).hexdigest()[:_DIGITS]
    return RunId(f"{datetime.fromtimestamp(at, UTC):%Y%m%d-%H%M%S}-{digest}")


def tick_of_time(schedule: Schedule, at: float) -> Tick:
    """The tick of a time."""
    key = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Tick(key, at, run_id(schedule.id, key, at))


def tick_of_data(schedule: Schedule, dids: Sequence[str], at: float) -> Tick:
    """The tick of a group of data; the same whenever it is looked at, but for the time in the run's id."""
    key = hashlib.sha256("\0".join(sorted(dids)).encode()).hexdigest()[:32]
    return Tick(key, at, run_id(schedule.id, key, at), dids=tuple(dids))


def jitter_of(schedule: Schedule, tick: Tick) -> float:
    """By how much a tick is moved: always the same, and spread over the schedules."""
    digest = hashlib.sha256(f"jitter\0{schedule.id}\0{tick.key}".encode()).digest()
    return schedule.jitter_s * int.from_bytes(digest[:4], "big") / 2**32


# -- templates -----------------------------------------------------------------------------------------------------

DIDS = "{dids}"
"""A value that is this alone becomes the list of Files."""
_TEMPLATE = re.compile(r"\{(tick|dids|schedule|run)(?::([^{}]+))?\}")


@dataclass(frozen=True, slots=True)
class Values:
    """What templates stand for in one run."""

    tick: datetime
    schedule: str
    run: str
    dids: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)

    def text(self, template: str) -> str:
        """A text with values: ``{tick}``, ``{tick:%Y-%m-%d}``, ``{dids}``, ``{schedule}``, ``{run}``."""
        return _TEMPLATE.sub(self._value, template)

    def _value(self, found: re.Match[str]) -> str:
        if found[1] == "tick":
            return self.tick.strftime(found[2]) if found[2] else self.tick.isoformat()
        if found[1] == "dids":
            return ",".join(self.dids)
        return self.schedule if found[1] == "schedule" else self.run

    def of(self, value: Any) -> Any:
        """An input object with values; a text that is ``{dids}`` alone becomes a list of Files."""
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list):
            made = [self.of(item) for item in value]
            return self.of(DIDS) if value in ([DIDS], [{"class": "File", "location": DIDS}]) else made
        if value == DIDS:
            return [{"class": "File", "location": did} for did in self.dids]
        return self.text(value) if isinstance(value, str) else value


def has_template(text: str) -> bool:
    """Whether a text has a template in it."""
    return _TEMPLATE.search(text) is not None


def values_of(schedule: Schedule, tick: Tick) -> Values:
    """The values of a tick; its time is in the schedule's time zone."""
    from zoneinfo import ZoneInfo

    at = datetime.fromtimestamp(tick.at, ZoneInfo(schedule.trigger.timezone))
    return Values(at, schedule.name, tick.run, tick.dids)
