"""The journal in PostgreSQL: each process that works on the run, and each that reads it, is on another machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from journal_suite import JournalContract, record
from sqlalchemy import func, select

from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.record.journal_log import Change, bring_up_to_date
from gridcwl.service.db import Database
from gridcwl.service.ownership import Ownership
from gridcwl.service.schema import journal_changes

pytestmark = pytest.mark.postgresql


class Machines:
    """Machines that share the database, and no folder."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db = db
        self._folder = folder
        self._numbers = itertools.count(1)
        self._last: Ownership | None = None

    def machine(self) -> Path:
        """The folder of one more machine."""
        folder = self._folder / f"machine-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def begun(self, *, new: bool = False) -> Journal:
        if self._last is not None:
            self._last.end()
        folder = self.machine()
        self._last = owners = Ownership(self.db.engine, folder)
        owners.begin()
        assert owners.take("run") is not None
        log = owners.log("run")
        assert log is not None
        path = folder / "run" / "journal.db"
        if new:
            path.parent.mkdir()
        else:
            bring_up_to_date(path, log)
        journal = Journal(path, new=new, log=log)
        journal.begin(pid=1, pid_started=1.0, host="here", version="0")
        return journal

    @property
    def owners(self) -> Ownership:
        """Of the last process that has begun to work on the run."""
        assert self._last is not None
        return self._last

    def history(self) -> History:
        folder = self.machine()
        log = Ownership(self.db.engine, folder).log("run")
        assert log is not None
        bring_up_to_date(folder / "run" / "journal.db", log)
        return History(folder / "run" / "journal.db")

    def close(self) -> None:
        if self._last is not None:
            self._last.end()


@pytest.fixture
def place(postgresql_url: str, tmp_path: Path) -> Iterator[Machines]:
    with closing(Database(postgresql_url)) as db, closing(Machines(db, tmp_path)) as machines:
        yield machines


class TestJournalPostgreSQL(JournalContract):
    """See ``JournalContract``."""


def test_a_journal_that_is_begun_again_is_empty_on_machines_that_had_the_one_before(place: Machines):
    folder = place.machine()
    log = Ownership(place.db.engine, folder).log("run")
    assert log is not None
    path = folder / "run" / "journal.db"
    for numbers in ((1, 2), (7,)):
        with closing(place.begun(new=True)) as journal:
            for number in numbers:
                record(journal, number)
        bring_up_to_date(path, log)
        with closing(History(path)) as history:
            assert [row.row for row in history.jobs()] == [row_id(1, number) for number in numbers]


def test_each_change_has_the_fencing_number_of_who_wrote_it(place: Machines):
    for number, new in ((1, True), (2, False), (3, False)):
        with closing(place.begun(new=new)) as journal:
            record(journal, number)
    with place.db.engine.connect() as connection:
        fences = connection.execute(
            select(journal_changes.c.fence, func.count()).group_by(journal_changes.c.fence).order_by("fence")
        ).all()
    assert [fence for fence, _ in fences] == [1, 2, 3]


def test_a_reader_on_the_machine_of_the_writer_may_be_late(place: Machines):
    with closing(place.begun(new=True)) as journal:
        record(journal, 1)

        class Late:
            """What has been read from the log is put into the file after the writer has done so."""

            def after(self, number: int) -> Iterator[tuple[int, Sequence[Change]]]:
                changes = list(log.after(0))
                record(journal, 2)
                yield from changes
                yield from log.after(number)

            append = confirm = None

        owners = place.owners
        log = owners.log("run")
        assert log is not None
        bring_up_to_date(journal.path, Late())  # type: ignore[arg-type]
        with closing(History(journal.path)) as history:
            assert len(list(history.jobs())) == 2


def test_an_empty_log_makes_no_file(place: Machines):
    folder = place.machine()
    log = Ownership(place.db.engine, folder).log("other")
    assert log is not None
    bring_up_to_date(folder / "other" / "journal.db", log)
    assert list(folder.iterdir()) == []
