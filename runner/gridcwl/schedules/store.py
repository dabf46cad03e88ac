"""The record of schedules: a SQLite database that any number of drivers share.

What becomes due is written together with the cursor, in one transaction, and a tick is claimed before its run begins.
Whoever is killed in between leaves a tick that another driver finds: none is lost, and none runs twice.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from gridcwl.errors import ConfigError
from gridcwl.model import RunId
from gridcwl.schedules.model import Schedule, Tick, TickState, run_id
from gridcwl.sqlite import SqliteStore
from gridcwl.suggest import did_you_mean

_SCHEMA = """
CREATE TABLE IF NOT EXISTS schedules (
    id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, body TEXT NOT NULL, cursor REAL NOT NULL,
    paused TEXT, looked INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '', next REAL);
CREATE TABLE IF NOT EXISTS ticks (
    schedule TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, run TEXT NOT NULL, state TEXT NOT NULL,
    dids TEXT NOT NULL DEFAULT '[]', driver TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '',
    forced INTEGER NOT NULL DEFAULT 0, removed INTEGER NOT NULL DEFAULT 0,
    forgiven INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (schedule, key));
CREATE INDEX IF NOT EXISTS open_ticks ON ticks (schedule, at) WHERE state IN ('waiting', 'running');
CREATE INDEX IF NOT EXISTS all_ticks ON ticks (schedule, at);
CREATE UNIQUE INDEX IF NOT EXISTS runs ON ticks (run);
CREATE TABLE IF NOT EXISTS arrivals (
    schedule TEXT NOT NULL, did TEXT NOT NULL, seen REAL NOT NULL, tick TEXT, PRIMARY KEY (schedule, did));
CREATE INDEX IF NOT EXISTS new_arrivals ON arrivals (schedule, seen) WHERE tick IS NULL;
"""
_COLUMNS = "key, at, run, state, dids, driver, message, forced"


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule with how it stands.

    Attributes:
        schedule: as its user wrote it.
        cursor: up to here all times were looked at.
        paused: why it is paused; None if it is not.
        looked: data have been looked for once at least.
        problem: why the last look failed; empty if it did not.
        next: when to look again.
    """

    schedule: Schedule
    cursor: float
    paused: str | None = None
    looked: bool = False
    problem: str = ""
    next: float | None = None

    def is_due(self, now: float) -> bool:
        """Something may have become due."""
        return self.paused is None and (self.next is None or self.next <= now or self.cursor > now)


class ScheduleStore(SqliteStore):
    """The database. A context manager."""

    WHAT = "schedules"
    SCHEMA = _SCHEMA

    # -- schedules -----------------------------------------------------------------------------------------------------

    def add(self, schedule: Schedule, now: float) -> None:
        """Add a schedule; what is due before now is not caught up.

        Raises:
            ConfigError: there is one of this name.
        """
        with self.transaction():
            if self._row("name = ?", schedule.name):
                raise ConfigError(
                    f"There is a schedule {schedule.name} already",
                    remedy="Choose another name, or change it with --replace.",
                )
            self._database.execute(
                "INSERT INTO schedules (id, name, body, cursor) VALUES (?, ?, ?, ?)",
                (schedule.id, schedule.name, msgspec.json.encode(schedule).decode(), now),
            )

    def replace(self, schedule: Schedule, now: float) -> None:
        """Change a schedule. Its past ticks stay known; a new trigger counts from now on."""
        with self.transaction():
            before = self.get(schedule.name)
            stored = msgspec.structs.replace(schedule, id=before.schedule.id, created=before.schedule.created)
            moved = now if stored.trigger != before.schedule.trigger else before.cursor
            new_query = stored.trigger.query != before.schedule.trigger.query
            self._database.execute(
                "UPDATE schedules SET body = ?, cursor = ?, looked = ?, problem = '', next = NULL WHERE id = ?",
                (msgspec.json.encode(stored).decode(), moved, before.looked and not new_query, stored.id),
            )

    def get(self, name: str) -> StoredSchedule:
        """The schedule of a name.

        Raises:
            ConfigError: there is none.
        """
        row = self._row("name = ?", name)
        if row is None:
            names = [stored.schedule.name for stored in self.all()]
            close = did_you_mean(name, names)
            raise ConfigError(
                f"There is no schedule {name}", remedy=f"{close} gridcwl schedule list lists them.".lstrip()
            )
        return row

    def again(self, stored: StoredSchedule) -> StoredSchedule | None:
        """The schedule as it is now: it may have been edited or removed."""
        return self._row("id = ?", stored.schedule.id)

    def all(self) -> list[StoredSchedule]:
        """All schedules by name."""
        rows = self._database.execute(f"SELECT {_SCHEDULE} FROM schedules ORDER BY name")  # noqa: S608  constants
        return [_kept(row) for row in rows]

    def to_look_at(self, now: float) -> list[StoredSchedule]:
        """The schedules for which something may have become due, or that have ticks which have not ended.

        One that was looked at in the future, as the clock was wrong, is looked at again.
        """
        rows = self._database.execute(
            f"SELECT {_SCHEDULE} FROM schedules WHERE next IS NULL OR next <= ? OR cursor > ? OR id IN"  # noqa: S608  constants
            " (SELECT DISTINCT schedule FROM ticks WHERE state IN ('waiting', 'running')) ORDER BY name",
            (now, now),
        )
        return [_kept(row) for row in rows]

    def next_look(self) -> float | None:
        """When the first schedule is to be looked at."""
        found = self._database.execute("SELECT min(next) FROM schedules WHERE paused IS NULL").fetchone()[0]
        return None if found is None else float(found)

    def pause(self, name: str, reason: str | None) -> None:
        """Pause a schedule, or with None resume it; what was due in between is caught up as the schedule says."""
        with self.transaction():
            found = self.get(name)
            self._database.execute(
                "UPDATE schedules SET paused = ?, next = NULL WHERE id = ?", (reason, found.schedule.id)
            )
            if reason is None:  # failures before that do not pause it again
                self._database.execute("UPDATE ticks SET forgiven = 1 WHERE schedule = ?", (found.schedule.id,))

    def note_paused(self, schedule: str, reason: str) -> None:
        """Pause a schedule; in a transaction."""
        self._database.execute("UPDATE schedules SET paused = ? WHERE id = ?", (reason, schedule))

    def remove(self, name: str) -> None:
        """Remove a schedule with its ticks; runs stay."""
        with self.transaction():
            found = self.get(name)
            for table in ("ticks", "arrivals"):
                self._database.execute(f"DELETE FROM {table} WHERE schedule = ?", (found.schedule.id,))  # noqa: S608
            self._database.execute("DELETE FROM schedules WHERE id = ?", (found.schedule.id,))

    def looked(self, schedule: str, cursor: float, next_: float | None, problem: str = "") -> None:
        """Keep that a schedule was looked at; in a transaction."""
        self._database.execute(
            "UPDATE schedules SET cursor = ?, next = ?, problem = ? WHERE id = ?", (cursor, next_, problem, schedule)
        )

    # -- ticks ---------------------------------------------------------------------------------------------------------

    def insert(self, schedule: str, ticks: Iterable[Tick]) -> list[Tick]:
        """New ticks; those that are known are left alone. In a transaction. Returns the new ones."""
        made = []
        for tick in ticks:
            if self._ticks("schedule = ? AND key = ?", schedule, tick.key):
                continue
            new = replace(tick, run=self._free_id(schedule, tick))
            values = (schedule, new.key, new.at, new.run, new.state, json.dumps(new.dids), new.forced)
            self._database.execute(
                "INSERT INTO ticks (schedule, key, at, run, state, dids, forced) VALUES (?, ?, ?, ?, ?, ?, ?)", values
            )
            made.append(new)
        return made

    def _free_id(self, schedule: str, tick: Tick) -> RunId:
        """The id of a tick's run; another digest where two ticks of the same second have the same one."""
        salt, run = 0, tick.run
        while self._database.execute("SELECT 1 FROM ticks WHERE run = ?", (run,)).fetchone():
            salt += 1
            run = run_id(schedule, f"{tick.key}\0{salt}", tick.at)
        return run

    def open_ticks(self, schedule: str) -> list[Tick]:
        """Ticks that have not ended, in the order of their times."""
        return self._ticks("schedule = ? AND state IN ('waiting', 'running') ORDER BY at, key", schedule)

    def latest_ticks(self, schedule: str, count: int) -> list[Tick]:
        """The latest ticks first."""
        return self._ticks("schedule = ? ORDER BY at DESC, key LIMIT ?", schedule, count)

    def ended_states(self, schedule: str, count: int) -> list[TickState]:
        """How the latest ticks ended, the latest first."""
        rows = self._database.execute(
            "SELECT state FROM ticks WHERE schedule = ? AND forgiven = 0 AND state NOT IN ('waiting', 'running')"
            " ORDER BY at DESC, key LIMIT ?",
            (schedule, count),
        )
        return [TickState(row[0]) for row in rows]

    def set_state(self, schedule: str, tick: Tick, state: TickState, *, driver: str = "", message: str = "") -> bool:
        """Change a tick's state, if nobody else has; whether that was done."""
        done = self._database.execute(
            "UPDATE ticks SET state = ?, driver = ?, message = ? WHERE schedule = ? AND key = ? AND state = ?"
            " AND driver = ?",
            (state, driver, message, schedule, tick.key, tick.state, tick.driver),
        )
        return bool(done.rowcount)

    def removable(self, schedule: str, keep: int) -> list[Tick]:
        """Ended runs beyond the latest ones, whose records have not been removed yet."""
        return self._ticks(
            "schedule = ? AND removed = 0 AND state IN ('success', 'failed', 'cancelled') AND key NOT IN"
            " (SELECT key FROM ticks WHERE schedule = ? AND state IN ('success', 'failed', 'cancelled')"
            " ORDER BY at DESC, key LIMIT ?)",
            schedule,
            schedule,
            keep,
        )

    def note_removed(self, schedule: str, tick: Tick) -> None:
        """Keep that a run's record was removed."""
        self._database.execute("UPDATE ticks SET removed = 1 WHERE schedule = ? AND key = ?", (schedule, tick.key))

    # -- data ----------------------------------------------------------------------------------------------------------

    def arrive(self, stored: StoredSchedule, found: Sequence[str], now: float) -> None:
        """Note data, in a transaction. Those of the first look are old, unless the schedule wants them."""
        schedule = stored.schedule
        old = "-" if not stored.looked and not schedule.trigger.existing else None
        self._database.executemany(
            "INSERT OR IGNORE INTO arrivals (schedule, did, seen, tick) VALUES (?, ?, ?, ?)",
            [(schedule.id, did, now, old) for did in found],
        )
        self._database.execute("UPDATE schedules SET looked = 1 WHERE id = ?", (schedule.id,))

    def new_data(self, schedule: str) -> list[tuple[str, float]]:
        """Data that belong to no tick, with the times when they were first seen."""
        rows = self._database.execute(
            "SELECT did, seen FROM arrivals WHERE schedule = ? AND tick IS NULL ORDER BY seen, did", (schedule,)
        )
        return [(str(did), float(seen)) for did, seen in rows]

    def assign(self, schedule: str, tick: Tick) -> None:
        """Note that data belong to a tick; in a transaction."""
        self._database.executemany(
            "UPDATE arrivals SET tick = ? WHERE schedule = ? AND did = ?",
            [(tick.key, schedule, did) for did in tick.dids],
        )

    def _ticks(self, where: str, *values: object) -> list[Tick]:
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM ticks WHERE {where}", values)  # noqa: S608  constants
        return [
            Tick(key, at, RunId(run), TickState(state), tuple(json.loads(dids)), driver, message, bool(forced))
            for key, at, run, state, dids, driver, message, forced in rows
        ]

    def _row(self, where: str, *values: object) -> StoredSchedule | None:
        row = self._database.execute(f"SELECT {_SCHEDULE} FROM schedules WHERE {where}", values).fetchone()  # noqa: S608
        return None if row is None else _kept(row)


_SCHEDULE = "body, cursor, paused, looked, problem, next"


def _kept(row: Sequence[object]) -> StoredSchedule:
    body, cursor, paused, looked, problem, next_ = row
    schedule = msgspec.json.decode(str(body), type=Schedule)
    return StoredSchedule(
        schedule,
        float(str(cursor)),
        None if paused is None else str(paused),
        bool(looked),
        str(problem),
        None if next_ is None else float(str(next_)),
    )


def new_id() -> str:
    """An id for a new schedule."""
    return secrets.token_hex(8)
