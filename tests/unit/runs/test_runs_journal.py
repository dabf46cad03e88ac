"""The journal: what is recorded stays recorded."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gridcwl.backends.base import Recovered
from gridcwl.model import Job, JobId, JobResult, JobState, Outcome, ProducedFile, RunId
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.record.journal_file import JournalError
from gridcwl.runs.reuse.keys import JobDescription, describe


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def begun(path: Path, *, new: bool = False) -> Journal:
    journal = Journal(path, new=new)
    journal.begin(pid=1, pid_started=1.0, host="here", version="0")
    return journal


def job(number: int, session: int = 1, word: str = "") -> Job:
    return Job(JobId(f"r-{session}-{number}"), RunId("r"), f"say[{number}]", ("echo", word or str(number)))


def what(job: Job) -> JobDescription:
    return describe(job, {}, {})


def success(job: Job) -> JobResult:
    return JobResult(job.id, Outcome.SUCCESS, 0, files=(ProducedFile("o", "file", f"file:///w/{job.id}/o", 1, "aa"),))


def record(journal: Journal, number: int, word: str = "") -> None:
    one = job(number, journal.session, word)
    journal.add(row_id(journal.session, number), "say", one, what(one))
    journal.result(row_id(journal.session, number), 1, success(one), f"{one.id}-1")


def test_a_result_can_be_read_by_others_as_soon_as_it_is_recorded(path):
    journal = begun(path, new=True)
    record(journal, 1)
    with closing(History(path)) as history:
        assert history.result(row_id(1, 1), 1) == success(job(1))
    journal.close()


def test_a_result_of_an_earlier_session_is_found_by_its_key_and_once_only(path):
    with closing(begun(path, new=True)) as journal:
        record(journal, 1, "same")
    with closing(begun(path)) as journal, closing(History(path)) as history:
        before, key = row_id(journal.session, 0), what(job(9, word="same")).key
        found = history.find(key, "say[9]", before, set())
        assert found is not None
        assert found.name == "say[1]"
        assert history.find(key, "say[9]", before, {found.row}) is None
        assert history.find(what(job(9, word="other")).key, "say[9]", before, set()) is None


def test_of_several_with_one_key_each_job_finds_its_own(path):
    with closing(begun(path, new=True)) as journal:
        for number in range(100):
            record(journal, number, "same")
    with closing(begun(path)) as journal, closing(History(path)) as history:
        before, key = row_id(journal.session, 0), what(job(0, word="same")).key
        found = history.find(key, "say[77]", before, set(range(row_id(1, 0), row_id(1, 70))))
        assert found is not None
        assert found.name == "say[77]"


def test_a_result_of_the_session_itself_is_no_earlier_one(path):
    with closing(begun(path, new=True)) as journal, closing(History(path)) as history:
        record(journal, 1, "same")
        assert history.find(what(job(2, word="same")).key, "say[2]", row_id(1, 0), set()) is None


def test_failures_are_kept_with_their_attempts_but_not_found(path):
    with closing(begun(path, new=True)) as journal:
        one = job(1)
        journal.add(row_id(1, 1), "say", one, what(one))
        for attempt in (1, 2):
            failed = JobResult(one.id, Outcome.PERMANENT_FAILURE, attempt, reason="no")
            journal.result(row_id(1, 1), attempt, failed, f"{one.id}-{attempt}")
    with closing(History(path)) as history:
        assert [attempt.exit_code for attempt in history.attempts(row_id(1, 1))] == [1, 2]
        assert history.find(what(job(1)).key, "say[1]", row_id(2, 0), set()) is None
        assert [(shard.name, shard.attempts) for shard in history.failed_shards(None, 5)] == [("say[1]", 2)]


def test_a_job_that_is_done_elsewhere_and_was_seen_to_have_failed_is_not_adopted_again(path):
    with closing(begun(path, new=True)) as journal:
        for number in (1, 2):
            journal.add(row_id(1, number), "say", job(number), what(job(number)))
        journal.result(row_id(1, 1), 1, JobResult(job(1).id, Outcome.PERMANENT_FAILURE, 0, reason="no out.txt"), "f")
    done = dict.fromkeys((job(1).id, job(2).id), Recovered(JobState.DONE))
    running = dict.fromkeys(done, Recovered(JobState.RUNNING))
    with closing(History(path)) as history:
        assert history.find_left(what(job(1)).key, "say[1]", row_id(2, 0), done, set()) is None
        assert history.find_left(what(job(1)).key, "say[1]", row_id(2, 0), running, set()) is not None
        assert history.find_left(what(job(2)).key, "say[2]", row_id(2, 0), done, set()) is not None


def test_many_threads_record_at_a_time_and_nothing_is_lost(path):
    with closing(begun(path, new=True)) as journal:
        threads = [
            threading.Thread(target=lambda first=first: [record(journal, first + n) for n in range(50)])
            for first in range(0, 400, 50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with closing(History(path)) as history:
        (tally,) = history.tallies()
        assert (tally.ran, tally.waiting) == (400, 0)
        assert len(list(history.jobs())) == 400


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


def test_a_name_that_is_not_unicode_survives(path):
    odd = replace(success(job(1)), files=(ProducedFile("\udcff", "file", "file:///w/%FF", 1, "aa"),))
    with closing(begun(path, new=True)) as journal:
        journal.add(row_id(1, 1), "say", job(1), what(job(1)))
        journal.result(row_id(1, 1), 1, odd, "f")
    with closing(History(path)) as history:
        assert history.result(row_id(1, 1), 1) == odd


def test_jobs_come_page_by_page_and_a_step_brings_the_steps_within_it(path):
    with closing(begun(path, new=True)) as journal:
        for number in range(1203):
            one = replace(job(number), name=f"outer[{number}]/say")
            journal.add(row_id(1, number), "outer/say" if number % 2 else "outside", one, what(one))
    with closing(History(path)) as history:
        assert len(list(history.jobs())) == 1203
        assert len(list(history.jobs(step="outer"))) == 601
        assert [row.row for row in history.jobs(step="outer[7]/say")] == [row_id(1, 7)]
        assert next(history.jobs(newest_first=True)).row == row_id(1, 1202)


def test_a_large_value_is_kept_in_pieces_and_given_back_whole_whatever_it_replaces(path):
    large = {"out": [{"class": "File", "location": f"file:///out/{number} ü.txt"} for number in range(30_000)]}
    with closing(begun(path, new=True)) as journal:
        for value in (large, "small", {"out": large["out"][:20_000]}, None):
            journal.describe({"value": value})
            with closing(History(path)) as history:
                assert history.meta("value") == value


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
