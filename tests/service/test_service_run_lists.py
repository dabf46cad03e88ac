"""Lists of runs at a service: what they hold, and that they do not read the runs of others."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from documents import expression
from sqlalchemy import event
from wes import serving

from gridcwl.service.db import TASK_KIND, Database, NewRun, StoredRun, Viewer
from gridcwl.service.schema import run_groups, runs
from gridcwl.service.states import ACTIVE, State

TWICE = expression("${ return {twice: 2 * inputs.number}; }", {"number": "int"}, {"twice": "int"})
NOBODY = Viewer("nobody")
MEMBER = Viewer("member", frozenset({"empty", "cta"}))
OPERATOR = Viewer("operator", sees_all=True)
_FIELDS = {
    "reason": "",
    "message": "",
    "tags": {},
    "request": {"workflow_url": "x.cwl"},
    "document": "x",
    "settings": {},
}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path / 'runs.db'}")) as database:
        yield database


def fill(db: Database, count: int, state: State = State.COMPLETE) -> None:
    """Runs of somebody else."""
    names = [f"{count}-{number}" for number in range(count)]
    rows = [{"id": name, "engine": name, "owner": "busy", "state": state, "created": 1.0, **_FIELDS} for name in names]
    with db.engine.begin() as connection:
        connection.execute(runs.insert(), rows)


def steps(db: Database, list_runs: Callable[[], object]) -> int:
    """How many instructions SQLite takes for a list."""
    with db.engine.connect() as connection:  # the pool hands the same one out next
        raw = connection.connection.driver_connection
    count = itertools.count()
    assert raw is not None
    list_runs()  # what is prepared once is prepared
    raw.set_progress_handler(lambda: next(count) and 0, 1)
    list_runs()
    raw.set_progress_handler(None, 1)
    return next(count)


LISTS: dict[str, Callable[[Database], object]] = {
    "of a user": lambda db: db.page(NOBODY, 50),
    "of a user, a later page": lambda db: db.page(NOBODY, 50, before=100_000),
    "of a user, by a word": lambda db: db.page(NOBODY, 50, search="lst"),
    "of a user in a state": lambda db: db.page(NOBODY, 50, states=[State.COMPLETE]),
    "of a user in some states": lambda db: db.page(NOBODY, 50, states=ACTIVE),
    "tasks of a user": lambda db: db.page(NOBODY, 50, kind=TASK_KIND, name_prefix="x", tags={"a": "b"}),
    "of a member of groups": lambda db: db.page(MEMBER, 50),
    "of a member of groups, by a word": lambda db: db.page(MEMBER, 50, search="lst"),
    "of a member of groups in some states": lambda db: db.page(MEMBER, 50, states=[State.COMPLETE, State.CANCELED]),
    "of all": lambda db: db.page(OPERATOR, 50),
    "of all in a state": lambda db: db.page(OPERATOR, 50, states=[State.EXECUTOR_ERROR]),
    "of all in some states": lambda db: db.page(OPERATOR, 50, states=ACTIVE),
    "counts of a user": lambda db: db.counts(NOBODY),
    "counts of a member of groups": lambda db: db.counts(MEMBER),
    "a glance of a user": lambda db: db.glance(NOBODY, 50),
    "a glance of a member of groups": lambda db: db.glance(MEMBER, 50),
}


def test_a_list_reads_no_more_when_others_have_more_runs(db: Database):
    fill(db, 100)
    few = {name: steps(db, partial(list_runs, db)) for name, list_runs in LISTS.items()}
    fill(db, 1000)
    many = {name: steps(db, partial(list_runs, db)) for name, list_runs in LISTS.items()}
    assert {name: (few[name], many[name]) for name in LISTS if many[name] > few[name] + 100} == {}


def test_lists_by_owner_group_state_and_page_have_each_run_once_in_order(db: Database):
    """Every other run has two groups that see it, and each state comes again and again."""
    states = (State.QUEUED, State.RUNNING, State.COMPLETE)
    for number in range(24):
        owner, groups = ("ann", "bob")[number % 2], (frozenset({"cta", "ska"}) if number % 4 < 2 else frozenset())
        new = NewRun(id=f"run-{number:02}", owner=owner, groups=groups, request={}, document="x")
        assert db.add(new, most_queued=100)
        with db.engine.begin() as connection:
            connection.execute(runs.update().where(runs.c.id == new.id).values(state=states[number % 3]))
    with db.engine.connect() as connection:
        shared = set(connection.execute(run_groups.select().with_only_columns(run_groups.c.number)).scalars())
    everything = db.page(OPERATOR, 100)
    viewers = [
        OPERATOR, Viewer("ann"), Viewer("ann", frozenset({"cta"})), Viewer("eve", frozenset({"cta", "ska", "none"})),
        Viewer("ann", frozenset({"cta", *(f"group-{number}" for number in range(200))})),
    ]  # fmt: skip
    for viewer, wanted, size in itertools.product(viewers, ((), states[:1], states[:2]), (1, 5, 100)):
        expected = [
            run.id for run in everything
            if (viewer.sees_all or run.owner == viewer.subject or (viewer.groups and run.number in shared))
            and (not wanted or run.state in wanted)
        ]  # fmt: skip
        assert _paged(db, viewer, wanted, size) == expected, (viewer, wanted, size)
        found = [run.id for run in db.page(viewer, 100, states=wanted, search="RUN-1")]
        assert found == [run for run in expected if "run-1" in run]
        if not wanted:
            assert sum(db.counts(viewer).values()) == len(expected)


def _paged(db: Database, viewer: Viewer, states: tuple[State, ...], size: int) -> list[str]:
    found: list[StoredRun] = []
    while page := db.page(viewer, size, before=found[-1].number if found else None, states=states):
        found += page
    return [run.id for run in found]


def test_tasks_of_a_group_are_found_by_their_tags(db: Database):
    for name, groups in (("first", {"cta"}), ("second", set())):
        new = NewRun(id=name, owner="ann", groups=frozenset(groups), request={}, document="x", kind=TASK_KIND,
                     name=name, tags={"site": name})  # fmt: skip
        assert db.add(new, most_queued=100)
    assert [run.id for run in db.page(MEMBER, 10, kind=TASK_KIND, tags={"site": ""})] == ["first"]
    assert [run.id for run in db.page(MEMBER, 10, kind=TASK_KIND, tags={"site": "second"})] == []
    assert db.page(MEMBER, 10) == []


@pytest.mark.postgresql
def test_a_list_of_runs_looks_at_all_journals_with_one_query(tmp_path: Path, postgresql_url: str):
    with serving(tmp_path, db=postgresql_url) as wes:
        ended = [wes.run(TWICE, {"number": number})["run_id"] for number in range(3)]
        folder = wes.service.folder
        statements: list[str] = []
        event.listen(wes.service.db.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert list(folder.records(ended)) == ended
        assert not any("FROM journal_changes" in one for one in statements)  # which are looked for one by one
        shutil.rmtree(folder.state / "runs" / ended[1])  # as on another machine
        listed = wes.http.get("/api/v1/runs").json()["runs"]
        assert [(one["run"], one["state"]) for one in listed] == [(run, "success") for run in reversed(ended)]
        assert folder.records(ended)[ended[1]].journal.is_file()
