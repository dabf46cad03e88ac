"""A process that has DIRAC loaded and runs jobs by its local mode, each in a process of its own.

    python -m gridcwl.backends.dirac.local_jobs FOLDER

Lines of JSON on stdin say what to do: ``{"start": 7, "folder": ..., "jdl": ..., "environment": {...}}`` and
``{"stop": 7}``; on stdout they say what came of it: ``{"ready": true}`` or ``{"unable": why}``, and
``{"ended": 7, "problem": why or null}``. When stdin ends, so do all jobs: whoever started them is gone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any

DIRAC_LOG = "dirac.log"
_PROBLEM = "problem.txt"
_GRACE_S = 20.0
"""Between the word to stop and being killed: the worker stops its containers meanwhile."""

# No Configuration server is named, so that none is asked; what else DIRAC looks for it finds by its own defaults.
_CONFIGURATION = """
DIRAC
{
  Configuration
  {
    Name = gridcwl-local
  }
  Security
  {
    UseServerCertificate = no
  }
}
LocalSite
{
  Site = %s
}
"""


def main(folder: Path) -> int:
    """Serve until stdin ends."""
    reports = os.dup(1)
    log = os.open(folder / DIRAC_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    launcher = _Launcher(reports)
    try:
        _load(folder)
    except Exception as error:  # noqa: BLE001  whatever DIRAC raises is reported
        launcher.tell({"unable": f"{type(error).__name__}: {error}"})
        return 1
    launcher.tell({"ready": True})
    launcher.serve()
    return 0


def _load(folder: Path) -> None:
    """DIRAC, initialised by a configuration of ours: the user's own would send it to servers."""
    settings = folder / "dirac.cfg"
    settings.write_text(_CONFIGURATION % os.environ.get("DIRACSITE", "DIRAC.Client.local"))
    os.environ["DIRACSYSCONFIG"] = str(settings)
    os.environ["DIRAC_ROOT_PATH"] = str(folder)
    # ~/.dirac.cfg is read, too, wherever that is
    home, os.environ["HOME"] = os.environ.get("HOME"), str(folder)
    import DIRAC

    DIRAC.initialize(require_auth=False)
    if home is None:
        del os.environ["HOME"]
    else:
        os.environ["HOME"] = home
    # what jobs need is imported once, here
    import DIRAC.Interfaces.API.Dirac
    import DIRAC.Interfaces.API.Job


class _Launcher:
    def __init__(self, reports: int) -> None:
        self._reports = reports
        self._jobs: dict[int, tuple[int, Path]] = {}
        """By process id: the job's number and folder."""
        self._doomed: dict[int, float] = {}
        """By process id: when it is killed."""
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # A terminal's Ctrl-C goes to all of its processes; what is to be done then comes by stdin.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._ending = False
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self._ending = True

    def tell(self, line: dict[str, Any]) -> None:
        """Whoever listens may be gone; stdin ends then, too."""
        with contextlib.suppress(OSError):
            os.write(self._reports, (json.dumps(line) + "\n").encode())

    def serve(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        selector.register(self._woken, selectors.EVENT_READ)
        pending, listening = b"", True
        while listening or self._jobs:
            if self._ending and listening:
                listening = False
                selector.unregister(0)
                self._stop(list(self._jobs))
                continue
            for key, _ in selector.select(1.0 if self._doomed else None):
                if key.fd == self._woken:
                    os.read(self._woken, 4096)
                    continue
                read = os.read(0, 1 << 20)
                self._ending = self._ending or not read
                *lines, pending = (pending + read).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            self._collect()
            self._kill_late()

    def _obey(self, order: dict[str, Any]) -> None:
        if "stop" in order:
            self._stop([pid for pid, (number, _) in self._jobs.items() if number == order["stop"]])
            return
        folder = Path(order["folder"])
        # A job that is stopped before it knows how is not to take it for a word to us.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            _become_job(folder, order["jdl"], order["environment"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        self._jobs[pid] = order["start"], folder

    def _stop(self, pids: list[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)  # it is our child and was not waited for: it is there
            self._doomed.setdefault(pid, time.monotonic() + _GRACE_S)

    def _kill_late(self) -> None:
        for pid, due in self._doomed.items():
            if due < time.monotonic():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def _collect(self) -> None:
        while self._jobs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # what the payload left behind, as a batch system does it
            number, folder = self._jobs.pop(pid)
            self._doomed.pop(pid, None)
            problem: str | None = None
            if status:
                with contextlib.suppress(OSError):
                    problem = (folder / _PROBLEM).read_text("utf-8", "replace")
                problem = problem or f"its process ended with status {status}"
            self.tell({"ended": number, "problem": problem})


def _become_job(folder: Path, jdl: str, environment: dict[str, str]) -> None:
    """In the child: run the job by DIRAC's API, and end."""
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, _stop_payload)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(folder / DIRAC_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(fd, "wb", 0), write_through=True) for fd in (1, 2))
        os.chdir(folder)
        os.environ.update(environment)
        problem = _run(jdl)
        if problem is None:
            code = 0
        else:
            (folder / _PROBLEM).write_text(problem, "utf-8")
    except BaseException as error:  # noqa: BLE001  nothing of the parent's may run in the child
        with contextlib.suppress(OSError):
            (folder / _PROBLEM).write_text(f"{type(error).__name__}: {error}", "utf-8")
    finally:
        os._exit(code)


def _stop_payload(number: int, _frame: object) -> None:
    """Hand a signal on to the payload, which is waited for; without one, end."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    if not children:
        os._exit(128 + number)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)


def _run(jdl: str) -> str | None:
    """Submit to DIRAC's local mode, which returns when the job has ended; returns what went wrong."""
    from DIRAC.Interfaces.API.Dirac import Dirac
    from DIRAC.Interfaces.API.Job import Job

    class Described(Job):  # type: ignore[misc]
        """A job that is described as those on the grid are, without DIRAC's workflow around it."""

        def _toJDL(self, xmlFile: str = "", jobDescriptionObject: object = None) -> str:  # noqa: N802, N803, ARG002
            return jdl

    answer = Dirac().submitJob(Described(), mode="local")
    return None if answer["OK"] else str(answer["Message"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
