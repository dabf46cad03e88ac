"""When schedules are due: cron across changes of the clock, and intervals."""

from __future__ import annotations

from datetime import datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from gridcwl.errors import ConfigError
from gridcwl.schedules import times
from gridcwl.schedules.model import Trigger


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def shown(trigger: Trigger, after: float, count: int) -> list[str]:
    zone = ZoneInfo(trigger.timezone)
    found = islice(times.ticks_after(trigger, after), count)
    return [datetime.fromtimestamp(one, zone).strftime("%m-%d %H:%M %Z") for one in found]


def test_a_nightly_tick_follows_its_time_zone():
    trigger = Trigger(cron="0 4 * * *", timezone="Europe/Berlin")
    assert shown(trigger, at("2026-03-28T00:00"), 3) == ["03-28 04:00 CET", "03-29 04:00 CEST", "03-30 04:00 CEST"]


def test_a_time_that_is_left_out_in_spring_runs_right_after_it_once():
    trigger = Trigger(cron="30 2 * * *", timezone="Europe/Berlin")
    assert shown(trigger, at("2026-03-28T12:00"), 2) == ["03-29 03:00 CEST", "03-30 02:30 CEST"]


def test_a_time_that_comes_twice_in_autumn_runs_once():
    trigger = Trigger(cron="30 2 * * *", timezone="Europe/Berlin")
    assert shown(trigger, at("2026-10-24T12:00"), 2) == ["10-25 02:30 CEST", "10-26 02:30 CET"]


@pytest.mark.parametrize("minute", range(0, 180, 7))
def test_wherever_one_looks_from_no_time_comes_twice(minute):
    """Within the two hours that look alike."""
    trigger = Trigger(cron="30 2 * * *", timezone="Europe/Berlin")
    after = at("2026-10-25T00:00") + 60 * minute
    first = next(times.ticks_after(trigger, after))
    assert first > after
    assert first in (at("2026-10-25T00:30"), at("2026-10-26T01:30"))


def test_a_quarter_hourly_tick_is_every_quarter_of_an_hour_also_then():
    trigger = Trigger(cron="*/15 * * * *", timezone="Europe/Berlin")
    for night in ("2026-03-29T00:00", "2026-10-25T00:00"):
        found = list(islice(times.ticks_after(trigger, at(night)), 16))
        assert {second - first for first, second in pairwise(found)} == {900.0}


@pytest.mark.parametrize(
    ("cron", "ticks"),
    [
        ("@hourly", ["10-24 23:00 UTC", "10-25 00:00 UTC"]),
        ("@daily", ["10-25 00:00 UTC", "10-26 00:00 UTC"]),
        ("@Weekly", ["10-25 00:00 UTC", "11-01 00:00 UTC"]),
        ("@monthly", ["11-01 00:00 UTC", "12-01 00:00 UTC"]),
    ],
)
def test_words_stand_for_usual_times(cron, ticks):
    assert shown(Trigger(cron=cron), at("2026-10-24T22:30"), 2) == ticks


def test_an_interval_counts_from_its_start_whatever_the_clock_says():
    trigger = Trigger(every_s=3600, start=at("2026-10-24T00:10"))
    found = list(islice(times.ticks_after(trigger, at("2026-10-25T00:00")), 3))
    assert found == [at("2026-10-25T00:10"), at("2026-10-25T01:10"), at("2026-10-25T02:10")]


@pytest.mark.parametrize("cron", ["*/5 * * * *", "0 2 * * *", "0 0 1 * *", "0 0 29 2 *", "15 10 * * 1"])
def test_the_latest_time_is_the_last_of_all(cron):
    trigger = Trigger(cron=cron, timezone="America/New_York")
    after, until = at("2026-06-01T03:00"), at("2026-06-20T09:01")
    assert times.latest(trigger, after, until) == max(times.ticks_between(trigger, after, until), default=None)


def test_a_date_that_never_comes_has_no_next_time():
    with pytest.raises(ConfigError, match="no cron expression"):
        times.check(Trigger(cron="0 0 31 2 *"))


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        (Trigger(cron="0 2 * *"), "five fields"),
        (Trigger(cron="61 2 * * *"), "no cron expression"),
        (Trigger(cron="0 2 * * *", timezone="Europe/Bonn"), "no time zone"),
        (Trigger(cron="0 2 * * *", timezone="../etc/passwd"), "no time zone"),
        (Trigger(every_s=0.1), "one second"),
    ],
)
def test_triggers_that_mean_nothing_are_refused(trigger, message):
    with pytest.raises(ConfigError, match=message):
        times.check(trigger)
