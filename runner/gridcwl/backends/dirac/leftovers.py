"""What a run has left at DIRAC, without the run: looked at, sorted out and stopped. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gridcwl.backends.dirac import names
from gridcwl.backends.dirac.following import Phase, phase
from gridcwl.backends.dirac.problems import DiracUnreachable
from gridcwl.backends.dirac.server import Found, Server
from gridcwl.errors import BackendError
from gridcwl.model import JobId, JobState, RunId

SEEN = {Phase.WAITING: JobState.WAITING, Phase.RUNNING: JobState.RUNNING, Phase.STALLED: JobState.RUNNING}
"""What the states of jobs that have not ended are for a run."""
_ALIVE = (Phase.WAITING, Phase.RUNNING, Phase.STALLED)


def alive(found: Found) -> bool:
    """Whether a DIRAC job waits, runs, or may run again."""
    return phase(found.place.status) in _ALIVE


def stop(server: Server, run: RunId, *, patience_s: float = 120.0, sleep: Callable[[float], None] = time.sleep) -> int:
    """Kill all of a run's jobs in bulk, and see that none is left; returns how many there were.

    Raises:
        BackendError: DIRAC does not answer, or jobs are still there when patience ends.
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
        # A payload that runs may report once more after it was told to stop: looked at twice.
        if not left and (quiet or not killed):
            return len(killed)
        quiet = not left
        if time.monotonic() > until:
            raise BackendError(
                f"{len(left)} jobs of the run {run} are still at DIRAC after they were killed",
                remedy="Look at them with dirac-wms-job-status, and try again.",
            )
        sleep(1.0)


def where(server: Server, run: RunId) -> dict[JobId, Found]:
    """The DIRAC job of each job of a run, the latest where there are several."""
    latest: dict[JobId, Found] = {}
    for one in server.find(run):
        kept = names.read(one.name, run)
        for job_id in kept.jobs if kept else ():
            latest[job_id] = one
    return latest


def sorted_out(found: Sequence[Found], run: RunId) -> tuple[dict[JobId, Found], list[int]]:
    """Which DIRAC job stands for which of ours, and which are too many: never confirmed, or there twice.

    Failed ones stand for nothing: they are run again.
    """
    best: dict[JobId, tuple[int, Found]] = {}
    superfluous: list[int] = []
    for one in found:
        kept = names.read(one.name, run)
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


def state_of(found: Found) -> JobState:
    """What it is doing, as a run hears of it."""
    if found.place.status == "Done":
        return JobState.DONE
    return SEEN.get(phase(found.place.status), JobState.FAILED)
