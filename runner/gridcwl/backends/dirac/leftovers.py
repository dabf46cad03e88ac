"""What a run has left at DIRAC, without the run: looked at and stopped. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable

from gridcwl.backends.dirac import names
from gridcwl.backends.dirac.following import Phase, phase
from gridcwl.backends.dirac.problems import DiracUnreachable
from gridcwl.backends.dirac.server import Found, Server
from gridcwl.errors import BackendError
from gridcwl.model import JobId, RunId

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
