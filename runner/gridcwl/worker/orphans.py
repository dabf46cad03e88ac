"""Ending what a bare tool leaves running, also what left the tool's process group (``setsid``, a double fork).

The worker's process is a child subreaper (Linux, ``prctl(2)``): a process whose parent ends becomes the worker's child,
and is seen here when a job ends. Only where all jobs of a process are bare: container engines leave processes of their
own. Elsewhere (macOS) only the tool's process group is ended.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from typing import Dict, List, NamedTuple, Optional, Set

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 10.0
_PAUSE_S = 0.005
_PAGE = 4096  # bytes
_PARENT, _SESSION, _START = 1, 3, 19
"""Where they are behind the command in ``/proc/PID/stat`` (``proc_pid_stat(5)``: fields 4, 6 and 22)."""


class RunningTool(NamedTuple):
    """A running tool."""

    before: int
    """The time before its start, in ticks since boot."""
    pid: int = 0


class Orphans:
    """The children that this process was given by the kernel. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.own_process = False
        """This process is a worker and nothing else: whatever becomes its child was left by a tool."""
        self.watched = False
        """This process is a subreaper."""
        self._earlier: Set[int] = set()
        """Children that it had before, of whoever became this process by ``exec``."""
        self._lock = threading.Lock()
        self._tools: Dict[int, RunningTool] = {}
        """Running tools, and those that are about to start."""
        self._numbers = itertools.count(1)
        self._ticks = 100
        self._listed: Optional[int] = None
        """The kernel's list of the children of this process, open for reading."""

    def watch(self) -> bool:
        """Make this process a subreaper; False where that cannot be done, or in a process that is not only a worker."""
        if not self.own_process or not sys.platform.startswith("linux"):
            return False
        self._earlier = _children_of(os.getpid())
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import ctypes

            self._ticks = os.sysconf("SC_CLK_TCK")
            self.watched = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        if self._listed is None:
            with contextlib.suppress(OSError):
                self._listed = os.open(_children_file(os.getpid()), os.O_RDONLY | os.O_CLOEXEC)
        return self.watched

    def begin(self) -> int:
        """A tool is about to start; returns a number for :meth:`ended`."""
        if not self.watched:
            return 0
        with self._lock:
            number = next(self._numbers)
            self._tools[number] = RunningTool(int(time.clock_gettime(time.CLOCK_BOOTTIME) * self._ticks))
            return number

    def began(self, number: int, pid: int) -> None:
        """It has started."""
        if number:
            self._tools[number] = self._tools[number]._replace(pid=pid)

    def ended(self, number: int, home: str = "") -> None:
        """It has ended, or could not be started: end what it left.

        An orphan belongs to the tool if it has the tool's session or HOME, if it works below the job's folder, or if no
        tool that still runs is as old as it is. What hides all of that beside older tools ends with the last of those.
        """
        if not number:
            return
        with self._lock:
            tool = self._tools.pop(number)
        until = time.monotonic() + _PATIENCE_S
        while self._orphans() and self._end(tool.pid, home) and time.monotonic() < until:
            time.sleep(_PAUSE_S)  # what is killed leaves its children to us

    def end_all(self) -> None:
        """End all orphans: no tool runs any more."""
        until = time.monotonic() + _PATIENCE_S
        while self.watched and self._end(0, "") and time.monotonic() < until:
            time.sleep(_PAUSE_S)

    def _end(self, session: int, home: str) -> bool:
        """Kill the orphans of an ended tool and reap dead ones; whether there were any."""
        folder = os.fsencode(os.path.realpath(os.path.dirname(home))) if home else b""
        with self._lock:
            oldest = min((tool.before for tool in self._tools.values()), default=None)
            found = False
            for pid in self._orphans():
                about = _fields(pid)
                if not about:
                    continue
                ours = oldest is None or int(about[_START]) < oldest or 0 < session == int(about[_SESSION])
                if ours or (home and _works_in(pid, folder, os.fsencode(home))):
                    found = True
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
            return found

    def _orphans(self) -> Set[int]:
        """The children of this process that are no tools."""
        found = self._children()
        return found - self._earlier - {tool.pid for tool in list(self._tools.values())} if found else found

    def _children(self) -> Set[int]:
        """As :func:`_children_of`, with a file that stays open: it is read at the end of every job."""
        if self._listed is not None:
            with contextlib.suppress(OSError, ValueError):
                words = os.pread(self._listed, _PAGE, 0)
                if len(words) < _PAGE // 2:  # otherwise there may be more than the kernel gives at once
                    return {int(word) for word in words.split()}
        return _children_of(os.getpid())


def _children_file(pid: int) -> str:
    return f"/proc/{pid}/task/{pid}/children"  # orphans become children of the main thread


def _children_of(pid: int) -> Set[int]:
    try:
        with open(_children_file(pid), "rb") as file:
            return {int(word) for word in file.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return {int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(int(name)) == pid}
    except OSError:
        return set()


def _fields(pid: int) -> List[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _parent(pid: int) -> int:
    about = _fields(pid)
    return int(about[_PARENT]) if about else 0


def _works_in(pid: int, folder: bytes, home: bytes) -> bool:
    """Whether a process works below a folder, or was given this HOME."""
    with contextlib.suppress(OSError):
        here = os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
        if here == folder or here.startswith(folder + b"/"):
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"HOME=" + home in file.read().split(b"\0")
    return False


ORPHANS = Orphans()
