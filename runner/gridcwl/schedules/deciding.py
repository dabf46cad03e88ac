"""What is to be done for a schedule now: pure functions of the schedule, its ticks and the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from gridcwl.schedules import times
from gridcwl.schedules.model import Schedule, Tick, TickState, jitter_of, tick_of_data, tick_of_time

GRACE_S = 300.0
"""A tick that is not older than that was not missed."""
MOST_TICKS = 1000
"""Missed ticks that are caught up at most; the latest ones."""


@dataclass(frozen=True, slots=True)
class Due:
    """What has become due.

    Attributes:
        ticks: new ones.
        cursor: up to here all times have been looked at; seconds since 1970.
    """

    ticks: tuple[Tick, ...]
    cursor: float


def due(schedule: Schedule, cursor: float, now: float, arrived: Sequence[str] = ()) -> Due:
    """The ticks by time that have become due.

    Args:
        schedule: with cron or an interval.
        cursor: where the last look ended. One that lies in the future, as the clock was wrong, is not believed: ticks
            that had a run do not get another, as their keys are known.
        now: seconds since 1970.
        arrived: data that are new, of a schedule with cron and a query.
    """
    cursor = min(cursor, now)
    trigger = schedule.trigger
    if schedule.catch_up == "all" and not trigger.query:
        oldest = cursor if schedule.deadline_s is None else max(cursor, now - schedule.deadline_s)
        found = list(times.ticks_between(trigger, oldest, now))[-MOST_TICKS:]
    else:
        last = times.latest(trigger, cursor, now)
        oldest = now - GRACE_S if schedule.catch_up == "none" else float("-inf")
        found = [last] if last is not None and last >= oldest else []
    ticks = [tick_of_time(schedule, at) for at in found]
    if trigger.query:
        ticks = [replace(tick, dids=tuple(arrived)) for tick in ticks if arrived]
    return Due(tuple(ticks), now)


def complete_groups(schedule: Schedule, waiting: Sequence[tuple[str, float]], now: float) -> list[Tick]:
    """The groups of new data that are complete.

    Args:
        schedule: with a query.
        waiting: data that belong to no group yet, each with the time when it was first seen; in their order.
        now: seconds since 1970.
    """
    trigger = schedule.trigger
    names = [did for did, _ in waiting]
    made: list[Tick] = []
    if trigger.group_count is not None:
        while len(names) >= trigger.group_count:
            made.append(tick_of_data(schedule, names[: trigger.group_count], now))
            names = names[trigger.group_count :]
        first = waiting[len(waiting) - len(names)][1] if names else now
        if names and trigger.group_s and now - first >= trigger.group_s:
            made.append(tick_of_data(schedule, names, now))
    elif names and now - waiting[0][1] >= trigger.group_s:
        made.append(tick_of_data(schedule, names, now))
    return made


@dataclass(frozen=True, slots=True)
class TickDecision:
    """What happens to the ticks of one schedule.

    Attributes:
        start: run these now.
        skip: never run these, each with the reason.
        cancel: stop the runs of these: a later tick takes their place.
        wake: look again then, at the latest; None if nothing is waited for.
    """

    start: tuple[Tick, ...] = ()
    skip: tuple[tuple[Tick, str], ...] = ()
    cancel: tuple[Tick, ...] = ()
    wake: float | None = None


def decide(schedule: Schedule, ticks: Iterable[Tick], now: float, *, paused: bool = False) -> TickDecision:
    """What happens to waiting ticks.

    Args:
        schedule: of the ticks.
        ticks: those that have not ended, in the order of their times.
        now: seconds since 1970.
        paused: only ticks that a user wanted run.
    """
    known = list(ticks)
    active = [tick for tick in known if tick.state is TickState.RUNNING]
    waiting = [tick for tick in known if tick.state is TickState.WAITING]
    start = [tick for tick in waiting if tick.forced]
    skip: list[tuple[Tick, str]] = []
    ready: list[Tick] = []
    wakes: list[float] = []
    for tick in waiting if not paused else ():
        if tick.forced:
            continue
        at = tick.at + jitter_of(schedule, tick)
        if at > now:
            wakes.append(at)
        elif schedule.deadline_s is not None and now > at + schedule.deadline_s:
            skip.append((tick, f"it could not start within {schedule.deadline_s:g} s"))
        else:
            ready.append(tick)
    cancel: list[Tick] = []
    if ready and schedule.overlap == "replace":
        skip += [(tick, "a later one takes its place") for tick in ready[:-1]]
        cancel = active
        ready = ready[-1:]
        start += ready if not active else []
    elif ready and schedule.overlap == "skip":
        busy = bool(active or start)
        start += [] if busy else ready[:1]
        running = active[0].run if active else (start[0].run if start else "")
        skip += [(tick, f"the run {running} is active") for tick in (ready if busy else ready[1:])]
    elif ready and not active and not start:
        start += ready[:1]
    if schedule.deadline_s is not None:
        wakes += [tick.at + jitter_of(schedule, tick) + schedule.deadline_s + 1 for tick in ready if tick not in start]
    return TickDecision(tuple(start), tuple(skip), tuple(cancel), min(wakes, default=None))


def next_look(schedule: Schedule, cursor: float, now: float) -> float | None:
    """When something can become due next."""
    trigger = schedule.trigger
    if trigger.cron:
        return times.next_after(trigger, max(cursor, now) if cursor <= now else now)
    if trigger.query:
        return now + (trigger.every_s or LOOK_EVERY_S)
    return times.next_after(trigger, now)


LOOK_EVERY_S = 300.0
"""How often new data are looked for, if the schedule does not say."""


def failures_in_a_row(ended: Iterable[TickState]) -> int:
    """How many runs failed since the last one that did not, of the latest ones first."""
    count = 0
    for state in ended:
        if state is TickState.FAILED:
            count += 1
        elif state is not TickState.SKIPPED:
            break
    return count


def upcoming(schedule: Schedule, now: float, count: int = 5) -> list[datetime]:
    """The next times, for people."""
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(schedule.trigger.timezone) if schedule.trigger.cron else UTC
    return [datetime.fromtimestamp(at, zone) for at in islice(times.ticks_after(schedule.trigger, now), count)]
