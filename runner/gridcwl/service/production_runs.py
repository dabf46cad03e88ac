"""Runs of productions at the service: portions are put into the queue as their owner's. Blocking."""

from __future__ import annotations

import contextvars
import json
import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from gridcwl.errors import StoreError
from gridcwl.productions.collecting import collect, failed_instances
from gridcwl.productions.driver import ProductionDriver, RunState, WaitError
from gridcwl.productions.model import Portion, Production, decide
from gridcwl.runs.record.folder import new_run_id
from gridcwl.schedules.driver import NotNowError
from gridcwl.service import quotas
from gridcwl.service.db import NewRun, Viewer
from gridcwl.service.ownership import Ownership
from gridcwl.service.problems import Busy, Refused
from gridcwl.service.productions import ServiceProductions, lock_of
from gridcwl.service.scheduled_runs import Principal, ScheduledRuns, state_of
from gridcwl.service.submitting import Intake, filled
from gridcwl.worker import credentials

log = logging.getLogger("gridcwl.service")

TAG = "production"
"""Of runs: the name of their production."""


class QueuedPortionRuns:
    """Implements ``gridcwl.productions.driver.PortionRuns`` with the queue of the service."""

    def __init__(self, intake: Intake, runs: ScheduledRuns) -> None:
        self._intake = intake
        self._runs = runs

    def start(self, production: Production, portion: Portion) -> None:
        """See ``PortionRuns.start``."""
        request = production.request
        given = json.loads(request.get("workflow_engine_parameters") or "{}")
        parameters = {**given, "--group": f"{production.input}={production.each}", "--on-error": "continue"}
        items = list(portion.items)
        tags = {TAG: production.name, "name": f"{production.name}-{portion.number}"}
        fields = filled(request, lambda value: {**value, production.input: items}, tags)
        fields["workflow_engine_parameters"] = json.dumps(parameters)
        viewer = Viewer(production.owner, frozenset(production.groups))
        try:
            self._runs.enqueue(portion.run, production.files, viewer, fields)
        except NotNowError as error:
            raise WaitError(error.message) from None

    def resume(self, portion: Portion) -> None:
        """See ``PortionRuns.resume``: as a new run in the same journal."""
        db, settings = self._intake.db, self._intake.settings
        run = db.latest_of(portion.run)
        if run is None or not run.state.is_terminal:
            return
        new = NewRun(
            id=new_run_id(), owner=run.owner, groups=db.groups_of(run.id), request=run.request, document=run.document,
            engine=run.engine, tags=run.tags,
        )  # fmt: skip
        try:
            quotas.check_request(db, settings.quotas, run.owner)
        except Refused as problem:
            kind = WaitError if isinstance(problem, Busy) else StoreError
            raise kind(problem.message) from None
        if not db.add(new, settings.max_queued):
            raise WaitError("The queue is full")

    def state(self, portion: Portion) -> tuple[RunState, str]:
        """See ``PortionRuns.state``."""
        return state_of(self._intake.db.latest_of(portion.run))

    def failures(self, portion: Portion) -> int:
        """See ``PortionRuns.failures``."""
        return failed_instances(self._intake.folder.record(portion.run))

    def cancel(self, portion: Portion) -> None:
        """See ``PortionRuns.cancel``."""
        if (run := self._intake.db.latest_of(portion.run)) is not None:
            self._intake.driver.cancel(run.id)

    def collect(self, production: Production, portion: Portion) -> None:
        """See ``PortionRuns.collect``: with the rights of the production's owner."""
        contextvars.copy_context().run(self._collect, production, portion)

    def _collect(self, production: Production, portion: Portion) -> None:
        journal = self._intake.folder.record(portion.run).journal
        owners = self._runs.owners
        asker = Principal(f"collect-{portion.run}", production.owner)
        if owners is not None:
            credentials.act_for(owners.open(asker))
        try:
            collect(journal, production, production.request.get("workflow_url", ""))
        finally:
            if owners is not None:
                owners.close(asker.id)


class Productions:
    """Works on the productions in a process of the service; each is held by one process at a time."""

    def __init__(self, intake: Intake, runs: ScheduledRuns, ownership: Ownership) -> None:
        self._record = ServiceProductions(intake.db.engine)
        self._runs = QueuedPortionRuns(intake, runs)
        self._ownership = ownership

    def step(self, stopping: Callable[[], bool]) -> bool:
        """Do what is to be done now; whether something is still active or waiting.

        Args:
            stopping: whether this process ends.
        """
        busy = False
        for production in self._record.open():
            if stopping():
                return busy
            name = lock_of(production.id)
            if self._ownership.take(name) is None:
                busy = True
                continue
            try:
                busy |= self._step(production)
            except SQLAlchemyError:
                raise
            except Exception:
                log.exception("The production %s was not worked on", production.name)
            finally:
                self._ownership.release(name)
        return busy

    def _step(self, production: Production) -> bool:
        driver = ProductionDriver(self._record, self._runs, production)
        driver.begin_missing()
        if driver.step():
            return True
        self._record.close(production.id)
        following = decide(production, self._record.portions(production.id))
        if (following.start or following.resubmit) and not self._record.is_stopped(production.id):
            self._record.reopen(production.id)  # its user wanted something just now
            return True
        return False
