"""What UWS knows of a job that a run does not have: its parameters before it runs, its label, that it was deleted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, func, select, update

from gridcwl.service.db import Viewer
from gridcwl.service.schema import uws_jobs


class UwsState(StrEnum):
    """How far a job has come."""

    PENDING = "pending"
    STARTED = "started"
    """There is a run of its id."""
    ABORTED = "aborted"
    """Before it was started."""
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class UwsJob:
    """A job that was created by UWS."""

    id: str
    """Of its run, too."""
    owner: str
    workflow: str
    """Its name in the catalogue."""
    label: str
    """The client's ``RUNID``."""
    parameters: Mapping[str, Sequence[str]]
    """Values of inputs as the client wrote them, by name."""
    created: float
    state: UwsState


class JobStore:
    """Jobs in the service's database. Blocking."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, job: UwsJob) -> None:
        """A new job."""
        values = {name: getattr(job, name) for name in ("id", "owner", "workflow", "label", "created")}
        with self._engine.begin() as connection:
            connection.execute(
                uws_jobs.insert().values(**values, parameters=_plain(job.parameters), state=str(job.state))
            )

    def get(self, job: str) -> UwsJob | None:
        """A job; None if UWS did not create it."""
        return next(iter(self.some([job]).values()), None)

    def some(self, jobs: Sequence[str]) -> dict[str, UwsJob]:
        """Those of some jobs that are here, by their ids."""
        known = [job for job in jobs if "\0" not in job]  # PostgreSQL's texts have none
        with self._engine.connect() as connection:
            found = connection.execute(select(uws_jobs).where(uws_jobs.c.id.in_(known)))
            return {job.id: job for job in map(_job, found)}

    def page(self, viewer: Viewer, most: int, workflow: str = "", states: Sequence[UwsState] = ()) -> list[UwsJob]:
        """The latest jobs; those without a run, that the viewer may see.

        Args:
            viewer: who asks; jobs that have a run are seen by whoever sees the run.
            most: of them.
            workflow: only of this workflow.
            states: only in one of these.
        """
        query = select(uws_jobs).order_by(uws_jobs.c.number.desc()).limit(most)
        query = query.where(uws_jobs.c.state != UwsState.DELETED)
        if workflow:
            query = query.where(uws_jobs.c.workflow == workflow)
        if states:
            query = query.where(uws_jobs.c.state.in_([str(state) for state in states]))
        if not viewer.sees_all:
            query = query.where((uws_jobs.c.state == UwsState.STARTED) | (uws_jobs.c.owner == viewer.subject))
        with self._engine.connect() as connection:
            return [_job(row) for row in connection.execute(query)]

    def pending(self, owner: str) -> int:
        """How many jobs of a user have not been started."""
        query = select(func.count()).select_from(uws_jobs)
        query = query.where(uws_jobs.c.owner == owner, uws_jobs.c.state == UwsState.PENDING)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def move(self, job: str, before: UwsState, after: UwsState) -> bool:
        """Compare and set; False if the job is in another state."""
        query = update(uws_jobs).where(uws_jobs.c.id == job, uws_jobs.c.state == before).values(state=after)
        with self._engine.begin() as connection:
            return bool(connection.execute(query).rowcount == 1)

    def change(self, job: str, parameters: Mapping[str, Sequence[str]]) -> bool:
        """Other parameters; False if the job is not pending any more."""
        query = update(uws_jobs).where(uws_jobs.c.id == job, uws_jobs.c.state == UwsState.PENDING)
        with self._engine.begin() as connection:
            return bool(connection.execute(query.values(parameters=_plain(parameters))).rowcount == 1)

    def delete(self, job: str, owner: str) -> None:
        """Show a job no longer; its run stays."""
        with self._engine.begin() as connection:
            changed = connection.execute(
                update(uws_jobs).where(uws_jobs.c.id == job).values(state=UwsState.DELETED)
            ).rowcount
            if not changed:
                connection.execute(
                    uws_jobs.insert().values(
                        id=job, owner=owner, workflow="", label="", parameters={}, created=time.time(),
                        state=UwsState.DELETED,
                    )
                )  # fmt: skip


def _plain(parameters: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: list(values) for name, values in parameters.items()}


def _job(row: Any) -> UwsJob:
    values = dict(row._mapping)
    del values["number"]
    return UwsJob(**(values | {"state": UwsState(values["state"])}))
