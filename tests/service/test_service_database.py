"""States change by compare-and-set, and lists show what the viewer may see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from gridcwl.errors import ConfigError, StoreError
from gridcwl.service.db import Database, NewRun, Viewer
from gridcwl.service.schema import metadata
from gridcwl.service.states import MAY_FOLLOW, State

ALL = Viewer("admin", sees_all=True)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'runs.db'}")
    yield database
    database.close()


def add(db: Database, run: str, owner: str = "ann", groups: tuple[str, ...] = ()) -> None:
    new = NewRun(id=run, owner=owner, groups=frozenset(groups), request={}, document="x.cwl")
    assert db.add(new, most_queued=1000)


def put(db: Database, run: str, state: State) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE runs SET state=:state WHERE id=:run"), {"state": state, "run": run})


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_state_is_followed_only_by_those_of_the_table(db: Database, before: State, after: State):
    add(db, "run")
    put(db, "run", before)
    assert db.move("run", after) == (after in MAY_FOLLOW[before])
    stored = db.get("run")
    assert stored is not None
    assert stored.state is (after if after in MAY_FOLLOW[before] else before)


def test_of_two_ends_the_first_counts(db: Database):
    add(db, "run")
    assert db.move("run", State.INITIALIZING)
    assert db.move("run", State.COMPLETE, outputs={"x": 1})
    assert not db.move("run", State.CANCELED, outputs={"x": 2})
    stored = db.get("run")
    assert stored is not None
    assert (stored.state, stored.outputs) == (State.COMPLETE, {"x": 1})
    assert stored.ended is not None


def test_a_queued_run_is_cancelled_only_while_it_is_queued(db: Database):
    add(db, "run")
    db.move("run", State.INITIALIZING)
    assert not db.move("run", State.CANCELED, only=State.QUEUED)


def test_users_see_their_own_runs_and_those_of_their_groups(db: Database):
    add(db, "anns", "ann")
    add(db, "bobs", "bob", ("km3net", "cta"))
    add(db, "eves", "eve")

    def seen(viewer: Viewer) -> list[str]:
        found = [run.id for run in db.page(viewer, 10)]
        assert found == [run for run in ("eves", "bobs", "anns") if db.get(run, viewer) is not None]
        return found

    assert seen(Viewer("ann")) == ["anns"]
    assert seen(Viewer("ann", frozenset({"cta"}))) == ["bobs", "anns"]
    assert seen(Viewer("ann", frozenset({"ska"}))) == ["anns"]
    assert seen(ALL) == ["eves", "bobs", "anns"]


def test_the_queue_has_an_end(db: Database):
    add(db, "first")
    assert not db.add(NewRun(id="second", owner="ann", request={}, document="x"), most_queued=1)


def test_a_new_database_has_the_schema_that_the_code_has(db: Database):
    found = inspect(db.engine)
    for table in metadata.sorted_tables:
        assert {column["name"] for column in found.get_columns(table.name)} == set(table.columns.keys())
        indexes = {index["name"] for index in found.get_indexes(table.name) if not index["unique"]}
        assert indexes == {index.name for index in table.indexes}


def test_a_database_of_a_later_version_is_refused(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    database = Database(url)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num='999'"))
    database.close()
    with pytest.raises(StoreError, match="does not know"):
        Database(url)


@pytest.mark.parametrize("url", ["nothing", "oracle9://x", "sqlite:////nowhere/at/all/x.db"])
def test_a_database_that_cannot_be_opened_is_an_error_without_a_password(url: str):
    with pytest.raises((ConfigError, StoreError), match=r"cannot be used|unavailable|needs"):
        Database(url)
