"""What a user may have at a time: active and waiting runs, running jobs, stored bytes. Blocking.

Runs beyond a quota of active runs or jobs wait and show why; requests beyond one of waiting runs or bytes are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from gridcwl.service.db import Database, OwnersQueue
from gridcwl.service.problems import Busy, TooLarge
from gridcwl.service.schema import productions, runs, schedules
from gridcwl.service.settings import Quotas
from gridcwl.service.states import ACTIVE, State


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """What a user has of something, and may have."""

    what: str
    number: int
    most: int
    """0 is no limit."""


def why_held(quotas: Quotas, one: OwnersQueue) -> str:
    """Why the next run of a user may not begin now; empty if it may."""
    if quotas.active_runs and one.active >= quotas.active_runs:
        return f"{_count(one.active, 'run')} of {one.owner} {_is(one.active)} active, the most that a user may have"
    if quotas.jobs and one.jobs >= quotas.jobs:
        return f"{_count(one.jobs, 'job')} of {one.owner} {_is(one.jobs)} running, the most that a user may have"
    return ""


def check_request(db: Database, quotas: Quotas, owner: str, more_bytes: int = 0) -> None:
    """See that a user may have one more run.

    Raises:
        Busy: too many wait.
        TooLarge: too much is stored.
    """
    if not quotas.queued_runs and not quotas.stored_mib:
        return
    mine = runs.c.owner == owner
    waiting = select(func.count()).where(mine, runs.c.state == State.QUEUED)
    with db.engine.connect() as connection:
        queued = int(connection.execute(waiting).scalar_one())
    if quotas.queued_runs and queued >= quotas.queued_runs:
        raise Busy(f"{queued} runs of yours wait, the most that a user may have", {"Retry-After": "60"})
    check_stored(db, quotas, owner, more_bytes)


def check_stored(db: Database, quotas: Quotas, owner: str, more_bytes: int) -> None:
    """Check that a user may have so many bytes more.

    Raises:
        TooLarge: it is too much.
    """
    if not quotas.stored_mib:
        return
    with db.engine.connect() as connection:
        stored = _stored_bytes(connection, owner)
    if stored + more_bytes > quotas.stored_mib << 20:
        raise TooLarge(
            f"Your runs, schedules and productions have {stored >> 20} MiB here, and a user may have "
            f"{quotas.stored_mib} MiB: remove what you no longer need (DELETE /api/v1/runs/ID)"
        )


def usage(db: Database, quotas: Quotas, owner: str) -> list[QuotaUse]:
    """What a user has now, next to what a user may have."""
    mine = runs.c.owner == owner
    states = select(runs.c.state, func.count(), func.coalesce(func.sum(runs.c.jobs), 0)).where(mine)
    with db.engine.connect() as connection:
        found = {State(state): (int(count), int(jobs)) for state, count, jobs in connection.execute(
            states.group_by(runs.c.state)
        )}  # fmt: skip
        stored = _stored_bytes(connection, owner)
    active = [found[state] for state in ACTIVE if state in found]
    return [
        QuotaUse("active_runs", sum(count for count, _ in active), quotas.active_runs),
        QuotaUse("queued_runs", found.get(State.QUEUED, (0, 0))[0], quotas.queued_runs),
        QuotaUse("jobs", sum(jobs for _, jobs in active), quotas.jobs),
        QuotaUse("stored_bytes", stored, quotas.stored_mib << 20),
        QuotaUse("runs", sum(count for count, _ in found.values()), 0),
    ]


def _stored_bytes(connection: Connection, owner: str) -> int:
    """Of runs, and of what is kept for schedules and productions."""
    sums = [
        select(func.coalesce(func.sum(table.c.stored), 0)).where(table.c.owner == owner).scalar_subquery()
        for table in (runs, schedules, productions)
    ]
    return int(connection.execute(select(sums[0] + sums[1] + sums[2])).scalar_one())


def note_stored(db: Database, run: str, size: int) -> None:
    """Note how many bytes a run has here, with those that it was resumed from: they have one folder."""
    with db.engine.begin() as connection:
        engine = select(runs.c.engine).where(runs.c.id == run).scalar_subquery()
        connection.execute(update(runs).where(runs.c.engine == engine, runs.c.id != run).values(stored=0))
        connection.execute(update(runs).where(runs.c.id == run).values(stored=size))


def note_jobs(db: Database, run: str, jobs: int) -> None:
    """Note how many jobs of an active run are running."""
    with db.engine.begin() as connection:
        where = (runs.c.id == run, runs.c.state.in_(ACTIVE), runs.c.jobs != jobs)
        connection.execute(update(runs).where(*where).values(jobs=jobs))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
