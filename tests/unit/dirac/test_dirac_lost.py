"""Jobs of which DIRAC has no result: what that means is read from its states."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridcwl.backends.dirac.results import JobStatus, SandboxContents, lost
from gridcwl.model import Job, JobId, Outcome, RunId


@pytest.mark.parametrize(
    ("status", "minor", "application", "outcome"),
    [
        ("Failed", "Job stalled: pilot not running", "", Outcome.TEMPORARY_FAILURE),
        ("Failed", "Job has exceeded memory limit", "", Outcome.OUT_OF_MEMORY),
        ("Killed", "Payload failed", "Killed by the batch system: Memory exceeded", Outcome.OUT_OF_MEMORY),
        ("Killed", "Marked for termination", "", Outcome.PERMANENT_FAILURE),
    ],
)
def test_a_job_that_was_stopped_for_its_memory_is_distinguished_from_others(
    tmp_path: Path, status: str, minor: str, application: str, outcome: Outcome
) -> None:
    job = Job(JobId("r-1-1"), RunId("r"), "say", ("true",))
    result = lost(job, JobStatus(7, status, minor, application), SandboxContents({}), tmp_path)
    assert result.outcome is outcome
    if outcome is Outcome.OUT_OF_MEMORY:
        assert "raise the tool's ramMin" in result.reason
