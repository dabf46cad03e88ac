"""Runs of schedules at the service: what becomes due is put into the queue, as its owner's. Blocking.

A tick is claimed in the database before its run is made, and the run's id is the tick's: whatever is killed, no tick
has two runs and none is lost. A driver whose process has ended, by the locks that runs have, leaves its ticks to the
others.
"""

from __future__ import annotations

import contextvars
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl.errors import ConfigError, StoreError
from gridcwl.model.paths import file_path
from gridcwl.runs.finding import found, names_files
from gridcwl.runs.settings import options_for
from gridcwl.schedules.driver import NotNowError, RunState, TickDriver
from gridcwl.schedules.model import Schedule, Tick, Values, values_of
from gridcwl.service.db import Database, StoredRun, Viewer
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.problems import Busy, Refused
from gridcwl.service.schedules import ServiceSchedules
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.states import State
from gridcwl.service.submitting import Intake, enqueue, filled
from gridcwl.worker import credentials

if TYPE_CHECKING:
    from gridcwl.service.owners import Owners

TAG = "schedule"
"""Of runs: the name of their schedule."""
_STATES: dict[State, RunState] = {
    State.COMPLETE: "success",
    State.EXECUTOR_ERROR: "failed",
    State.SYSTEM_ERROR: "failed",
    State.CANCELED: "cancelled",
}


def state_of(run: StoredRun | None) -> tuple[RunState, str]:
    """How a run stands, as drivers of schedules and productions call it, and a message if it failed."""
    if run is None:
        return "missing", ""
    return _STATES.get(run.state, "active"), run.message


@dataclass(frozen=True, slots=True)
class Principal:
    """For whom data are looked for."""

    id: str
    owner: str


class ScheduledRuns:
    """Implements ``gridcwl.schedules.driver.Launcher`` with the queue of the service."""

    def __init__(self, intake: Intake, owners: Owners | None) -> None:
        self._intake = intake
        self._db: Database = intake.db
        self._folder: ServiceFolder = intake.folder
        self._settings: ServiceSettings = intake.settings
        self.owners = owners

    def find(self, schedule: Schedule) -> Sequence[str]:
        """See ``Launcher.find``: with the rights of the schedule's owner."""
        return self.matching(schedule.trigger.query, schedule.owner, schedule.id)

    def matching(self, query: str, owner: str, asker: str) -> list[str]:
        """The data that match a query now, as a user sees them.

        Raises:
            GridCWLError: they cannot be looked for.
        """
        if self.owners is not None and (reason := self.owners.lacking(owner)):
            raise StoreError(reason)
        return contextvars.copy_context().run(self._found, query, Principal(f"find-{asker}", owner))

    def _found(self, query: str, finding: Principal) -> list[str]:
        settings = {**self._settings.runs, "state_dir": self._folder.state, "cache_dir": self._folder.cache}
        options = options_for("", (), settings, self._folder.path)
        if self.owners is not None:
            credentials.act_for(self.owners.open(finding))
        try:
            urls = found(query, options, self._folder.path)
        finally:
            if self.owners is not None:
                self.owners.close(finding.id)
        if names_files(query):
            allowed = self._intake.driver.confinement()
            urls = [url for url in urls if allowed.allows_file(file_path(url, "A file that matches the query"))]
        return urls

    def start(self, schedule: Schedule, tick: Tick) -> None:
        """See ``Launcher.start``."""
        values = values_of(schedule, tick)
        fields = filled(schedule.request, values.of, {TAG: schedule.name, "name": _name(schedule, values)})
        self.enqueue(tick.run, schedule.files, Viewer(schedule.owner, frozenset(schedule.groups)), fields)

    def enqueue(self, run: str, files: str, viewer: Viewer, fields: dict[str, str]) -> None:
        """Put a run into the queue under its id, with attachments that are kept elsewhere; once.

        Raises:
            NotNowError: the queue is full, or the user has too many runs.
            ConfigError: the run is not accepted.
        """
        if self._db.get(run) is not None:
            return
        folder = self._folder.run(run)
        shutil.rmtree(folder.path, ignore_errors=True)  # whoever made it has ended
        folder.path.mkdir(mode=0o700)
        try:
            shutil.copytree(self._folder.restored(files).files, folder.files, symlinks=True)
            enqueue(self._intake, viewer, run, folder, fields)
        except Refused as problem:
            shutil.rmtree(folder.path, ignore_errors=True)
            kind = NotNowError if isinstance(problem, Busy) else ConfigError
            raise kind(problem.message) from None

    def resume(self, schedule: Schedule, tick: Tick) -> None:
        """See ``Launcher.resume``: drivers of the queue resume runs by themselves."""

    def state(self, tick: Tick) -> tuple[RunState, str]:
        """See ``Launcher.state``."""
        return state_of(self._db.get(tick.run))

    def cancel(self, tick: Tick) -> None:
        """See ``Launcher.cancel``."""
        self._intake.driver.cancel(tick.run)

    def remove(self, tick: Tick) -> None:
        """See ``Launcher.remove``."""
        if not self._db.continued(tick.run):
            forget(self._db, self._folder, tick.run)


class ScheduleDriver(TickDriver):
    """The driver of schedules in a process of the service."""

    def __init__(self, intake: Intake, owners: Owners | None) -> None:
        self.record = ServiceSchedules(intake.db.engine)
        self.runs = ScheduledRuns(intake, owners)
        super().__init__(self.record, self.runs, Path(), begins_again=True)

    def is_alive(self, driver: str) -> bool:
        """See ``TickDriver.is_alive``: by the locks of the database."""
        return self.record.is_driver(driver)


def forget(db: Database, folder: ServiceFolder, engine: str) -> None:
    """Remove a run that has ended, with all that is kept of it here."""
    submitted, record = folder.run(engine), folder.record(engine)
    db.remove(engine)
    shutil.rmtree(submitted.path, ignore_errors=True)
    if record.path.exists():
        record.remove()


def _name(schedule: Schedule, values: Values) -> str:
    return f"{schedule.name} {values.tick:%Y-%m-%d %H:%M}"
