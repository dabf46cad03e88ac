"""Runs that are only recorded: journals with jobs that never ran, for reports and accounting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gridcwl.model import Job, JobId, JobResult, Outcome, Resources, RunId, Usage
from gridcwl.runs.record.folder import RunFolder, new_folder
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.reuse.keys import describe

STARTED = 1_764_410_400.0
"""2025-11-29 10:00:00 UTC."""


def usage(at: float = 0.0, wall_s: float = 60.0, **fields: Any) -> Usage:
    """What a job used that started so many seconds after ``STARTED``."""
    started = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(STARTED + at))
    values = {
        "cpu_s": wall_s * 0.9,
        "max_rss_mib": 480.0,
        "read_bytes": 1_000_000,
        "written_bytes": 2000,
        "disk_bytes": 3 << 20,
        "host": "node1",
    }
    return Usage(started, wall_s, **{**values, **fields})


class RecordedRun:
    """A journal that is written by hand."""

    def __init__(self, state: Path, name: str = "20251129-100000-000001", **described: Any) -> None:
        self.folder: RunFolder = new_folder(state, RunId(name))
        (self.folder.path / "lock").touch()
        self.journal = Journal(self.folder.journal, new=True)
        self.journal.describe({"options": {}, "document": "wf.cwl", "working": "/nowhere", **described})
        self.begin()

    def begin(self) -> None:
        self.journal.begin(pid=1, pid_started=0.0, host="here", version="0.1")
        self.number = 0

    def add(self, step: str, *, name: str = "", reused: str | None = None, **resources: Any) -> Job:
        """A job is due."""
        self.number += 1
        session = self.journal.session
        job = Job(
            JobId(f"{self.folder.run}-{session}-{self.number}"),
            self.folder.run,
            name or f"{step}[{self.number}]",
            ("x",),
            resources=Resources(**resources),
        )
        self.journal.add(row_id(session, self.number), step, job, describe(job, {}, {}), reused=reused)
        return job

    def end(self, job: Job, used: Usage | None = None, outcome: Outcome = Outcome.SUCCESS, **fields: Any) -> None:
        """Its last attempt ended."""
        row = int(job.id.rpartition("-")[2])
        result = JobResult(job.id, outcome, 0 if outcome is Outcome.SUCCESS else 3, usage=used or usage(), **fields)
        self.journal.result(row_id(self.journal.session, row), job.attempt, result, f"{job.id}-{job.attempt}")

    def again(self, job: Job, **resources: Any) -> Job:
        """Another attempt."""
        row = int(job.id.rpartition("-")[2])
        job = replace(job, attempt=job.attempt + 1, resources=replace(job.resources, **resources))
        self.journal.again(row_id(self.journal.session, row), job.resources)
        return job

    def run(self, step: str, used: Usage | None = None, outcome: Outcome = Outcome.SUCCESS, **resources: Any) -> Job:
        """A job from its beginning to its end."""
        job = self.add(step, **resources)
        self.end(job, used, outcome)
        return job

    def close(self, status: str = "success") -> RunFolder:
        self.journal.end(status)
        self.journal.close()
        return self.folder


@contextmanager
def recorded(state: Path, status: str = "success", **described: Any) -> Iterator[RecordedRun]:
    """A run that has ended when the block ends."""
    run = RecordedRun(state, **described)
    yield run
    run.close(status)
