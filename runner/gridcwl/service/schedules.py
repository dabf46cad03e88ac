"""The record of the service's schedules: tables of its database, which all drivers share.

Implements ``gridcwl.schedules.driver.ScheduleRecord``. What becomes due is written together with the cursor, in one
transaction, and one driver does so at a time. Blocking; an object is for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, and_, delete, func, insert, or_, select, update

from gridcwl.model import RunId
from gridcwl.schedules.model import Schedule, Tick, TickState, run_id, tick_of_time
from gridcwl.schedules.store import StoredSchedule
from gridcwl.service.db import locked_for_change
from gridcwl.service.problems import Conflict, NotFound
from gridcwl.service.schema import drivers, runs, schedule_arrivals, schedule_ticks, schedules

MOST_SCHEDULES = 100
"""Of one user."""
_OPEN = (TickState.WAITING, TickState.RUNNING)
_ENDED = (TickState.SUCCESS, TickState.FAILED, TickState.CANCELLED)


class ServiceSchedules:
    """The tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; one process at a time."""
        with self._engine.begin() as connection:
            locked_for_change(connection, schedules)
            self._held = connection
            try:
                yield
            finally:
                self._held = None

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if self._held is not None:
            yield self._held
            return
        with self._engine.begin() as connection:
            yield connection

    # -- schedules -----------------------------------------------------------------------------------------------------

    def add(self, schedule: Schedule, now: float, stored: int = 0) -> None:
        """Add a schedule, with the size of what was attached; what is due before now is not caught up.

        Raises:
            Conflict: its owner has one of this name, or too many.
        """
        with self.transaction():
            mine = self._rows(schedules.c.owner == schedule.owner)
            if any(stored.schedule.name == schedule.name for stored in mine):
                raise Conflict(f"You have a schedule {schedule.name} already: choose another name, or replace it")
            if len(mine) >= MOST_SCHEDULES:
                raise Conflict(f"You have {MOST_SCHEDULES} schedules, the most that a user may have: remove one")
            values = {"id": schedule.id, "owner": schedule.owner, "name": schedule.name, "body": _encoded(schedule)}
            self._do(insert(schedules).values(**values, cursor=now, looked=False, problem="", stored=stored))

    def replace(self, schedule: Schedule, now: float, size: int = 0) -> Schedule:
        """Change a schedule of this owner and name. Its past ticks stay known; a new trigger counts from now on.

        Returns:
            The schedule as it was.

        Raises:
            NotFound: there is none.
        """
        with self.transaction():
            before = self.get(schedule.owner, schedule.name)
            old = before.schedule
            stored = msgspec.structs.replace(schedule, id=old.id, created=old.created)
            values: dict[str, Any] = {"body": _encoded(stored), "problem": "", "next": None, "stored": size}
            values["cursor"] = now if stored.trigger != old.trigger else before.cursor
            values["looked"] = before.looked and stored.trigger.query == old.trigger.query
            self._do(update(schedules).where(schedules.c.id == old.id).values(**values))
            return old

    def get(self, owner: str, name: str, *, by_id: bool = False) -> StoredSchedule:
        """The schedule of a name.

        Args:
            owner: whose.
            name: of the schedule.
            by_id: whether ``name`` may be the id of anybody's.

        Raises:
            NotFound: there is none.
        """
        found = self._rows(and_(schedules.c.owner == owner, schedules.c.name == name))
        found = found or (self._rows(schedules.c.id == name) if by_id else [])
        if not found:
            raise NotFound(f"There is no schedule {name[:80]}")
        return found[0]

    def again(self, stored: StoredSchedule) -> StoredSchedule | None:
        """See ``ScheduleRecord``."""
        return next(iter(self._rows(schedules.c.id == stored.schedule.id)), None)

    def all(self) -> list[StoredSchedule]:
        """All schedules by name."""
        return self._rows(None)

    def of(self, owner: str) -> list[StoredSchedule]:
        """The schedules of a user."""
        return self._rows(schedules.c.owner == owner)

    def to_look_at(self, now: float) -> list[StoredSchedule]:
        """The schedules for which something may have become due, or that have ticks which have not ended."""
        open_ = select(schedule_ticks.c.schedule).where(schedule_ticks.c.state.in_(_OPEN))
        return self._rows(
            or_(
                and_(schedules.c.paused.is_(None), or_(schedules.c.next.is_(None), schedules.c.next <= now)),
                schedules.c.cursor > now,
                schedules.c.id.in_(open_),
            )
        )

    def next_look(self) -> float | None:
        """When the first schedule is to be looked at."""
        with self._connection() as connection:
            found = connection.execute(select(func.min(schedules.c.next)).where(schedules.c.paused.is_(None))).scalar()
        return None if found is None else float(found)

    def pause(self, schedule: str, reason: str | None) -> None:
        """Pause a schedule, or with None resume it; what was due in between is caught up as the schedule says."""
        with self.transaction():
            self._do(update(schedules).where(schedules.c.id == schedule).values(paused=reason, next=None))
            if reason is None:  # failures before that do not pause it again
                self._do(update(schedule_ticks).where(schedule_ticks.c.schedule == schedule).values(forgiven=True))

    def run_now(self, schedule: str, now: float) -> Tick:
        """Have a schedule run once in addition, with the data that arrived if it waits for data.

        Raises:
            NotFound: it is gone.
            Conflict: no data have arrived.
        """
        with self.transaction():
            stored = next(iter(self._rows(schedules.c.id == schedule)), None)
            if stored is None:
                raise NotFound("The schedule has been removed")
            dids = tuple(did for did, _ in self.new_data(schedule))
            if stored.schedule.trigger.query and not dids:
                raise Conflict(f"No new data have arrived for {stored.schedule.name}")
            tick = tick_of_time(stored.schedule, now)
            (made,) = self.insert(schedule, [replace(tick, key=f"now-{now:.6f}", forced=True, dids=dids)])
            self.assign(schedule, made)
            return made

    def note_paused(self, schedule: str, reason: str) -> None:
        """See ``ScheduleRecord``."""
        self._do(update(schedules).where(schedules.c.id == schedule).values(paused=reason))

    def remove(self, schedule: str) -> None:
        """Remove a schedule with its ticks; runs stay."""
        with self.transaction():
            for table in (schedule_ticks, schedule_arrivals):
                self._do(delete(table).where(table.c.schedule == schedule))
            self._do(delete(schedules).where(schedules.c.id == schedule))

    def looked(self, schedule: str, cursor: float, next_: float | None, problem: str = "") -> None:
        """See ``ScheduleRecord``."""
        query = update(schedules).where(schedules.c.id == schedule)
        self._do(query.values(cursor=cursor, next=next_, problem=problem))

    # -- ticks ---------------------------------------------------------------------------------------------------------

    def insert(self, schedule: str, ticks: Iterable[Tick]) -> list[Tick]:
        """New ticks; those that are known are left alone. In a transaction. Returns the new ones."""
        made = []
        for tick in ticks:
            if self._ticks(schedule, schedule_ticks.c.key == tick.key):
                continue
            new = replace(tick, run=self._free_id(schedule, tick))
            values = {"schedule": schedule, "key": new.key, "at": new.at, "run": new.run, "state": new.state}
            values |= {"dids": list(new.dids), "driver": "", "message": "", "removed": False, "forgiven": False}
            self._do(insert(schedule_ticks).values(**values, forced=new.forced))
            made.append(new)
        return made

    def _free_id(self, schedule: str, tick: Tick) -> RunId:
        """The id of a tick's run; another digest where it belongs to another tick or run."""
        salt, run = 0, tick.run
        while self._is_taken(run):
            salt += 1
            run = run_id(schedule, f"{tick.key}\0{salt}", tick.at)
        return run

    def _is_taken(self, run: str) -> bool:
        with self._connection() as connection:
            ticks = select(schedule_ticks.c.run).where(schedule_ticks.c.run == run)
            known = select(runs.c.id).where(or_(runs.c.id == run, runs.c.engine == run))
            return any(connection.execute(query).first() is not None for query in (ticks, known))

    def open_ticks(self, schedule: str) -> list[Tick]:
        """Ticks that have not ended, in the order of their times."""
        return self._ticks(schedule, schedule_ticks.c.state.in_(_OPEN), schedule_ticks.c.at, schedule_ticks.c.key)

    def latest_ticks(self, schedule: str, count: int) -> list[Tick]:
        """The latest ticks first."""
        return self._ticks(schedule, None, schedule_ticks.c.at.desc(), schedule_ticks.c.key, most=count)

    def ended_states(self, schedule: str, count: int) -> list[TickState]:
        """How the latest ticks ended, the latest first."""
        counted = and_(schedule_ticks.c.forgiven.is_(False), schedule_ticks.c.state.not_in(_OPEN))
        found = self._ticks(schedule, counted, schedule_ticks.c.at.desc(), schedule_ticks.c.key, most=count)
        return [tick.state for tick in found]

    def set_state(self, schedule: str, tick: Tick, state: TickState, *, driver: str = "", message: str = "") -> bool:
        """Change a tick's state, if nobody else has; whether that was done."""
        query = update(schedule_ticks).where(
            *(schedule_ticks.c.schedule == schedule, schedule_ticks.c.key == tick.key),
            *(schedule_ticks.c.state == tick.state, schedule_ticks.c.driver == tick.driver),
        )
        return bool(self._do(query.values(state=state, driver=driver, message=message)))

    def removable(self, schedule: str, keep: int) -> list[Tick]:
        """Ended runs beyond the latest ones, whose records have not been removed yet."""
        ended = schedule_ticks.c.state.in_(_ENDED)
        found = self._ticks(schedule, ended, schedule_ticks.c.at.desc(), schedule_ticks.c.key)[keep:]
        there = {tick.key for tick in self._ticks(schedule, and_(ended, schedule_ticks.c.removed.is_(False)))}
        return [tick for tick in found if tick.key in there]

    def note_removed(self, schedule: str, tick: Tick) -> None:
        """See ``ScheduleRecord``."""
        query = update(schedule_ticks).where(schedule_ticks.c.schedule == schedule, schedule_ticks.c.key == tick.key)
        self._do(query.values(removed=True))

    # -- data ----------------------------------------------------------------------------------------------------------

    def arrive(self, stored: StoredSchedule, found: Sequence[str], now: float) -> None:
        """Note data, in a transaction. Those of the first look are old, unless the schedule wants them."""
        schedule = stored.schedule
        old = "-" if not stored.looked and not schedule.trigger.existing else None
        with self._connection() as connection:
            query = select(schedule_arrivals.c.did).where(schedule_arrivals.c.schedule == schedule.id)
            known = set(connection.execute(query).scalars())
            new = [did for did in dict.fromkeys(found) if did not in known]
            if new:
                rows = [{"schedule": schedule.id, "did": did, "seen": now, "tick": old} for did in new]
                connection.execute(insert(schedule_arrivals), rows)
            connection.execute(update(schedules).where(schedules.c.id == schedule.id).values(looked=True))

    def new_data(self, schedule: str) -> list[tuple[str, float]]:
        """Data that belong to no tick, with the times when they were first seen."""
        query = (
            select(schedule_arrivals.c.did, schedule_arrivals.c.seen)
            .where(schedule_arrivals.c.schedule == schedule, schedule_arrivals.c.tick.is_(None))
            .order_by(schedule_arrivals.c.seen, schedule_arrivals.c.did)
        )
        with self._connection() as connection:
            return [(str(did), float(seen)) for did, seen in connection.execute(query)]

    def assign(self, schedule: str, tick: Tick) -> None:
        """Note that data belong to a tick; in a transaction."""
        for did in tick.dids:
            where = (schedule_arrivals.c.schedule == schedule, schedule_arrivals.c.did == did)
            self._do(update(schedule_arrivals).where(*where).values(tick=tick.key))

    def is_driver(self, name: str) -> bool:
        """Whether a process of this name works on runs."""
        with self._connection() as connection:
            return connection.execute(select(drivers.c.id).where(drivers.c.id == name)).first() is not None

    def _do(self, query: Any) -> int:
        with self._connection() as connection:
            return int(connection.execute(query).rowcount)

    def _rows(self, where: Any) -> list[StoredSchedule]:
        query = select(schedules).order_by(schedules.c.name, schedules.c.id)
        with self._connection() as connection:
            found = connection.execute(query if where is None else query.where(where)).all()
        return [
            StoredSchedule(
                msgspec.json.decode(row.body, type=Schedule),
                *(float(row.cursor), row.paused, bool(row.looked), row.problem),
                None if row.next is None else float(row.next),
            )
            for row in found
        ]

    def _ticks(self, schedule: str, where: Any, *order: Any, most: int | None = None) -> list[Tick]:
        query = select(schedule_ticks).where(schedule_ticks.c.schedule == schedule).order_by(*order).limit(most)
        with self._connection() as connection:
            found = connection.execute(query if where is None else query.where(where)).all()
        return [
            Tick(
                row.key, float(row.at), RunId(row.run), TickState(row.state), tuple(row.dids), row.driver, row.message,
                bool(row.forced),
            )
            for row in found
        ]  # fmt: skip


def _encoded(schedule: Schedule) -> str:
    return msgspec.json.encode(schedule).decode()
