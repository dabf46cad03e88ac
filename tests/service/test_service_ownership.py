"""A run has one owner, and whoever was overtaken changes nothing any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from waiting import until

from gridcwl.service.db import Database, NewRun
from gridcwl.service.ownership import FileLocks, Ownership
from gridcwl.service.states import State

NEVER, AT_ONCE = 1000.0, -1.0
"""How long a process that shows no sign of life keeps its runs."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    (tmp_path / "locks").mkdir()
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with closing(Database(url if request.param == "sqlite" else request.getfixturevalue("postgresql_url"))) as database:
        yield database


def process(db: Database, tmp_path: Path, patience_s: float = NEVER) -> Ownership:
    """What stands for a process that works on runs."""
    made = Ownership(db.engine, tmp_path, patience_s)
    made.begin()
    return made


def active(db: Database, run: str) -> None:
    """A run that is worked on."""
    assert db.add(NewRun(id=run, owner="ann", request={}, document="x.cwl"), most_queued=10)
    assert db.move(run, State.INITIALIZING)


def test_a_run_has_one_owner_at_a_time(db: Database, tmp_path: Path):
    first, second = process(db, tmp_path), process(db, tmp_path)
    assert first.take("run") == 1
    assert second.take("run") is None
    assert first.take("run") is None  # two runs in one journal
    first.release("run")
    assert second.take("run") == 2
    first.end()
    second.end()


def test_runs_of_a_process_that_has_ended_are_orphans_and_others_are_not(db: Database, tmp_path: Path):
    first, second = process(db, tmp_path), process(db, tmp_path)
    for owner, run in ((first, "firsts"), (second, "seconds")):
        active(db, run)
        assert owner.take(run) == 1
    second.bury()
    assert db.orphans() == []
    assert first._locks is not None
    first._locks.close()  # as the system does when a process is killed

    def found() -> list[str]:
        second.bury()
        return [run.id for run in db.orphans()]

    assert until(found) == ["firsts"]  # PostgreSQL notices only after a moment that a connection is closed
    assert second.take("firsts") == 2
    second.end()


def test_a_process_without_a_sign_of_life_loses_its_runs_and_finds_out(db: Database, tmp_path: Path):
    suspended, other = process(db, tmp_path), process(db, tmp_path, AT_ONCE)
    active(db, "run")
    fence = suspended.take("run")
    assert fence == 1
    assert suspended.beat()
    other.bury()
    assert other.take("run") == 2
    assert not suspended.beat()
    assert not db.move("run", State.RUNNING, fence=1)
    assert db.move("run", State.RUNNING, fence=2)
    assert not db.move("run", State.COMPLETE, fence=1)
    suspended.end()
    assert other.beat()
    assert db.move("run", State.COMPLETE, fence=2)
    other.end()


def test_a_process_that_has_lost_its_runs_may_begin_again(db: Database, tmp_path: Path):
    first, other = process(db, tmp_path), process(db, tmp_path, AT_ONCE)
    assert first.take("run") == 1
    other.bury()
    assert not first.beat()
    first.end()
    first.begin()
    assert first.beat()
    assert first.take("run") == 2
    first.end()
    other.end()


def test_a_process_that_lets_go_of_a_run_is_alive_meanwhile(tmp_path: Path):
    class Observed(FileLocks):
        """A run ends while it is looked at."""

        def _is_there(self, name: str, descriptor: int) -> bool:
            if threading.current_thread() is not ending and ending.ident is None:
                ending.start()
                ending.join(0.2)  # as far as it comes
            return super()._is_there(name, descriptor)

    locks = Observed(tmp_path)
    ending = threading.Thread(target=locks.release, args=("run",))
    assert locks.take("run")
    assert locks.take("this process")
    assert locks.alive()
    ending.join()
    assert locks.take("run")
    locks.close()


def test_signs_of_life_do_not_fill_the_memory_with_statements(db: Database, tmp_path: Path):
    owner = process(db, tmp_path)
    assert owner.beat()
    compiled = len(db.engine._compiled_cache)
    for _ in range(3):
        assert owner.beat()
    assert len(db.engine._compiled_cache) == compiled
    owner.end()
