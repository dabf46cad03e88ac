"""Stale processes: what still runs below a job's folder when whoever started it has gone.

They are known by what the worker gave each of them: a working directory below the job's folder, and the same in HOME.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Callable, Collection, List, Set, Tuple


def kill_below(folders: Collection[str], patience_s: float) -> Tuple[Set[int], List[int]]:
    """Kill all that runs below these folders; returns those that were killed, and those that do not go."""
    wanted = [os.fsencode(folder) for folder in folders]
    killed: Set[int] = set()
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


def running(condition: Callable[[int], bool]) -> List[int]:
    """The processes of this machine, but this one, of which something is so."""
    own = os.getpid()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid != own and condition(pid)]


def is_in(pid: int, folder: bytes) -> bool:
    """Whether the folder itself is the process's working directory."""
    try:
        return os.fsencode(os.readlink(f"/proc/{pid}/cwd")) == folder  # a zombie has none
    except OSError:
        return False


def belongs(pid: int, folder: bytes) -> bool:
    """Whether the process works below the folder, or was given a HOME there, and has not ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                return False  # it has ended; whoever is its parent now has not noticed yet
        with contextlib.suppress(FileNotFoundError):
            if _below(os.fsencode(os.readlink(f"/proc/{pid}/cwd")), folder):
                return True
        with open(f"/proc/{pid}/environ", "rb") as file:
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
