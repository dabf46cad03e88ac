"""Jobs that earlier sessions of a run left at DIRAC: find, reconcile and stop them. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gridcwl.backends.base import Recovered
from gridcwl.backends.batch import names
from gridcwl.backends.batch.states import Phase
from gridcwl.backends.dirac.problems import DiracUnreachable
from gridcwl.backends.dirac.results import without_report
from gridcwl.backends.dirac.server import FoundJob, Server
from gridcwl.backends.dirac.states import phase
from gridcwl.backends.views import BatchJob
from gridcwl.errors import BackendError
from gridcwl.model import JobId, JobState, RunId

SEEN = {Phase.WAITING: JobState.WAITING, Phase.RUNNING: JobState.RUNNING, Phase.STALLED: JobState.RUNNING}
"""The states of jobs that have not ended, as a run reports them."""
_ALIVE = (Phase.WAITING, Phase.RUNNING, Phase.STALLED)
_SHOWN = ("StandardOutput", "Pilot_Reference", "LocalBatchID", "HostName")
"""Parameters of a job that its user reads while it runs."""


def alive(found: FoundJob) -> bool:
    """Whether a DIRAC job waits, runs, or may run again."""
    return phase(found.place.status) in _ALIVE


def stop(server: Server, run: RunId, *, patience_s: float = 120.0, sleep: Callable[[float], None] = time.sleep) -> int:
    """Kill all jobs of a run in bulk, and check that none is left; returns how many there were.

    Raises:
        BackendError: DIRAC does not answer, or jobs are left after ``patience_s``.
    """
    killed: set[int] = set()
    until = time.monotonic() + patience_s
    quiet = False
    while True:
        try:
            left = [one.place.number for one in server.find(run) if alive(one)]
            if left:
                server.kill(left)
        except DiracUnreachable:
            if time.monotonic() > until:
                raise
            sleep(2.0)
            continue
        killed.update(left)
        # A payload that runs may report once more after it was killed: check twice.
        if not left and (quiet or not killed):
            return len(killed)
        quiet = not left
        if time.monotonic() > until:
            raise BackendError(
                f"{len(left)} jobs of the run {run} are still at DIRAC after they were killed",
                remedy="Look at them with dirac-wms-job-status, and try again.",
            )
        sleep(1.0)


def where(server: Server, run: RunId) -> dict[JobId, FoundJob]:
    """The DIRAC job of each job of a run, the latest where there are several."""
    latest: dict[JobId, FoundJob] = {}
    for one in server.find(run):
        kept = names.jobs_in_name(one.name, run)
        for job_id in kept.jobs if kept else ():
            latest[job_id] = one
    return latest


@dataclass(frozen=True, slots=True)
class DiracJobs:
    """Implements ``gridcwl.backends.views.BatchJobs``."""

    server: Server
    run: RunId

    def jobs(self) -> Mapping[JobId, BatchJob]:
        """See ``BatchJobs.jobs``."""
        return {
            job_id: BatchJob(str(found.place.number), str(found.place), alive(found))
            for job_id, found in where(self.server, self.run).items()
        }

    def texts(self, batch_job: str) -> Mapping[str, str]:
        """See ``BatchJobs.texts``."""
        parameters = self.server.parameters(int(batch_job))
        return {name: without_report(text) for name, text in sorted(parameters.items()) if name in _SHOWN}


def reconciled(found: Sequence[FoundJob], run: RunId) -> tuple[dict[JobId, FoundJob], list[int]]:
    """The DIRAC job of each job, and those that are superfluous: never confirmed, or duplicates.

    Failed DIRAC jobs count for nothing: their jobs run again.
    """
    best: dict[JobId, tuple[int, FoundJob]] = {}
    superfluous: list[int] = []
    for one in found:
        kept = names.jobs_in_name(one.name, run)
        if kept is None:
            continue
        if one.place.status == "Submitting":
            superfluous.append(one.place.number)
            continue
        if not alive(one) and one.place.status != "Done":
            continue
        taken = False
        for job_id in kept.jobs:
            if job_id not in best or best[job_id][0] < kept.attempt:
                best[job_id] = (kept.attempt, one)
                taken = True
        if not taken and alive(one):
            superfluous.append(one.place.number)
    return {job_id: one for job_id, (_, one) in best.items()}, superfluous


def recovered(found: FoundJob, run: RunId) -> Recovered:
    """The state of a DIRAC job, as a run reports it, and which attempt of its jobs it is."""
    held = names.jobs_in_name(found.name, run)
    attempt = 1 if held is None else held.attempt
    if found.place.status == "Done":
        return Recovered(JobState.DONE, attempt)
    return Recovered(SEEN.get(phase(found.place.status), JobState.FAILED), attempt)
