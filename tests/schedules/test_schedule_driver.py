"""Drivers of schedules with a fake clock and fake runs: no tick runs twice, and none is lost."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from gridcwl.errors import ConfigError, StoreError
from gridcwl.schedules.driver import TickDriver
from gridcwl.schedules.model import Schedule, TickState, Trigger, Values
from gridcwl.schedules.store import ScheduleStore
from gridcwl.service.db import Database
from gridcwl.service.schedules import ServiceSchedules

DAY = 86_400.0


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


class Killed(BaseException):
    """The driver's process ends here."""


@dataclass
class FakeRuns:
    """Runs that end when the test says so; shared by all drivers, as the folders of runs are."""

    states: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    problem: Exception | None = None
    refuse: Exception | None = None
    kill_before_start: bool = False
    kill_after_start: bool = False
    ends_at_once: str = ""

    def find(self, _schedule):
        if self.problem:
            raise self.problem
        return list(self.data)

    def start(self, _schedule, tick):
        if self.kill_before_start:
            raise Killed
        if self.refuse:
            raise self.refuse
        assert tick.run not in self.states, f"{tick.run} runs twice"
        self.started.append(tick.run)
        self.states[tick.run] = self.ends_at_once or "active"
        if self.kill_after_start:
            raise Killed

    def resume(self, _schedule, tick):
        self.resumed.append(tick.run)
        self.states[tick.run] = "active"

    def state(self, tick):
        return self.states.get(tick.run, "missing"), ""

    def cancel(self, tick):
        self.cancelled.append(tick.run)
        self.states[tick.run] = "cancelled"

    def remove(self, tick):
        self.removed.append(tick.run)

    def end(self, state: str = "success") -> bool:
        active = [run for run, now in self.states.items() if now == "active"]
        self.states |= dict.fromkeys(active, state)
        return bool(active)


class ServiceStore(ServiceSchedules):
    """The service's record with the calls that the tests make of the record of this machine."""

    def get(self, name):
        found = [kept for kept in self.all() if kept.schedule.name == name]
        if not found:
            raise ConfigError(f"There is no schedule {name}")
        return found[0]

    def add(self, schedule, now):
        super().add(msgspec.structs.replace(schedule, owner=schedule.name), now)

    def replace(self, schedule, now):
        kept = ServiceSchedules(self._engine)
        kept.replace(msgspec.structs.replace(schedule, owner=schedule.name), now)

    def pause(self, name, reason):
        super().pause(f"id-{name}", reason)

    def remove(self, name):
        super().remove(f"id-{name}")


@contextmanager
def opened(kind: str, folder: Path):
    """The record of schedules on this machine, or that of the service."""
    if kind == "here":
        with ScheduleStore(folder / "s.db") as store:
            yield store
        return
    with closing(Database(f"sqlite:///{folder / 'service.db'}")) as database:
        yield ServiceStore(database.engine)


@dataclass
class World:
    folder: Path
    kind: str
    store: ScheduleStore | ServiceStore
    runs: FakeRuns
    now: float
    stack: ExitStack
    driver: TickDriver | None = None

    def start_driver(self, name: str) -> TickDriver:
        driver = TickDriver(self.store, self.runs, self.folder / "drivers", name)
        self.stack.enter_context(driver.alive())
        return driver

    def add(self, name="s", *, trigger=None, **fields) -> Schedule:
        trigger = trigger or Trigger(cron="0 2 * * *", timezone="UTC")
        schedule = Schedule(id=f"id-{name}", name=name, trigger=trigger, created=self.now, **fields)
        self.store.add(schedule, self.now)
        return schedule

    def go(self, until: float, *, end: str = "success") -> None:
        """Let time pass as a driver does: sleep until it wants to look again. Runs end before each look."""
        assert self.driver is not None
        while True:
            wake = self.driver.step(self.now)
            if end and self.runs.end(end):  # which a driver notices
                wake = min(wake, self.now + 1)
            if wake > until:
                break
            self.now = max(wake, self.now + 0.5)
        self.now = until
        self.driver.step(self.now)

    def states(self, name="s") -> list[str]:
        return [str(tick.state) for tick in reversed(self.store.latest_ticks(f"id-{name}", 1000))]


@pytest.fixture(params=["here", "service"])
def world(tmp_path, request):
    with ExitStack() as stack:
        store = stack.enter_context(opened(request.param, tmp_path))
        made = World(tmp_path, request.param, store, FakeRuns(), at("2026-10-20T00:00"), stack)
        made.driver = made.start_driver("one")
        yield made


def test_each_night_has_one_run_whose_id_comes_from_schedule_and_tick(world):
    world.add()
    world.go(world.now + 3 * DAY)
    assert len(world.runs.started) == 3
    assert world.runs.started[0].startswith("20261020-020000-")
    assert world.states() == ["success"] * 3


def test_many_small_steps_start_nothing_twice(world):
    world.add()
    for _ in range(200):
        world.now += 600
        world.driver.step(world.now)
        world.runs.end()
    assert len(world.runs.started) == 2


@pytest.mark.parametrize(("catch_up", "count"), [("none", 0), ("latest", 1), ("all", 7)])
def test_a_week_s_outage_is_caught_up_as_the_schedule_says(world, catch_up, count):
    world.add(catch_up=catch_up, overlap="queue")
    world.now += 7 * DAY
    world.go(world.now + 3600)
    assert len(world.runs.started) == count


def test_a_deadline_limits_what_is_caught_up(world):
    world.add(catch_up="all", overlap="queue", deadline_s=2.5 * DAY)
    world.now += 7 * DAY
    world.go(world.now + 3600)
    assert len(world.runs.started) == 2


def test_a_driver_that_is_a_little_late_misses_nothing_without_catching_up(world):
    world.add(catch_up="none")
    world.now = at("2026-10-20T02:02")
    world.driver.step(world.now)
    assert len(world.runs.started) == 1


def test_a_clock_that_jumps_back_repeats_nothing_and_loses_nothing(world):
    world.add(trigger=Trigger(cron="0 * * * *"))
    world.go(at("2026-10-20T05:30"))
    before = list(world.runs.started)
    assert len(before) == 5
    world.now = at("2026-10-20T02:30")
    world.go(at("2026-10-20T07:30"))
    assert world.runs.started[:5] == before
    assert len(world.runs.started) == 7


def test_a_clock_that_jumps_far_ahead_and_back_does_not_silence_a_schedule(world):
    world.add(trigger=Trigger(cron="0 * * * *"))
    world.go(at("2026-10-20T01:30"))
    world.driver.step(at("2030-01-01T00:30"))  # one look with a wrong clock
    world.runs.end()
    world.go(at("2026-10-20T04:30"))
    assert [run[:13] for run in world.runs.started if run.startswith("2026")] == [
        "20261020-0100", "20261020-0200", "20261020-0300", "20261020-0400",
    ]  # fmt: skip


@pytest.mark.parametrize("night", ["2026-03-29", "2026-10-25"])
def test_changes_of_the_clock_give_one_run_a_night(world, night):
    world.now = at(f"{night}T00:00") - DAY
    world.add(trigger=Trigger(cron="30 2 * * *", timezone="Europe/Berlin"))
    world.go(world.now + 3 * DAY)
    assert len(world.runs.started) == 3


# -- killed anywhere -------------------------------------------------------------------------------------------------


def test_a_driver_killed_before_a_run_begins_leaves_it_to_the_next(world):
    world.add()
    world.runs.kill_before_start = True
    with pytest.raises(Killed):
        world.driver.step(at("2026-10-20T02:00"))
    world.stack.pop_all().close()
    world.runs.kill_before_start = False
    with opened(world.kind, world.folder) as store:
        again = TickDriver(store, world.runs, world.folder / "drivers", "two")
        with again.alive():
            again.step(at("2026-10-20T02:01"))
    assert len(world.runs.started) == 1


def test_a_driver_killed_after_a_run_began_does_not_make_it_run_twice(world):
    world.add()
    world.runs.kill_after_start = True
    with pytest.raises(Killed):
        world.driver.step(at("2026-10-20T02:00"))
    world.stack.pop_all().close()
    world.runs.kill_after_start = False
    (run,) = world.runs.started
    world.runs.states[run] = "stopped"
    with opened(world.kind, world.folder) as store:
        again = TickDriver(store, world.runs, world.folder / "drivers", "two")
        with again.alive():
            again.step(at("2026-10-20T02:01"))
            assert world.runs.resumed == [run]
            world.runs.end()
            again.step(at("2026-10-20T02:02"))
            assert [tick.state for tick in store.latest_ticks("id-s", 9)] == [TickState.SUCCESS]
    assert world.runs.started == [run]


def test_a_driver_killed_in_the_transaction_changes_nothing(world, monkeypatch):
    world.add()
    monkeypatch.setattr(world.store, "looked", lambda *_args: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        world.driver.step(at("2026-10-20T02:00"))
    monkeypatch.undo()
    assert world.states() == []
    world.driver.step(at("2026-10-20T02:01"))
    assert len(world.runs.started) == 1


def test_two_drivers_share_the_ticks(world):
    second = world.start_driver("two")
    for number in range(20):
        world.add(f"s{number}", trigger=Trigger(every_s=60, start=world.now))
    for _ in range(30):
        world.now += 20
        for driver in (world.driver, second):
            driver.step(world.now)
        world.runs.end()
    assert len(world.runs.started) == len(set(world.runs.started)) == 20 * 10


def test_a_living_driver_keeps_its_runs(world):
    world.add()
    world.driver.step(at("2026-10-20T02:00"))
    second = world.start_driver("two")
    second.step(at("2026-10-20T02:01"))
    (tick,) = world.store.open_ticks("id-s")
    assert tick.driver == "one"


# -- overlap ---------------------------------------------------------------------------------------------------------


def hourly(**fields):
    return {"trigger": Trigger(cron="0 * * * *"), **fields}


def test_skip_leaves_out_what_comes_while_a_run_is_active(world):
    world.add(**hourly(overlap="skip"))
    world.go(at("2026-10-20T03:30"), end="")
    assert world.states() == ["running", "skipped", "skipped"]
    world.runs.end()
    world.go(at("2026-10-20T04:30"), end="")
    assert world.states()[-1] == "running"


def test_queue_runs_one_after_the_other(world):
    world.add(**hourly(overlap="queue"))
    world.go(at("2026-10-20T03:30"), end="")
    assert world.states() == ["running", "waiting", "waiting"]
    for _ in range(3):
        world.runs.end()
        world.driver.step(world.now)
    world.runs.end()
    world.driver.step(world.now)
    assert world.states() == ["success"] * 3


def test_replace_stops_the_run_before(world):
    world.add(**hourly(overlap="replace"))
    world.go(at("2026-10-20T01:30"), end="")
    (first,) = world.runs.started
    world.go(at("2026-10-20T02:30"), end="")
    world.driver.step(world.now)
    assert world.runs.cancelled == [first]
    assert world.states() == ["cancelled", "running"]


def test_jitter_moves_a_tick_always_by_the_same_amount(world):
    world.add(jitter_s=600)
    world.driver.step(at("2026-10-20T02:00"))
    (tick,) = world.store.open_ticks("id-s")
    assert tick.state is TickState.WAITING
    world.go(at("2026-10-20T02:10:01"), end="")
    assert len(world.runs.started) == 1


# -- failures, pauses, edits -----------------------------------------------------------------------------------------


def test_failures_in_a_row_pause_a_schedule_until_its_user_resumes_it(world):
    world.add(**hourly(pause_after=3))
    world.go(at("2026-10-20T08:30"), end="failed")
    assert len(world.runs.started) == 3
    assert world.store.get("s").paused == "3 runs failed, one after the other"
    world.store.pause("s", None)
    world.go(at("2026-10-20T10:30"))
    assert world.states()[-1] == "success"


def test_a_success_in_between_does_not_pause_it(world):
    world.add(**hourly(pause_after=2))
    for hour in range(1, 7):
        world.go(at(f"2026-10-20T0{hour}:30"), end="failed" if hour % 2 else "success")
    assert len(world.runs.started) == 6


def test_a_run_that_cannot_be_begun_is_a_failure_with_its_reason(world):
    world.add()
    world.runs.refuse = ConfigError("there is no document")
    world.driver.step(at("2026-10-20T02:00"))
    (tick,) = world.store.latest_ticks("id-s", 9)
    assert (tick.state, tick.message) == (TickState.FAILED, "there is no document")


def test_a_paused_schedule_runs_only_what_its_user_wants_now(world):
    world.add()
    world.store.pause("s", "by its user")
    world.go(world.now + 2 * DAY)
    assert world.runs.started == []
    world.store.pause("s", None)
    world.go(world.now + 60)
    assert len(world.runs.started) == 1  # the latest, as it catches up


def test_an_edited_schedule_counts_from_the_edit_and_keeps_its_past(world):
    schedule = world.add(catch_up="all", overlap="queue")
    world.go(at("2026-10-21T01:00"))
    other = Schedule(id="new", name="s", trigger=Trigger(cron="0 * * * *"), catch_up="all", overlap="queue")
    world.store.replace(other, world.now)
    world.go(at("2026-10-21T04:30"))
    assert [run[:13] for run in world.runs.started] == [
        "20261020-0200", "20261021-0200", "20261021-0300", "20261021-0400",
    ]  # fmt: skip
    assert world.store.get("s").schedule.id == schedule.id


def test_a_removed_schedule_runs_no_more(world):
    world.add()
    world.store.remove("s")
    world.go(world.now + 2 * DAY)
    assert world.runs.started == []
    with pytest.raises(ConfigError, match="There is no schedule s"):
        world.store.get("s")


def test_records_of_old_runs_are_removed_and_their_ticks_stay_known(world):
    world.add(**hourly(keep=2))
    world.go(at("2026-10-20T05:30"))
    assert world.runs.removed == world.runs.started[:3]
    assert len(world.states()) == 5


# -- data ------------------------------------------------------------------------------------------------------------


def arrival(**fields):
    return Trigger(query="rucio://cta/*", every_s=60, **fields)


def test_new_data_run_once_and_old_data_not_at_all(world):
    world.runs.data = ["rucio://cta/old"]
    world.add(trigger=arrival())
    world.go(world.now + 120)
    world.runs.data += ["rucio://cta/a", "rucio://cta/b"]
    world.go(world.now + 600)
    (tick,) = world.store.latest_ticks("id-s", 9)
    assert tick.dids == ("rucio://cta/a", "rucio://cta/b")
    assert len(world.runs.started) == 1


def test_data_that_are_there_may_count_as_new(world):
    world.runs.data = ["rucio://cta/old"]
    world.add(trigger=arrival(existing=True))
    world.go(world.now + 120)
    assert len(world.runs.started) == 1


def test_data_are_grouped_by_count_and_the_rest_by_time(world):
    world.add(trigger=arrival(group_count=3, group_s=1800), overlap="queue")
    world.go(world.now + 60)
    world.runs.data = [f"rucio://cta/{n}" for n in range(7)]
    world.go(world.now + 600)
    assert [len(tick.dids) for tick in reversed(world.store.latest_ticks("id-s", 9))] == [3, 3]
    world.go(world.now + 1800)
    assert sorted(len(tick.dids) for tick in world.store.latest_ticks("id-s", 9)) == [1, 3, 3]


def test_a_nightly_run_takes_whatever_arrived(world):
    world.add(trigger=Trigger(cron="0 2 * * *", query="rucio://cta/*"))
    world.go(at("2026-10-20T01:00"))
    world.driver.step(world.now)
    world.runs.data = ["rucio://cta/a"]
    world.go(at("2026-10-21T12:00"))
    (tick,) = world.store.latest_ticks("id-s", 9)
    assert tick.dids == ("rucio://cta/a",)


def test_a_catalogue_that_does_not_answer_loses_nothing(world):
    world.add(trigger=arrival())
    world.go(world.now + 60)
    world.runs.problem = StoreError("Rucio does not answer")
    world.runs.data = ["rucio://cta/a"]
    world.go(world.now + 300)
    assert world.store.get("s").problem == "Rucio does not answer"
    world.runs.problem = None
    world.go(world.now + 900)
    assert len(world.runs.started) == 1
    assert world.store.get("s").problem == ""


# -- templates -------------------------------------------------------------------------------------------------------


def test_templates_stand_for_the_values_of_a_run():
    values = Values(
        datetime(2026, 10, 20, 2, tzinfo=ZoneInfo("Europe/Berlin")), "nightly", "R1", ("rucio://a/b", "rucio://a/c")
    )
    assert values.text("x/{tick:%Y-%m-%d}/{schedule}-{run}") == "x/2026-10-20/nightly-R1"
    assert values.text("{tick}") == "2026-10-20T02:00:00+02:00"
    assert values.text("{other} ${HOME} {dids}") == "{other} ${HOME} rucio://a/b,rucio://a/c"
    files = [{"class": "File", "location": "rucio://a/b"}, {"class": "File", "location": "rucio://a/c"}]
    assert values.of({"events": "{dids}", "more": ["{dids}"], "n": 3}) == {"events": files, "more": files, "n": 3}


def test_a_thousand_schedules_at_the_same_minute_have_a_thousand_runs(world):
    for number in range(1000):
        world.add(f"s{number}")
    world.runs.ends_at_once = "success"
    world.driver.step(at("2026-10-20T02:00"))
    assert len(set(world.runs.started)) == 1000
