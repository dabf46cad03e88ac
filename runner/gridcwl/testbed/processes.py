"""The processes that one testbed started: known by pid and start time, stopped by group, never by name."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from gridcwl.testbed.errors import TestbedError
from gridcwl.testbed.place import InstallFolder
from gridcwl.testbed.service import Status
from gridcwl.testbed.waiting import wait_for

MARK = "GRIDCWL_TESTBED_PROCESS"
"""In the environment of all that a testbed starts: whose it is, whatever group it went into."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process as it was started."""

    pid: int
    started: int
    """In clock ticks since boot: with the pid, it names a process once and for all."""
    argv0: str
    stop_signal: int = signal.SIGTERM


class StartedProcesses:
    """What this testbed started, in ``pids/<name>.json``."""

    def __init__(self, place: InstallFolder) -> None:
        self._place = place

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start a process in a session of its own, with its output in the service's log; nothing if it is alive.

        Args:
            env: the whole environment; the mark of the testbed's processes is added.
            user: who it runs as, where this process is root's; otherwise it must be the present user.
            stop_signal: what makes it end well.

        Raises:
            TestbedError: the program cannot be started.
        """
        if self.alive(name):
            return
        self.stop(name)  # what a dead server left of its group
        user = user if os.geteuid() == 0 else None
        with self._place.log(name).open("ab") as log:
            try:
                process = subprocess.Popen(
                    [str(word) for word in argv],
                    env={**env, MARK: str(self._place.root)},
                    cwd=cwd or self._place.folder("work", name),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=user,
                    group=pwd.getpwnam(user).pw_gid if user else None,
                    extra_groups=[] if user else None,
                )
            except OSError as error:
                raise TestbedError(f"{argv[0]} cannot be started for the testbed's {name}: {error.strerror}") from error
        # Nobody waits for it: it outlives this process. Popen's own complaint about that is not for the user.
        process.returncode = 0
        self._keep(name, Started(process.pid, _start_time(process.pid) or 0, str(argv[0]), stop_signal))

    def alive(self, name: str) -> bool:
        """The process of this name runs, or is paused."""
        known = self._known(name)
        return known is not None and self._is_ours(known)

    def pid(self, name: str) -> int | None:
        """The pid, if it is alive."""
        known = self._known(name)
        return known.pid if known is not None and self._is_ours(known) else None

    def status(self, name: str, detail: str = "", port: int | None = None) -> Status:
        """How the process of this name stands."""
        known = self._known(name)
        if known is None:
            return Status(name, "down", detail, None, port)
        if not self._is_ours(known):
            return Status(name, "dead", f"see {self._place.root / 'log' / name}.log", None, port)
        with contextlib.suppress(psutil.Error):
            if psutil.Process(known.pid).status() == psutil.STATUS_STOPPED:
                return Status(name, "paused", detail, known.pid, port)
        return Status(name, "up", detail, known.pid, port)

    def stop(self, name: str, *, patience_s: float = 10) -> None:
        """End the process and all of its group: asked first, killed when it does not go in time.

        Raises:
            TestbedError: it cannot be killed.
        """
        known = self._known(name)
        if known is None:
            return
        members = self._members(known)
        if members:
            leader = known.pid if self._is_ours(known) else None
            for member in members:
                # One that ends by another signal than its children is asked alone.
                if known.stop_signal == signal.SIGTERM or member.pid == leader:
                    _signal(member, known.stop_signal)
                _signal(member, signal.SIGCONT)
            if not self._gone(known, members, patience_s):
                for member in [*members, *self._members(known)]:
                    _signal(member, signal.SIGKILL)
                wait_for(lambda: self._gone(known, members, 0), f"the end of {name}", 10, log=self._place.log(name))
        (self._place.folder("pids") / f"{name}.json").unlink(missing_ok=True)

    def pause(self, name: str) -> None:
        """Stop the group in its tracks (SIGSTOP): connections stay open, nothing is answered."""
        for member in self._members_of(name):
            _signal(member, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused group go on (SIGCONT)."""
        for member in self._members_of(name):
            _signal(member, signal.SIGCONT)

    def names(self) -> list[str]:
        """All that were started and not stopped, alive or dead."""
        return sorted(path.stem for path in (self._place.root / "pids").glob("*.json"))

    def stop_orphans(self) -> int:
        """Kill what carries this testbed's mark and went out of its group; returns how many there were."""
        spared = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
        left = [process for process in psutil.process_iter() if process.pid not in spared and self._is_marked(process)]
        for process in left:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(left, timeout=5)
        return len(left)

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return bool(process.environ().get(MARK) == str(self._place.root)) and _lives(process)
        except (psutil.Error, OSError):
            return False

    def _members_of(self, name: str) -> list[psutil.Process]:
        known = self._known(name)
        if known is None or not self._is_ours(known):
            raise TestbedError(f"The testbed's {name} does not run", remedy="Start it: gridcwl testbed up.")
        return self._members(known)

    def _members(self, known: Started) -> list[psutil.Process]:
        """The living processes of its session and group, and its descendants: PostgreSQL's have groups of their own."""
        found: dict[int, psutil.Process] = {}
        if self._is_ours(known):
            with contextlib.suppress(psutil.Error):
                leader = psutil.Process(known.pid)
                found = {process.pid: process for process in [leader, *leader.children(recursive=True)]}
        elif _start_time(known.pid) is not None:
            return []  # the pid is somebody else's now, so no group of ours can have that number
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
                if known.pid in {os.getpgid(process.pid), os.getsid(process.pid)} and (
                    process.pid in found or self._is_marked(process)
                ):
                    found[process.pid] = process
        return [process for process in found.values() if _lives(process)]

    def _gone(self, known: Started, members: Sequence[psutil.Process], within_s: float) -> bool:
        end = time.monotonic() + within_s
        while True:
            # If this process is the parent, it is this process that has to take note of the death.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(known.pid, os.WNOHANG)
            if not any(_lives(member) for member in members) and not self._members(known):
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)

    def _is_ours(self, known: Started) -> bool:
        return _start_time(known.pid) == known.started

    def _known(self, name: str) -> Started | None:
        try:
            return Started(**json.loads((self._place.root / "pids" / f"{name}.json").read_text()))
        except FileNotFoundError:
            return None

    def _keep(self, name: str, started: Started) -> None:
        path = self._place.folder("pids") / f"{name}.json"
        written = path.with_suffix(".new")
        written.write_text(json.dumps(asdict(started)) + "\n")
        written.replace(path)


def _start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is none, or only its corpse."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the command's name, in parentheses, may hold anything: proc(5)
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
