"""Orphaned processes and containers: what runs on after the worker or the client that started it has gone.

Processes are known by what the worker gave each of them: a working directory below the job's folder, and the same in
HOME. So nothing has to be written down for each job, and a number that now is another's is never hit.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from gridcwl.errors import StoreError
from gridcwl.model import RunId
from gridcwl.worker.stale import is_in, kill_below, running

_PATIENCE_S = 30.0


def stop_processes(folder: Path) -> int:
    """See that nothing of ours runs below a folder any more; returns how many processes had to be killed.

    Worker processes, which are in the folder itself, notice that their client is gone. They are waited for: they stop
    their tools, and leave the results of those that had ended.

    Raises:
        StoreError: one cannot be killed.
    """
    wanted = os.fsencode(folder)
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and running(lambda pid: is_in(pid, wanted)):
        time.sleep(0.01)
    stopped, left = kill_below([str(folder)], _PATIENCE_S)
    if left:
        raise StoreError(
            f"Processes of the killed client still run in {folder} and cannot be stopped: {', '.join(map(str, left))}",
            remedy="Stop them first, or their jobs would run twice.",
        )
    return len(stopped)


def stop_containers(engine: str, run: RunId) -> int:
    """Remove the run's containers, running or not; returns how many there were.

    Raises:
        EngineError: the engine does not answer.
    """
    from gridcwl.backends.local.backend import make_engine

    made = make_engine(engine)
    try:
        return int(made.cleanup(run))  # type: ignore[attr-defined]
    finally:
        made.close()  # type: ignore[attr-defined]
