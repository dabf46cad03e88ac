"""The journal: what is recorded stays recorded."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from journal_jobs import record

from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.record.pieces import sorted_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def begun(path: Path, *, new: bool = False) -> Journal:
    journal = Journal(path, new=new)
    journal.begin(pid=1, pid_started=1.0, host="here", version="0")
    return journal


def test_a_full_disk_is_reported_and_what_was_recorded_stays(path):
    journal = begun(path, new=True)
    record(journal, 1)
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages + 20}")
    with pytest.raises(JournalError, match="full") as error:
        list(map(partial(record, journal), range(2, 1000)))
    assert "resume" in error.value.remedy
    with pytest.raises(JournalError, match="full"):
        journal.flush()
    journal.close()
    with closing(History(path)) as history:
        done = [row.name for row in history.jobs(where="outcome = 'success'")]
    assert done[0] == "say[1]"
    assert 1 < len(done) < 999


def test_a_large_shared_value_is_written_in_pieces_and_read_as_one(path):
    journal = begun(path, new=True)
    pieces = [b"[0", *(b",%d" % number for number in range(1, 100_000)), b"]"]
    for number, size in ((7, sum(map(len, pieces))), (8, 2)):
        journal.share(number, size, iter(pieces if number == 7 else [b"[", b"]"]))
    journal.share(7, sum(map(len, pieces)), iter([b"never read"]))
    journal.close()
    with closing(History(path)) as history:
        assert history._shared(7) == list(range(100_000))
        assert history._shared(8) == []


def test_a_large_shared_value_is_not_written_by_who_no_longer_owns_the_run(path):
    journal = begun(path, new=True)
    begun(path).close()
    with pytest.raises(JournalError, match="resumed by another process"):
        journal.share(7, 1 << 20, iter([b"x" * (1 << 20)]))


def test_inputs_in_pieces_have_the_text_of_the_whole():
    many = {"z": [{"b": n, "a": str(n)} for n in range(600)], "a": [], "é": {"y": [1, None]}, "m": 1.5}
    for value in (many, {}, [1], None, {"one": list(range(250))}):
        assert "".join(sorted_text(value)) == json.dumps(value, sort_keys=True)


def test_a_journal_that_is_damaged_is_named(path):
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(JournalError, match=r"journal\.db"):
        History(path)


def test_a_journal_of_a_later_version_is_refused(path):
    begun(path, new=True).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE meta SET value='99' WHERE name='format'")
        db.commit()
    with pytest.raises(JournalError, match="format 99"):
        History(path)


def test_a_large_value_that_cannot_be_written_leaves_the_one_before(path):
    class Broken:
        def __float__(self) -> float:
            raise ValueError("half way")

    with closing(begun(path, new=True)) as journal:
        journal.describe({"value": "before"})
        with pytest.raises(ValueError, match="half way"):
            journal.describe({"value": [*range(50_000), Broken()]})
        journal.event("note", "the journal continues")
    with closing(History(path)) as history:
        assert history.meta("value") == "before"
