"""The database: which runs there are, whose they are, and how they stand. Blocking; the service calls it in threads.

A run's state changes by compare-and-set only: see ``states.py``.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    case,
    delete,
    exists,
    func,
    select,
    update,
)

from gridcwl.service import run_lists
from gridcwl.service.db_opening import migrate, opened
from gridcwl.service.schema import (
    drivers,
    journal_changes,
    journals,
    run_files,
    run_groups,
    runs,
    schedule_ticks,
    task_tags,
)
from gridcwl.service.states import ACTIVE, State, may_precede

RUN_KIND = "run"
TASK_KIND = "task"
"""Kinds of runs: those of GA4GH WES and gridcwl's own clients, and those of GA4GH TES."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: sees the runs that are theirs, those of their groups, or all."""

    subject: str
    groups: frozenset[str] = frozenset()
    sees_all: bool = False
    may_submit: bool = True
    may_operate: bool = False
    """May cancel and resume the runs of others."""
    dirac_group: str = ""
    """Of proxies at DIRAC; empty for any."""
    scopes: frozenset[str] = frozenset()
    key: str = ""
    """The id of the API key that was shown; empty for who has logged in."""
    token: str = field(default="", repr=False)
    """The bearer token of the request, if it may be exchanged for one of the user's runs."""

    @property
    def may(self) -> dict[str, bool]:
        """What is allowed, by the words that API keys are limited with."""
        return {"read": True, "submit": self.may_submit, "operate": self.may_operate}

    @property
    def changes_own(self) -> bool:
        """Whether what the user has here may be removed: by an API key that may only read it may not."""
        return self.may_submit or not self.key

    def may_change(self, owner: str) -> bool:
        """Whether what belongs to this user may be changed: runs cancelled, schedules paused."""
        return self.may_operate or (self.may_submit and self.subject == owner)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as the database has it; the fields are described in ``schema.py``."""

    number: int
    id: str
    engine: str
    owner: str
    state: State
    reason: str
    created: float
    started: float | None
    ended: float | None
    exit_code: int | None
    message: str
    tags: Mapping[str, str]
    request: Mapping[str, Any]
    document: str
    settings: Mapping[str, Any]
    outputs: Any
    stored: int = 0
    jobs: int = 0
    kind: str = RUN_KIND
    name: str = ""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is to be added to the queue."""

    id: str
    owner: str
    request: Mapping[str, Any]
    document: str
    engine: str = ""
    """Whose journal it continues; empty for its own."""
    groups: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: str = RUN_KIND
    name: str = ""


@dataclass(frozen=True, slots=True)
class OwnersQueue:
    """How many runs a user has in the queue."""

    owner: str
    waiting: int
    active: int
    first: int
    """The number of the first one that waits."""
    jobs: int = 0
    """That are running."""

    def after_one(self) -> OwnersQueue:
        """Once the first one is active."""
        return replace(self, waiting=self.waiting - 1, active=self.active + 1)


class Database:
    """Runs in SQLite, PostgreSQL, or what else SQLAlchemy has."""

    on_change: Callable[[Connection, str, State], None] | None = None
    """Is called with each change of a run's state, in its transaction."""

    def __init__(self, url: str) -> None:
        """Open it, and bring its schema to this version.

        Raises:
            ConfigError: the URL is wrong, or what it needs is not installed.
            StoreError: it is unavailable, or a later version of gridcwl wrote it.
        """
        self.engine, shown = opened(url)
        migrate(self.engine, shown)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @property
    def is_shared(self) -> bool:
        """Whether services on several machines may use it at a time."""
        return self.engine.dialect.name == "postgresql"

    def owned_by(self, pids: Sequence[int]) -> int:
        """How many runs these processes of this machine own."""
        mine = (drivers.c.pid.in_(pids), drivers.c.host == socket.gethostname()[:255])
        query = select(func.count()).select_from(journals.join(drivers, drivers.c.id == journals.c.driver)).where(*mine)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def ping(self) -> None:
        """See that it answers.

        Raises:
            SQLAlchemyError: it does not.
        """
        with self.engine.connect() as connection:
            connection.execute(select(1))

    def add(self, new: NewRun, most_queued: int) -> bool:
        """Add a run to the queue; False if the queue is full."""
        with self.engine.begin() as connection:
            queued = connection.execute(
                select(func.count()).select_from(runs).where(runs.c.state == State.QUEUED)
            ).scalar_one()
            if queued >= most_queued:
                return False
            number = connection.execute(
                runs.insert().values(
                    id=new.id,
                    engine=new.engine or new.id,
                    owner=new.owner,
                    state=State.QUEUED,
                    reason="",
                    created=time.time(),
                    message="",
                    tags=dict(new.tags),
                    request=dict(new.request),
                    document=new.document,
                    settings=dict(new.settings),
                    kind=new.kind,
                    name=new.name,
                )
            ).inserted_primary_key[0]  # type: ignore[index]
            if new.groups:
                connection.execute(run_groups.insert(), [{"number": number, "name": name} for name in new.groups])
            if new.kind == TASK_KIND and new.tags:
                tags = [{"number": number, "key": key, "value": value} for key, value in new.tags.items()]
                connection.execute(task_tags.insert(), tags)
            if self.on_change is not None:
                self.on_change(connection, new.id, State.QUEUED)
            return True

    def get(self, run: str, viewer: Viewer | None = None) -> StoredRun | None:
        """A run; None if there is none, or the viewer may not see it. No viewer is the service itself."""
        query = run_lists.visible(select(runs).where(runs.c.id == run), viewer)
        with self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _stored(row)

    def remove(self, engine: str) -> None:
        """Forget all runs of a journal."""
        numbers = select(runs.c.number).where(runs.c.engine == engine)
        with self.engine.begin() as connection:
            ended = select(
                case(
                    (runs.c.state == State.COMPLETE, "success"),
                    (runs.c.state == State.CANCELED, "cancelled"),
                    else_="failed",
                )
            ).where(runs.c.id == engine)  # the driver of its schedule may not have seen that yet
            of_run = update(schedule_ticks).where(schedule_ticks.c.run == engine, schedule_ticks.c.state == "running")
            connection.execute(of_run.values(state=ended.scalar_subquery()))
            for table in (run_groups, task_tags):
                connection.execute(delete(table).where(table.c.number.in_(numbers)))
            for table in (journals, journal_changes, run_files):
                connection.execute(delete(table).where(table.c.engine == engine))
            connection.execute(delete(runs).where(runs.c.engine == engine))

    def latest_of(self, engine: str) -> StoredRun | None:
        """The latest run that works, or has worked, on a journal; None if there is none."""
        query = select(runs).where(runs.c.engine == engine).order_by(runs.c.number.desc()).limit(1)
        with self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _stored(row)

    def drop_files(self, folder: str) -> None:
        """Forget what machines that share no folder have of one."""
        with self.engine.begin() as connection:
            connection.execute(delete(run_files).where(run_files.c.engine == folder))

    def some(self, among: Sequence[str], viewer: Viewer | None = None) -> dict[str, StoredRun]:
        """Those of some runs that the viewer may see, by their ids."""
        query = run_lists.visible(select(runs).where(runs.c.id.in_(among)), viewer)
        with self.engine.connect() as connection:
            return {run.id: run for run in map(_stored, connection.execute(query))}

    def groups_of(self, run: str) -> frozenset[str]:
        """The groups that see a run."""
        query = select(run_groups.c.name).join(runs, runs.c.number == run_groups.c.number).where(runs.c.id == run)
        with self.engine.connect() as connection:
            return frozenset(connection.execute(query).scalars())

    def page(
        self,
        viewer: Viewer,
        size: int,
        before: int | None = None,
        states: Sequence[State] = (),
        search: str = "",
        *,
        kind: str = RUN_KIND,
        name_prefix: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> list[StoredRun]:
        """Runs, the latest first: at most ``size`` of them, with smaller numbers than ``before``.

        Args:
            viewer: who may see them.
            size: the most.
            before: None for the first page.
            states: only in these; empty for any.
            search: only those that have each of its words in their id, document, owner or tags.
            kind: of runs.
            name_prefix: how the names of tasks begin.
            tags: of tasks, by key; an empty value stands for any.
        """
        wanted = run_lists.matching(search)
        if name_prefix:  # LIKE would not care about capitals in SQLite
            wanted.append(func.substr(runs.c.name, 1, len(name_prefix)) == name_prefix)
        for key, value in (tags or {}).items():
            tag = exists().where(task_tags.c.number == runs.c.number, task_tags.c.key == key)
            wanted.append(tag.where(task_tags.c.value == value) if value else tag)
        query = run_lists.latest(viewer, size, kind, before=before, states=states, wanted=wanted)
        with self.engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]

    def move(
        self, run: str, state: State, *, only: State | None = None, fence: int | None = None, **changes: Any
    ) -> bool:
        """Give a run another state, with other fields; False if it is in a state that this one may not follow.

        Args:
            run: its id.
            state: the new one.
            only: the run has to be in this state; None: in any that the new one may follow.
            fence: of the run's owner: nothing changes if the run has another one now.
            changes: other fields.
        """
        now = time.time()
        times = {"started": now} if state is State.INITIALIZING else {"ended": now} if state.is_terminal else {}
        query = (
            update(runs)
            .where(runs.c.id == run, runs.c.state.in_(may_precede(state) if only is None else (only,)))
            .values(state=state, reason="", **(times | changes))
        )
        with self.engine.begin() as connection:
            if fence is not None and not is_fence_of(connection, run, fence):
                return False
            changed = bool(connection.execute(query).rowcount == 1)
            if changed and self.on_change is not None:
                self.on_change(connection, run, state)
            return changed

    def note(self, run: str, reason: str) -> None:
        """Note why a run that has not ended waits; empty if it does not."""
        with self.engine.begin() as connection:
            connection.execute(
                update(runs)
                .where(runs.c.id == run, runs.c.state.in_((State.QUEUED, *ACTIVE)), runs.c.reason != reason)
                .values(reason=reason)
            )

    def explain_waiting(self, reason: str, others: Sequence[str] = (), *, owner: str | None = None) -> None:
        """Note why runs of the queue wait: those of a user, or all but those of ``others``."""
        whose = runs.c.owner == owner if owner is not None else runs.c.owner.not_in(others)
        with self.engine.begin() as connection:
            connection.execute(
                update(runs).where(runs.c.state == State.QUEUED, runs.c.reason != reason, whose).values(reason=reason)
            )

    def queue(self) -> list[OwnersQueue]:
        """The users who have runs in the queue, whose first run came first first."""
        count, first = func.count(), func.min(runs.c.number)
        waiting = select(runs.c.owner, count, first).where(runs.c.state == State.QUEUED).group_by(runs.c.owner)
        with self.engine.connect() as connection:
            found = list(connection.execute(waiting.order_by(first)))
            if not found:
                return []
            jobs = func.coalesce(func.sum(runs.c.jobs), 0)
            active = select(runs.c.owner, count, jobs).where(runs.c.state.in_(ACTIVE)).group_by(runs.c.owner)
            busy = {owner: (int(number), int(many)) for owner, number, many in connection.execute(active)}
        return [
            OwnersQueue(owner, int(number), busy.get(owner, (0, 0))[0], int(begin), busy.get(owner, (0, 0))[1])
            for owner, number, begin in found
        ]

    def first_waiting(self, owner: str) -> StoredRun | None:
        """The first run of a user in the queue."""
        query = select(runs).where(runs.c.state == State.QUEUED, runs.c.owner == owner).order_by(runs.c.number).limit(1)
        with self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _stored(row)

    def orphans(self) -> list[StoredRun]:
        """Runs that somebody worked on who has ended."""
        living = select(journals.c.engine).join(drivers, drivers.c.id == journals.c.driver)
        query = select(runs).where(runs.c.state.in_(ACTIVE), runs.c.engine.not_in(living)).order_by(runs.c.number)
        with self.engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]

    def unwanted(self, among: Sequence[str]) -> list[str]:
        """Which of these runs are to be cancelled."""
        if not among:
            return []
        query = select(runs.c.id).where(runs.c.state == State.CANCELING, runs.c.id.in_(among))
        with self.engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def _in_order(self, most: int | None, *states: State) -> list[StoredRun]:
        query = select(runs).where(runs.c.state.in_(states)).order_by(runs.c.number).limit(most)
        with self.engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]

    def glance(self, viewer: Viewer, most: int) -> list[tuple[Any, ...]]:
        """How the viewer's runs stand that have not ended, and which one is the latest: changes if the list does.

        What it takes does not grow with the runs that have ended.
        """
        open_ = runs.c.state.in_((State.QUEUED, *ACTIVE))
        waiting = select(runs.c.number, runs.c.state, runs.c.reason).where(runs.c.kind == RUN_KIND, open_)
        latest = run_lists.latest(viewer, 1, RUN_KIND).with_only_columns(runs.c.number)
        with self.engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(run_lists.visible(waiting, viewer).limit(most))]
            return [*sorted(found), tuple(connection.execute(latest).first() or ())]

    def counts(self, viewer: Viewer | None = None) -> dict[State, int]:
        """How many runs are in each state, of those that the viewer sees; states without any are left out.

        Without a viewer, of all runs and tasks.
        """
        all_ = select(runs.c.state, func.count()).group_by(runs.c.state)
        found: Counter[State] = Counter()
        with self.engine.connect() as connection:
            for query in [all_] if viewer is None else run_lists.counted(viewer, RUN_KIND):
                found.update({State(state): int(count) for state, count in connection.execute(query)})
        return dict(found)

    def continued(self, engine: str) -> bool:
        """Whether a run that has not ended works on this journal."""
        query = select(runs.c.id).where(runs.c.engine == engine, runs.c.state.in_((State.QUEUED, *ACTIVE))).limit(1)
        with self.engine.connect() as connection:
            return connection.execute(query).first() is not None


def locked_for_change(connection: Connection, table: Table) -> None:
    """Let no other process change what depends on a table, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(table.name.encode()).digest()[:8], signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))
    else:  # the first statement that writes takes the lock
        first = next(iter(table.primary_key.columns))
        connection.execute(update(table).where(first == "").values({first: first}))


def _stored(row: Any) -> StoredRun:
    values = dict(row._mapping)
    return StoredRun(**(values | {"state": State(values["state"])}))


def is_fence_of(connection: Connection, run: str, fence: int) -> bool:
    """Whether a fencing number is the run's; if so, it stays that until the transaction ends."""
    engine = select(runs.c.engine).where(runs.c.id == run).scalar_subquery()
    query = update(journals).where(journals.c.engine == engine, journals.c.fence == fence).values(fence=fence)
    return bool(connection.execute(query).rowcount == 1)
