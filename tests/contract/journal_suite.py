"""What every kind of journal holds: what is recorded stays recorded, and only the owner of a run writes."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import Protocol

import pytest
from journal_jobs import job, record, success, what

from gridcwl.backends.base import Recovered
from gridcwl.model import JobResult, JobState, Outcome, ProducedFile
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.record.journal_file import Fenced


class Place(Protocol):
    """Where the journal of one run is."""

    def begun(self, *, new: bool = False) -> Journal:
        """The journal, opened by a process that owns the run from now on, in a new session."""
        ...

    def history(self) -> History:
        """The journal, for whoever reads it: with all that has been recorded by now."""
        ...


class JournalContract:
    """Derive from it, and give it a fixture ``place``."""

    def test_a_result_can_be_read_by_others_as_soon_as_it_is_recorded(self, place: Place):
        journal = place.begun(new=True)
        record(journal, 1)
        with closing(place.history()) as history:
            assert history.result(row_id(1, 1), 1) == success(job(1))
        journal.close()

    def test_a_result_of_an_earlier_session_is_found_by_its_key_and_once_only(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            record(journal, 1, "same")
        with closing(place.begun()) as journal, closing(place.history()) as history:
            before, key = row_id(journal.session, 0), what(job(9, word="same")).key
            found = history.find(key, "say[9]", before, set())
            assert found is not None
            assert found.name == "say[1]"
            assert history.find(key, "say[9]", before, {found.row}) is None
            assert history.find(what(job(9, word="other")).key, "say[9]", before, set()) is None

    def test_of_several_with_one_key_each_job_finds_its_own(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            for number in range(100):
                record(journal, number, "same")
        with closing(place.begun()) as journal, closing(place.history()) as history:
            before, key = row_id(journal.session, 0), what(job(0, word="same")).key
            found = history.find(key, "say[77]", before, set(range(row_id(1, 0), row_id(1, 70))))
            assert found is not None
            assert found.name == "say[77]"

    def test_a_result_of_the_session_itself_is_no_earlier_one(self, place: Place):
        with closing(place.begun(new=True)) as journal, closing(place.history()) as history:
            record(journal, 1, "same")
            assert history.find(what(job(2, word="same")).key, "say[2]", row_id(1, 0), set()) is None

    def test_failures_are_kept_with_their_attempts_but_not_found(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            one = job(1)
            journal.add(row_id(1, 1), "say", one, what(one))
            for attempt in (1, 2):
                failed = JobResult(one.id, Outcome.PERMANENT_FAILURE, attempt, reason="no")
                journal.result(row_id(1, 1), attempt, failed, f"{one.id}-{attempt}")
        with closing(place.history()) as history:
            assert [attempt.exit_code for attempt in history.attempts(row_id(1, 1))] == [1, 2]
            assert history.find(what(job(1)).key, "say[1]", row_id(2, 0), set()) is None
            assert [(shard.name, shard.attempts) for shard in history.failed_shards(None, 5)] == [("say[1]", 2)]

    def test_a_job_that_is_done_elsewhere_and_was_seen_to_have_failed_is_not_adopted_again(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            for number in (1, 2):
                journal.add(row_id(1, number), "say", job(number), what(job(number)))
            journal.result(
                row_id(1, 1), 1, JobResult(job(1).id, Outcome.PERMANENT_FAILURE, 0, reason="no out.txt"), "f"
            )
        done = dict.fromkeys((job(1).id, job(2).id), Recovered(JobState.DONE))
        running = dict.fromkeys(done, Recovered(JobState.RUNNING))
        with closing(place.history()) as history:
            assert history.find_left(what(job(1)).key, "say[1]", row_id(2, 0), done, set()) is None
            assert history.find_left(what(job(1)).key, "say[1]", row_id(2, 0), running, set()) is not None
            assert history.find_left(what(job(2)).key, "say[2]", row_id(2, 0), done, set()) is not None

    def test_many_threads_record_at_a_time_and_nothing_is_lost(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            threads = [
                threading.Thread(target=lambda first=first: [record(journal, first + n) for n in range(50)])
                for first in range(0, 400, 50)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        with closing(place.history()) as history:
            (tally,) = history.tallies()
            assert (tally.ran, tally.waiting) == (400, 0)
            assert len(list(history.jobs())) == 400

    def test_a_name_that_is_not_unicode_survives(self, place: Place):
        odd = replace(success(job(1)), files=(ProducedFile("\udcff", "file", "file:///w/%FF", 1, "aa"),))
        with closing(place.begun(new=True)) as journal:
            journal.add(row_id(1, 1), "say", job(1), what(job(1)))
            journal.result(row_id(1, 1), 1, odd, "f")
        with closing(place.history()) as history:
            assert history.result(row_id(1, 1), 1) == odd

    def test_jobs_come_page_by_page_and_a_step_brings_the_steps_within_it(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            for number in range(1203):
                one = replace(job(number), name=f"outer[{number}]/say")
                journal.add(row_id(1, number), "outer/say" if number % 2 else "outside", one, what(one))
        with closing(place.history()) as history:
            assert len(list(history.jobs())) == 1203
            assert len(list(history.jobs(step="outer"))) == 601
            assert [row.row for row in history.jobs(step="outer[7]/say")] == [row_id(1, 7)]
            assert next(history.jobs(newest_first=True)).row == row_id(1, 1202)

    def test_a_large_value_is_kept_in_pieces_and_given_back_whole_whatever_it_replaces(self, place: Place):
        large = {"out": [{"class": "File", "location": f"file:///out/{number} ü.txt"} for number in range(30_000)]}
        with closing(place.begun(new=True)) as journal:
            for value in (large, "small", {"out": large["out"][:20_000]}, None):
                journal.describe({"value": value})
                with closing(place.history()) as history:
                    assert history.meta("value") == value

    def test_a_process_that_was_overtaken_writes_nothing_more(self, place: Place):
        before = place.begun(new=True)
        record(before, 1)
        with closing(place.begun()) as now:
            before.event("note", "written too late")
            with pytest.raises(Fenced):
                record(before, 2)
            with pytest.raises(Fenced):
                before.end("success")
            before.close()
            record(now, 3)
        with closing(place.history()) as history:
            assert [row.row for row in history.jobs()] == [row_id(1, 1), row_id(2, 3)]
            assert history.events() == []
            assert [session.status for session in history.sessions()] == ["running", "running"]

    def test_a_process_finds_out_that_it_was_overtaken_before_it_does_what_cannot_be_undone(self, place: Place):
        with closing(place.begun(new=True)) as before:
            before.confirm()
            with closing(place.begun()) as now:
                with pytest.raises(Fenced):
                    before.confirm()
                assert before.is_fenced
                now.confirm()

    def test_readers_see_what_comes_while_they_read(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            for number in range(1, 4):
                record(journal, number)
                with closing(place.history()) as history:
                    assert len(list(history.jobs())) == number
                    assert history.result(row_id(1, number), 1) == success(job(number))

    def test_all_kinds_of_values_come_back(self, place: Place):
        with closing(place.begun(new=True)) as journal:
            one = job(1)
            journal.document("/w/main.cwl", bytes(range(256)))
            journal.add(row_id(1, 1), "say", one, what(one))
            journal.started(row_id(1, 1), 1, "site", "detail")
            journal.bound(row_id(1, 1), b'{"x": 1}', None)
            journal.evaluated("when", "when", "expression", b"{}", b'{"y": null}')
            journal.failed("say", "say[7]", None, "broken \u2028 text", alike="broken")
            journal.skipped("say", "say[8]")
            journal.moved({"file:///a": "file:///b"})
            journal.registered(["scope:name"])
            journal.progress([{"step": "say", "total": 9}])
            journal.end("failed", "1 failure")
        with closing(place.history()) as history:
            assert list(history.document_texts()) == [("/w/main.cwl", bytes(range(256)))]
            assert [row.name for row in history.running(5)] == ["say[1]"]
            assert history.is_registered("scope:name")
            assert history.moved("file:///a") == "file:///b"
            assert [shard.name for shard in history.failures_without_job("say")] == ["say[7]"]
            assert history.progress() == [{"step": "say", "total": 9}]
            assert history.sessions()[0].message == "1 failure"
