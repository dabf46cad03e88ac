"""Times at which schedules are due: cron in a time zone, and intervals. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gridcwl.errors import ConfigError
from gridcwl.schedules.model import Trigger

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Of cron."""
LONGEST_S = 5 * 366 * 86_400
"""No cron expression is looked at further than that: some never come true."""


def check(trigger: Trigger) -> None:
    """See that a trigger can be used.

    Raises:
        ConfigError: cron or time zone mean nothing, or the package for cron is not installed.
    """
    if not (trigger.cron or trigger.every_s is not None or trigger.query):
        raise ConfigError("A schedule needs a cron expression, an interval, or a query for data that arrive")
    if trigger.cron and trigger.every_s is not None:
        raise ConfigError("A cron expression and an interval exclude each other")
    if not trigger.query and (trigger.group_count or trigger.group_s or trigger.existing):
        raise ConfigError("Groups of data need a query for data that arrive")
    if trigger.cron and (trigger.group_count or trigger.group_s):
        raise ConfigError("With a cron expression, all data that arrived since the last time are one group")
    if trigger.cron:
        try:
            ZoneInfo(trigger.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"There is no time zone {trigger.timezone!r}", remedy="Write it as in Europe/Berlin, or UTC."
            ) from None
        _cron(trigger, datetime.now(UTC))
    if trigger.every_s is not None and trigger.every_s < 1:
        raise ConfigError("An interval is one second at least")
    if trigger.group_count is not None and trigger.group_count < 1:
        raise ConfigError("A group has one file or dataset at least")


def ticks_after(trigger: Trigger, after: float) -> Iterator[float]:
    """The times after this one, in their order; without end."""
    if trigger.cron:
        for tick in _cron(trigger, datetime.fromtimestamp(after, UTC)):
            at = tick.timestamp()
            if at - after > LONGEST_S:
                return
            if at > after:  # where clocks are set back, an expression gives the first of two equal times
                yield at
    elif trigger.every_s is not None:
        count = int((after - trigger.start) // trigger.every_s) + 1
        while True:
            yield trigger.start + count * trigger.every_s
            count += 1


def ticks_between(trigger: Trigger, after: float, until: float) -> Iterator[float]:
    """The times after the first and up to the second."""
    return takewhile(lambda at: at <= until, ticks_after(trigger, after))


def latest(trigger: Trigger, after: float, until: float) -> float | None:
    """The last time between two; None if there is none. Quick, however many there are."""
    if not trigger.cron:
        if trigger.every_s is None:
            return None
        at = trigger.start + (until - trigger.start) // trigger.every_s * trigger.every_s
        return at if at > after else None
    for back in (3_700.0, 90_000.0, 32 * 86_400.0, 367 * 86_400.0):
        begin = max(after, until - back)
        found = list(ticks_between(trigger, begin, until))
        if found or begin == after:
            return found[-1] if found else None
    found = list(ticks_between(trigger, after, until))
    return found[-1] if found else None


def next_after(trigger: Trigger, after: float) -> float | None:
    """The next time; None if there is none within five years."""
    return next(ticks_after(trigger, after), None)


def _cron(trigger: Trigger, after: datetime) -> Iterator[datetime]:
    from gridcwl import imports

    if not imports.installed("cronsim"):
        raise imports.missing("cronsim", "Cron")
    from cronsim import CronSim, CronSimError

    zone = ZoneInfo(trigger.timezone)
    expression = ALIASES.get(trigger.cron.strip().lower(), trigger.cron)
    if len(expression.split()) != 5:
        raise ConfigError(
            f"{trigger.cron!r} is no cron expression: it has to have five fields",
            remedy="Write minute, hour, day, month and weekday: '0 2 * * *' is each night at two; or @daily, @weekly.",
        )
    try:
        # an hour earlier: of a time that comes twice, cronsim begins with the first
        ticks: Any = CronSim(expression, (after - timedelta(hours=1)).astimezone(zone))
    except CronSimError as error:
        raise ConfigError(
            f"{trigger.cron!r} is no cron expression: {error}", remedy="For example '0 2 * * *': each night at two."
        ) from None
    return _checked(ticks)


def _checked(ticks: Iterator[datetime]) -> Iterator[datetime]:
    try:
        yield from ticks
    except Exception:  # noqa: BLE001  cronsim gives up after 50 years
        return
