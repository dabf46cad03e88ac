"""Drivers of schedules and productions killed at any statement of the database: nothing runs twice, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from waiting import until

from gridcwl.productions.model import Production, portions_of
from gridcwl.schedules.driver import TickDriver
from gridcwl.schedules.model import Schedule, Trigger
from gridcwl.service.db import Database
from gridcwl.service.ownership import AdvisoryLocks, Ownership
from gridcwl.service.production_runs import Productions
from gridcwl.service.productions import ServiceProductions
from gridcwl.service.schedules import ServiceSchedules

pytestmark = pytest.mark.postgresql
NOON = 1_790_000_000.0 // 3600 * 3600


class Killed(BaseException):
    """The process ends here."""


class Failpoint:
    """Ends a driver at its n-th statement or commit; after that it does nothing any more."""

    def __init__(self, engine: Engine) -> None:
        self.left = 0
        self.is_armed = False
        event.listen(engine, "before_cursor_execute", self._count)
        event.listen(engine, "commit", self._count)

    def _count(self, *_: Any) -> None:
        if self.is_armed:
            self.left -= 1
            if self.left < 0:
                raise Killed

    @contextmanager
    def at(self, number: int) -> Iterator[None]:
        self.left, self.is_armed = number, True
        try:
            yield
        finally:
            self.is_armed = False


class Runs:
    """Runs that all drivers see; a driver may be killed before and after it begins one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.states: dict[str, str] = {}
        self.data: list[str] = []

    def _statement(self) -> None:
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def find(self, _schedule: Any) -> list[str]:
        return list(self.data)

    def start(self, _whose: Any, one: Any) -> None:
        self._statement()
        assert one.run not in self.states, f"{one.run} runs twice"
        self.states[one.run] = "active"
        self._statement()

    def resume(self, *given: Any) -> None:
        self._statement()
        self.states[given[-1].run] = "active"
        self._statement()

    def state(self, one: Any) -> tuple[str, str]:
        return self.states.get(one.run, "missing"), ""

    def failures(self, _portion: Any) -> int:
        return 1

    def cancel(self, one: Any) -> None:
        self.states[one.run] = "cancelled"

    def remove(self, _tick: Any) -> None: ...

    def collect(self, *_: Any) -> None: ...

    def end(self, state: str = "success") -> None:
        self.states |= dict.fromkeys((run for run, now in self.states.items() if now == "active"), state)


class Ticks(TickDriver):
    """A driver of schedules in a process of the service."""

    def __init__(self, record: ServiceSchedules, runs: Runs, name: str) -> None:
        super().__init__(record, runs, Path(), name, begins_again=True)  # type: ignore[arg-type]
        self._record = record

    def is_alive(self, driver: str) -> bool:
        return self._record.is_driver(driver)


@pytest.fixture
def db(postgresql_url: str) -> Iterator[Database]:
    with closing(Database(postgresql_url)) as database:
        yield database


def process(db: Database, folder: Path) -> Ownership:
    made = Ownership(db.engine, folder, 1000.0)
    made.begin()
    return made


def killed(db: Database, folder: Path, point: Failpoint, number: int, work: Callable[[Ownership], None]) -> bool:
    """Have a process work until it is killed at a statement; False if it comes to its end."""
    victim = process(db, folder)
    locks = victim._locks
    assert isinstance(locks, AdvisoryLocks)
    session = locks._connection.connection.dbapi_connection
    try:
        with point.at(number):
            work(victim)
    except Killed:
        session.close()  # as the system does
        return True
    victim.end()
    return False


def until_it_is_gone(db: Database, other: Ownership) -> None:
    def alone() -> bool:
        other.bury()
        with db.engine.connect() as connection:
            return connection.execute(text("SELECT count(*) FROM drivers")).scalar_one() == 1

    until(alone)  # PostgreSQL notices only after a moment that a connection is closed


def test_schedules_of_a_driver_that_is_killed_anywhere(db: Database, tmp_path: Path):
    point, record, other = Failpoint(db.engine), ServiceSchedules(db.engine), process(db, tmp_path)
    number, was_killed = 0, True
    while was_killed:
        runs = Runs(db.engine)
        runs.data = [f"rucio://cta/{number}-a", f"rucio://cta/{number}-b"]
        hourly, arrival = Trigger(cron="0 * * * *"), Trigger(query="rucio://cta/*", every_s=60, existing=True)
        for name, trigger in (("hourly", hourly), ("arrival", arrival)):
            record.add(Schedule(id=f"{name}-{number}", name=name, trigger=trigger, owner=f"u{number}"), NOON - 60)

        def work(owner: Ownership, runs: Runs = runs) -> None:
            Ticks(record, runs, owner.driver).step(NOON + 1)
            runs.end()
            Ticks(record, runs, owner.driver).step(NOON + 2)

        was_killed = killed(db, tmp_path, point, number, work)
        until_it_is_gone(db, other)
        for second in (3, 4):
            Ticks(record, runs, other.driver).step(NOON + second)
            runs.end()
        Ticks(record, runs, other.driver).step(NOON + 5)
        for name in ("hourly", "arrival"):
            (tick,) = record.latest_ticks(f"{name}-{number}", 9)
            assert (tick.state, len(tick.dids)) == ("success", 2 if name == "arrival" else 0), number
            record.remove(f"{name}-{number}")
        assert len(runs.states) == 2
        number += 1
    assert number > 20  # it was killed at so many places
    other.end()


def test_productions_of_a_driver_that_is_killed_anywhere(db: Database, tmp_path: Path):
    point, record, other = Failpoint(db.engine), ServiceProductions(db.engine), process(db, tmp_path)

    def step(owner: Ownership, runs: Runs) -> bool:
        driver = Productions(SimpleNamespace(db=db), None, owner)  # type: ignore[arg-type]
        driver._runs = runs  # type: ignore[assignment]
        return driver.step(lambda: False)

    number, was_killed = 0, True
    while was_killed:
        runs = Runs(db.engine)
        one = Production(id=f"p-{number}", name="mc", input="seed", counts=True, portion=2, at_once=2, created=NOON,
                         owner=f"u{number}")  # fmt: skip
        record.create(one, portions_of(one, range(1, 4), 1), is_open=True)

        def work(owner: Ownership, runs: Runs = runs) -> None:
            step(owner, runs)
            runs.end("failed")
            step(owner, runs)
            runs.end()
            step(owner, runs)

        was_killed = killed(db, tmp_path, point, number, work)
        until_it_is_gone(db, other)
        for _ in range(12):
            runs.end()
            if not step(other, runs):
                break
        portions = record.portions(one.id)
        assert [portion.state for portion in portions] == ["success"] * 2, number
        assert set(runs.states) == {portion.run for portion in portions}
        record.remove(one.id)
        number += 1
    assert number > 20
    other.end()


def test_drivers_that_look_at_the_same_moment_begin_each_run_once(postgresql_url: str, tmp_path: Path):
    """Each has connections of its own, as on another machine."""
    with closing(Database(postgresql_url)) as first, closing(Database(postgresql_url)) as second:
        runs, names = Runs(first.engine), [f"s{number}" for number in range(10)]
        for name in names:
            schedule = Schedule(id=name, name=name, trigger=Trigger(every_s=60, start=NOON), owner="u")
            ServiceSchedules(first.engine).add(schedule, NOON)
        owners = [process(db, tmp_path) for db in (first, second)]
        gate, problems = threading.Barrier(2), []

        def drive(db: Database, owner: Ownership) -> None:
            driver = Ticks(ServiceSchedules(db.engine), runs, owner.driver)
            try:
                for minute in range(1, 11):
                    gate.wait()
                    driver.step(NOON + 60 * minute)
                    gate.wait()
                    runs.end()
                    gate.wait()
                    driver.step(NOON + 60 * minute + 1)
            except BaseException as error:  # noqa: BLE001  shown below
                problems.append(error)
                gate.abort()

        threads = [threading.Thread(target=drive, args=one) for one in zip((first, second), owners, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert len(runs.states) == 100
        for owner in owners:
            owner.end()
