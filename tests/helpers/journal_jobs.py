"""Jobs and results for journals."""

from __future__ import annotations

from gridcwl.model import Job, JobId, JobResult, Outcome, ProducedFile, RunId
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.reuse.keys import JobDescription, describe


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
