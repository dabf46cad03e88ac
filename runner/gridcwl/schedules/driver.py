"""Drivers: look at schedules, begin their runs and see how these end. Any number of drivers share the schedules."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from gridcwl.config import private_folder
from gridcwl.errors import GridCWLError, StoreError
from gridcwl.schedules import deciding
from gridcwl.schedules.model import Schedule, Tick, TickState
from gridcwl.schedules.store import StoredSchedule

log = logging.getLogger("gridcwl.schedules")

RunState: TypeAlias = Literal["missing", "active", "stopped", "success", "failed", "cancelled"]
_FAR_S = 3600.0
_AGAIN_S = 30.0
"""After a run could not begin."""
_ENDED: dict[RunState, TickState] = {
    "success": TickState.SUCCESS,
    "failed": TickState.FAILED,
    "cancelled": TickState.CANCELLED,
}


class Launcher(Protocol):
    """What runs documents, and looks for data. Calls are short, but for ``find``."""

    def find(self, schedule: Schedule) -> Sequence[str]:
        """The data that match the schedule's query now. Raises GridCWLError."""

    def start(self, schedule: Schedule, tick: Tick) -> None:
        """Begin the tick's run under its id. Raises GridCWLError: it cannot be begun."""

    def resume(self, schedule: Schedule, tick: Tick) -> None:
        """Go on with a run that was stopped. Raises GridCWLError."""

    def state(self, tick: Tick) -> tuple[RunState, str]:
        """How the tick's run stands, and a message if it failed."""

    def cancel(self, tick: Tick) -> None:
        """Stop the tick's run; it ends soon."""

    def remove(self, tick: Tick) -> None:
        """Remove the record of the tick's run, which has ended."""


class NotNowError(GridCWLError):
    """A tick's run cannot begin now; it is tried again."""


class ScheduleRecord(Protocol):
    """Where schedules and their ticks are kept; see ``ScheduleStore``."""

    def transaction(self) -> AbstractContextManager[None]: ...  # noqa: D102
    def again(self, stored: StoredSchedule) -> StoredSchedule | None: ...  # noqa: D102
    def all(self) -> list[StoredSchedule]: ...  # noqa: D102
    def to_look_at(self, now: float) -> list[StoredSchedule]: ...  # noqa: D102
    def next_look(self) -> float | None: ...  # noqa: D102
    def note_paused(self, schedule: str, reason: str) -> None: ...  # noqa: D102
    def looked(self, schedule: str, cursor: float, next_: float | None, problem: str = "") -> None: ...  # noqa: D102
    def insert(self, schedule: str, ticks: Iterable[Tick]) -> list[Tick]: ...  # noqa: D102
    def open_ticks(self, schedule: str) -> list[Tick]: ...  # noqa: D102
    def ended_states(self, schedule: str, count: int) -> list[TickState]: ...  # noqa: D102
    def set_state(  # noqa: D102
        self, schedule: str, tick: Tick, state: TickState, *, driver: str = "", message: str = ""
    ) -> bool: ...
    def removable(self, schedule: str, keep: int) -> list[Tick]: ...  # noqa: D102
    def note_removed(self, schedule: str, tick: Tick) -> None: ...  # noqa: D102
    def arrive(self, stored: StoredSchedule, found: Sequence[str], now: float) -> None: ...  # noqa: D102
    def new_data(self, schedule: str) -> list[tuple[str, float]]: ...  # noqa: D102
    def assign(self, schedule: str, tick: Tick) -> None: ...  # noqa: D102


class TickDriver:
    """One driver. It is alive as long as it holds the lock of its file, whatever becomes of its process."""

    def __init__(
        self, store: ScheduleRecord, launcher: Launcher, locks: Path, name: str = "", *, begins_again: bool = False
    ) -> None:
        """Prepare.

        Args:
            store: of the schedules.
            launcher: runs them.
            locks: the folder of the drivers' locks.
            name: of this driver; empty for a new one.
            begins_again: a run that is missing had not begun, as in a database that all drivers share.
        """
        self._store = store
        self._launcher = launcher
        self._locks = locks
        self._begins_again = begins_again
        self.name = name or f"{os.getpid()}-{secrets.token_hex(6)}"

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Hold the driver's lock. Raises StoreError: it cannot be made."""
        path = self._locks / self.name
        try:
            private_folder(self._locks)
            file = path.open("w")
        except OSError as error:
            raise StoreError(f"The driver's lock {path} cannot be made: {error.strerror}") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def step(self, now: float) -> float:
        """Do what is to be done now.

        Args:
            now: seconds since 1970.

        Returns:
            When to do so again, at the latest.

        Raises:
            StoreError: the schedules cannot be read or written.
        """
        looked_at = self._store.to_look_at(now)
        if not looked_at:
            return self._next_wake(now, [])
        found = {stored.schedule.id: self._found(stored) for stored in looked_at if _wants_data(stored, now)}
        claimed: list[tuple[Schedule, Tick]] = []
        cancelled: list[Tick] = []
        wakes: list[float] = []
        ended = [(stored.schedule, *end) for stored in looked_at for end in self._ends(stored.schedule)]
        with self._store.transaction():
            for schedule, tick, state, message in ended:
                level = logging.WARNING if state is TickState.FAILED else logging.INFO
                log.log(level, "%s: the run %s ended: %s", schedule.name, tick.run, message or state)
                self._store.set_state(schedule.id, tick, state, message=message)
            for before in looked_at:
                stored = self._store.again(before)
                if stored is None:
                    continue
                stored = self._paused(stored)
                if stored.is_due(now):
                    self._look(stored, now, found.get(stored.schedule.id))
                decision = deciding.decide(
                    stored.schedule, self._store.open_ticks(stored.schedule.id), now, paused=stored.paused is not None
                )
                claimed += self._claim(stored.schedule, decision)
                cancelled += decision.cancel
                wakes += [] if decision.wake is None else [decision.wake]
        for tick in cancelled:
            self._launcher.cancel(tick)
        for schedule, tick in claimed:
            if not self._begin(schedule, tick):
                wakes.append(now + _AGAIN_S)
        for stored in looked_at:
            self._retain(stored.schedule)
        return self._next_wake(now, wakes)

    def _next_wake(self, now: float, wakes: Sequence[float]) -> float:
        upcoming = self._store.next_look()
        return max(now, min([now + _FAR_S, *wakes, *([] if upcoming is None else [upcoming])]))

    def active(self) -> int:
        """How many runs this driver works on."""
        return sum(
            tick.state is TickState.RUNNING and tick.driver == self.name
            for stored in self._store.all()
            for tick in self._store.open_ticks(stored.schedule.id)
        )

    # -- looking ---------------------------------------------------------------------------------------------------

    def _found(self, stored: StoredSchedule) -> Sequence[str] | GridCWLError:
        try:
            return self._launcher.find(stored.schedule)
        except GridCWLError as error:
            log.warning("%s: new data cannot be looked for: %s", stored.schedule.name, error.message)
            return error

    def _look(self, stored: StoredSchedule, now: float, found: Sequence[str] | GridCWLError | None) -> None:
        schedule, problem, cursor = stored.schedule, "", stored.cursor
        ticks: list[Tick] = []
        try:
            if isinstance(found, GridCWLError):
                problem = found.message
            elif found is not None:
                self._store.arrive(stored, found, now)
            waiting = self._store.new_data(schedule.id) if schedule.trigger.query else []
            if schedule.trigger.query and not schedule.trigger.cron:
                ticks = deciding.complete_groups(schedule, waiting, now)
                cursor = now
            elif not problem:  # what arrived for a time is known only if it could be looked for
                made = deciding.due(schedule, cursor, now, [did for did, _ in waiting])
                ticks, cursor = list(made.ticks), made.cursor
            following = deciding.next_look(schedule, cursor, now) if not problem else now + deciding.LOOK_EVERY_S
        except GridCWLError as error:
            log.warning("%s: %s", schedule.name, error.message)
            problem, following = error.message, now + deciding.LOOK_EVERY_S
        for tick in self._store.insert(schedule.id, ticks):
            self._store.assign(schedule.id, tick)
        if following is not None and schedule.trigger.group_s and schedule.trigger.query:
            firsts = [seen for _, seen in self._store.new_data(schedule.id)[:1]]
            following = min([following, *(max(now, seen + schedule.trigger.group_s) for seen in firsts)])
        self._store.looked(schedule.id, cursor, now + _FAR_S * 24 if following is None else following, problem)

    def _paused(self, stored: StoredSchedule) -> StoredSchedule:
        """The schedule, paused if its runs failed too often."""
        most = stored.schedule.pause_after
        if most is None or stored.paused is not None:
            return stored
        if deciding.failures_in_a_row(self._store.ended_states(stored.schedule.id, most * 4)) < most:
            return stored
        reason = f"{most} runs failed, one after the other"
        log.warning("%s is paused: %s", stored.schedule.name, reason)
        self._store.note_paused(stored.schedule.id, reason)
        return replace(stored, paused=reason)

    # -- ticks -----------------------------------------------------------------------------------------------------

    def _claim(self, schedule: Schedule, decision: deciding.TickDecision) -> list[tuple[Schedule, Tick]]:
        for tick, reason in decision.skip:
            if self._store.set_state(schedule.id, tick, TickState.SKIPPED, message=reason):
                log.info("%s: %s is skipped: %s", schedule.name, _shown(tick), reason)
        return [
            (schedule, replace(tick, state=TickState.RUNNING, driver=self.name))
            for tick in decision.start
            if self._store.set_state(schedule.id, tick, TickState.RUNNING, driver=self.name)
        ]

    def _begin(self, schedule: Schedule, tick: Tick) -> bool:
        """Begin a tick's run; False if it has to be tried again."""
        log.info("%s: %s runs as %s", schedule.name, _shown(tick), tick.run)
        try:
            self._launcher.start(schedule, tick)
        except NotNowError as error:
            log.warning("%s: %s waits: %s", schedule.name, _shown(tick), error.message)
            with self._store.transaction():
                self._store.set_state(schedule.id, tick, TickState.WAITING, message=error.message)
            return False
        except GridCWLError as error:
            self._failed(schedule, tick, error)
        return True

    def _failed(self, schedule: Schedule, tick: Tick, error: GridCWLError) -> None:
        log.warning("%s: %s cannot run: %s", schedule.name, _shown(tick), error.message)
        with self._store.transaction():
            self._store.set_state(schedule.id, tick, TickState.FAILED, message=error.message)

    def _ends(self, schedule: Schedule) -> Iterator[tuple[Tick, TickState, str]]:
        """The runs of this driver that have ended; those of drivers that are gone become its own."""
        for tick in self._store.open_ticks(schedule.id):
            if tick.state is not TickState.RUNNING:
                continue
            own = tick
            if tick.driver != self.name:
                if self.is_alive(tick.driver):
                    continue
                own = replace(tick, driver=self.name)
                with self._store.transaction():
                    if not self._store.set_state(schedule.id, tick, TickState.RUNNING, driver=self.name):
                        continue
                log.info("%s: %s, which another driver left, is taken over", schedule.name, tick.run)
                self._take_over(schedule, own)
            state, message = self._launcher.state(own)
            if state == "missing" and self._begins_again and tick is own:
                self._begin(schedule, own)
            if state in _ENDED:
                yield own, _ENDED[state], message

    def _take_over(self, schedule: Schedule, tick: Tick) -> None:
        state, _ = self._launcher.state(tick)
        try:
            if state == "missing":
                self._begin(schedule, tick)
            elif state == "stopped":
                self._launcher.resume(schedule, tick)
        except GridCWLError as error:
            self._failed(schedule, tick, error)

    def is_alive(self, driver: str) -> bool:
        """Whether another driver works on its ticks."""
        path = self._locks / driver
        if not driver or "/" in driver:
            return False
        with contextlib.suppress(FileNotFoundError), path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _retain(self, schedule: Schedule) -> None:
        if schedule.keep is None:
            return
        for tick in self._store.removable(schedule.id, schedule.keep):
            try:
                self._launcher.remove(tick)
            except GridCWLError as error:
                log.warning("%s: the run %s cannot be removed: %s", schedule.name, tick.run, error.message)
            with self._store.transaction():
                self._store.note_removed(schedule.id, tick)


def _wants_data(stored: StoredSchedule, now: float) -> bool:
    return bool(stored.schedule.trigger.query) and stored.is_due(now)


def _shown(tick: Tick) -> str:
    if tick.dids:
        return f"{len(tick.dids)} new {'file or dataset' if len(tick.dids) == 1 else 'files or datasets'}"
    return f"{datetime.fromtimestamp(tick.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
