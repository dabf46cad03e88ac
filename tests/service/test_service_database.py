"""States change by compare-and-set, and lists show what the viewer may see."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgresql_server import PostgreSQL
from sqlalchemy import inspect, text

from gridcwl.errors import ConfigError, StoreError
from gridcwl.service import migrations
from gridcwl.service.db import Database, NewRun, Viewer
from gridcwl.service.db_opening import migrate
from gridcwl.service.schema import metadata
from gridcwl.service.states import MAY_FOLLOW, State

JSON = ("tags", "request", "settings")
ALL = Viewer("admin", sees_all=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is not there yet, or empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


def add(db: Database, run: str, owner: str = "ann", groups: tuple[str, ...] = ()) -> None:
    new = NewRun(id=run, owner=owner, groups=frozenset(groups), request={}, document="x.cwl")
    assert db.add(new, most_queued=1000)


def put(db: Database, run: str, state: State) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("UPDATE runs SET state=:state WHERE id=:run"), {"state": state, "run": run})


def test_a_state_is_followed_only_by_those_of_the_table(db: Database):
    add(db, "run")
    for before, after in itertools.product(State, State):
        put(db, "run", before)
        assert db.move("run", after) == (after in MAY_FOLLOW[before]), (before, after)
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


def revisions() -> list[str]:
    """All revisions of the schema, the first one first."""
    folder = Path(migrations.__file__).parent
    return [script.revision for script in ScriptDirectory(str(folder)).walk_revisions()][::-1]


@pytest.mark.parametrize("revision", revisions())
def test_a_database_of_each_earlier_version_is_brought_to_this_one_with_its_runs(url: str, revision: str):
    engine = Database(url).engine
    with engine.begin() as connection:  # an empty one again
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    migrate(engine, url, revision)
    fields = {"id": "old", "engine": "old", "owner": "ann", "state": "COMPLETE", "reason": "", "created": 1.0}
    fields |= {
        "message": "",
        "tags": "{}",
        "request": "{}",
        "document": "x.cwl",
        "settings": "{}",
        "outputs": '{"x": 1}',
    }
    with engine.begin() as connection:
        names = ", ".join(fields)
        marks = ", ".join(f":{name}" for name in fields)
        connection.execute(text(f"INSERT INTO runs ({names}) VALUES ({marks})"), fields)
        connection.execute(text("INSERT INTO run_groups VALUES (1, 'cta')"))
    engine.dispose()
    with closing(Database(url)) as database:
        stored = database.get("old", Viewer("bob", frozenset({"cta"})))
        assert stored is not None
        assert (stored.owner, stored.state, stored.outputs) == ("ann", State.COMPLETE, {"x": 1})
        with database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_a_later_version_is_refused(url: str):
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


@pytest.mark.postgresql
def test_a_database_that_does_not_take_all_texts_is_refused(postgresql: PostgreSQL):
    made = "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    postgresql.run("DROP DATABASE IF EXISTS ascii", made)
    with pytest.raises(ConfigError, match="has the encoding SQL_ASCII"):
        Database(postgresql.url("ascii"))
    postgresql.run("DROP DATABASE ascii WITH (FORCE)")


def test_runs_are_found_by_words_of_their_id_owner_document_and_tags(db: Database):
    request = {"workflow_url": "https://example.org/Täglich_1.cwl"}
    new = NewRun(id="run-1", owner="ann", request=request, document="x", tags={"name": "LST", "site": "La Pälma"})
    assert db.add(new, most_queued=1000)
    add(db, "run-2", "bob")

    def found(search: str) -> list[str]:
        return [run.id for run in db.page(ALL, 10, search=search)]

    assert found("") == ["run-2", "run-1"]
    assert found("RUN") == ["run-2", "run-1"]
    for search in ("ann", "glich_1.CWL", "lst", "pälma", "run lst ann"):
        assert found(search) == ["run-1"], search
    for search in ("lst bob", "l_t", "%", "name\\"):
        assert found(search) == [], search
    assert db.counts(ALL) == {State.QUEUED: 2}
    assert db.counts(Viewer("bob")) == {State.QUEUED: 1}
    assert found("'; DROP TABLE runs; --") == []


def test_a_glance_changes_whenever_the_list_of_runs_does(db: Database):
    seen = [db.glance(ALL, 10)]
    add(db, "run-1")
    seen.append(db.glance(ALL, 10))
    add(db, "run-2", "bob")
    seen.append(db.glance(ALL, 10))
    other = db.glance(Viewer("bob"), 10)
    for state in (State.INITIALIZING, State.RUNNING, State.COMPLETE):
        db.move("run-1", state)
        seen.append(db.glance(ALL, 10))
    db.explain_waiting("8 runs are active")
    seen.append(db.glance(ALL, 10))
    assert len({str(one) for one in seen}) == len(seen)
    assert len(other) == 2
