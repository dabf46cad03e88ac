"""The meaning of DIRAC's states.

They are those of DIRAC's ``JobStatus``: a job that failed may come back by itself (Rescheduled), one that is Stalled
may resume, one that is Killed may still run for a moment.
"""

from __future__ import annotations

from gridcwl.backends.batch.active_jobs import ActiveJob
from gridcwl.backends.batch.states import Phase, Tracked
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.model import Job, JobId

_WAITING = {"Submitting", "Received", "Checking", "Staging", "Scouting", "Waiting", "Rescheduled", "Matched"}
_RUNNING = {"Running", "Completing", "Completed"}
_ENDED = {"Done", "Failed", "Killed"}
_GONE = {"Deleted", "Removed"}


def phase(status: str | None) -> Phase:
    """The phase of a status; None is for a job that DIRAC does not know."""
    if status is None or status in _GONE:
        return Phase.GONE
    if status in _ENDED:
        return Phase.ENDED
    if status == "Stalled":
        return Phase.STALLED
    return Phase.RUNNING if status in _RUNNING else Phase.WAITING


def active_job(number: int, jobs: dict[JobId, Job], *, near: bool) -> ActiveJob:
    """A DIRAC job that has just been submitted."""
    return ActiveJob(number, jobs, Tracked(phase, "Submitting"), near)


def place_of(active: ActiveJob) -> JobStatus:
    """What DIRAC reported of a job last."""
    seen = active.tracked
    return JobStatus(active.number, seen.status, seen.minor, seen.application, seen.site)
