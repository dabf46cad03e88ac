"""What the journal knows of each job: what it asked for and used, and how its result was obtained."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace

import pytest

from gridcwl.model import Job, JobId, JobResult, Outcome, Resources, RunId, Usage
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.record.journal_file import ATTEMPT_COLUMNS, LATER_COLUMNS
from gridcwl.runs.reuse.keys import describe

USAGE = Usage(
    "2026-11-29T10:00:00.500Z", 12.5, 10.0, 480.25, 1000, 200, 300, host="node7", site="LCG.X", batch_job="42"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path):
    with closing(begun(path, new=True)) as journal:
        yield journal


def begun(path, *, new=False):
    journal = Journal(path, new=new)
    journal.begin(pid=1, pid_started=1.0, host="here", version="0")
    return journal


def job(number, **resources):
    return Job(JobId(f"r-1-{number}"), RunId("r"), f"say[{number}]", ("echo",), resources=Resources(**resources))


def add(journal, one, number, **reused):
    journal.add(row_id(journal.session, number), "say", one, describe(one, {}, {}), **reused)


def records(path, **which):
    with closing(History(path)) as history:
        return list(history.records(**which))


def test_a_record_has_what_a_job_asked_for_and_what_it_used(journal, path):
    before = time.time()
    add(journal, job(1, cores=2, ram_mib=4096), 1)
    journal.result(row_id(1, 1), 1, JobResult(job(1).id, Outcome.SUCCESS, 0, usage=USAGE, image="debian@sha256:1"), "f")

    (record,) = records(path)

    assert (record.step, record.name, record.state, record.how) == ("say", "say[1]", "success", "run")
    assert record.last.requested == Resources(cores=2, ram_mib=4096)
    assert (record.last.usage, record.last.image) == (USAGE, "debian@sha256:1")
    assert before <= record.last.submitted <= record.last.ended
    assert record.last.finished - record.last.started == 12.5


def test_each_attempt_has_its_own_request(journal, path):
    add(journal, job(1, ram_mib=100), 1)
    journal.result(row_id(1, 1), 1, JobResult(job(1).id, Outcome.OUT_OF_MEMORY), "f-1")
    journal.again(row_id(1, 1), Resources(ram_mib=200))
    journal.result(row_id(1, 1), 2, JobResult(job(1).id, Outcome.SUCCESS, 0), "f-2")

    (record,) = records(path)

    assert [attempt.requested.ram_mib for attempt in record.attempts] == [100, 200]
    assert record.attempts[0].submitted <= record.attempts[1].submitted


def test_a_success_whose_outputs_are_missing_keeps_its_request(journal, path):
    add(journal, job(1, ram_mib=100), 1)
    journal.result(row_id(1, 1), 1, JobResult(job(1).id, Outcome.SUCCESS, 0), "f")
    journal.result(row_id(1, 1), 1, JobResult(job(1).id, Outcome.PERMANENT_FAILURE, 0, reason="no out.txt"), "f")

    (record,) = records(path)

    assert (record.last.outcome, record.last.requested.ram_mib) == ("permanent-failure", 100)


def test_a_job_that_waits_and_one_that_runs_have_no_attempt_yet(journal, path):
    add(journal, job(1), 1)
    add(journal, job(2), 2)
    journal.started(row_id(1, 2), 1, "node7", "")
    journal.flush()

    waiting, running = records(path)

    assert (waiting.state, waiting.last) == ("waiting", None)
    assert (running.state, running.place) == ("running", "node7")


def test_a_record_reports_how_its_result_was_obtained(path):
    with closing(begun(path, new=True)) as journal:
        add(journal, job(1), 1)
        journal.result(row_id(1, 1), 1, JobResult(job(1).id, Outcome.SUCCESS, 0), "f")
        add(journal, job(2), 2, reused="run x, say[7]")
        journal.result(row_id(1, 2), 1, JobResult(job(2).id, Outcome.SUCCESS, 0), "f")
    with closing(begun(path)) as journal:
        journal.take(row_id(1, 1), "say", "say[1]", finished=True)
        add(journal, replace(job(3), id=JobId("r-2-3")), 3)
        journal.result(row_id(2, 3), 1, JobResult(JobId("r-2-3"), Outcome.SUCCESS, 0), "f")

    assert [(record.how, record.origin) for record in records(path)] == [
        ("resumed", ""),
        ("cache", "run x, say[7]"),
        ("run", ""),
    ]


def test_only_the_last_job_of_a_shard_counts_unless_all_are_wanted(journal, path):
    for number in (1, 2):
        one = replace(job(number), name="say[1]")
        add(journal, one, number)
        journal.result(row_id(1, number), 1, JobResult(one.id, Outcome.SUCCESS, 0), "f")

    assert [record.job for record in records(path)] == ["r-1-2"]
    assert [record.job for record in records(path, latest=False)] == ["r-1-1", "r-1-2"]


def test_journals_of_earlier_versions_can_be_read(journal, path):
    add(journal, job(1), 1)
    journal.result(row_id(1, 1), 1, JobResult(job(1).id, Outcome.SUCCESS, 0), "f")
    journal.close()
    with closing(sqlite3.connect(path)) as db:
        for name in LATER_COLUMNS:
            db.execute(f"ALTER TABLE jobs DROP COLUMN {name}")
        for name in ATTEMPT_COLUMNS:
            db.execute(f"ALTER TABLE attempts DROP COLUMN {name}")
        db.execute("DROP TABLE requests")

    (record,) = records(path)

    assert (record.state, record.last.requested, record.last.submitted) == ("success", None, None)
