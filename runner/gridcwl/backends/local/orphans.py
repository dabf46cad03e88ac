"""Orphaned processes and containers: what runs on after the worker or the client that started it has gone.

Processes are known by what the worker gave each of them: a working directory below the job's folder, and the same in
HOME. So nothing has to be written down for each job, and a number that now is another's is never hit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path

from gridcwl.errors import StoreError
from gridcwl.model import RunId

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


def kill_below(folders: Collection[str], patience_s: float) -> tuple[set[int], list[int]]:
    """Kill all that runs below these folders; returns those that were killed, and those that do not go."""
    wanted = [os.fsencode(folder) for folder in folders]
    killed: set[int] = set()
    until = time.monotonic() + patience_s
    while found := running(lambda pid: any(belongs(pid, folder) for folder in wanted)):
        if time.monotonic() > until:
            return killed, found
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(found)
        time.sleep(0.01)
    return killed, []


def running(condition: Callable[[int], bool]) -> list[int]:
    """The processes of this machine, but this one, of which something is so."""
    own = os.getpid()
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if pid != own and condition(pid)]


def is_in(pid: int, folder: bytes) -> bool:
    """Whether the folder itself is the process's working directory."""
    try:
        return os.fsencode(Path(f"/proc/{pid}/cwd").readlink()) == folder  # a zombie has none
    except OSError:
        return False


def belongs(pid: int, folder: bytes) -> bool:
    """Whether the process works below the folder, or was given a HOME there, and has not ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            if file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                return False  # it has ended; whoever is its parent now has not noticed yet
        with contextlib.suppress(FileNotFoundError):
            if _below(os.fsencode(Path(f"/proc/{pid}/cwd").readlink()), folder):
                return True
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            variables = file.read().split(b"\0")
    except OSError:  # gone, or another user's
        return False
    return any(
        _below(value, folder)
        for name, _, value in (variable.partition(b"=") for variable in variables)
        if name in (b"HOME", b"TMPDIR")
    )


def _below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")
