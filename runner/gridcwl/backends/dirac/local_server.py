"""DIRAC's local mode as a server: jobs go through DIRAC's own API on this machine, with no service and no certificate.

What travels is what travels on the grid: the same descriptions, input sandboxes and output sandboxes. Jobs end with us.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import itertools
import json
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gridcwl import imports
from gridcwl.backends.dirac import jdl as language
from gridcwl.backends.dirac.local_jobs import DIRAC_LOG
from gridcwl.backends.dirac.matching import Limits
from gridcwl.backends.dirac.parametric import singles, value, values, with_list
from gridcwl.backends.dirac.problems import DiracRefused
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.backends.dirac.server import Credential, FoundJob, State
from gridcwl.backends.dirac.sites import DiracSite
from gridcwl.worker.removing import remove_tree

SITE = "DIRAC.Client.local"
"""What DIRAC calls a machine that is nobody's site."""

_HELD: State = ("Submitting", "Bulk transaction confirmation", "")
_WAITING: State = ("Waiting", "Waiting for a processor", "")
_RUNNING: State = ("Running", "Application", "")
_DONE: State = ("Done", "Execution Complete", "")
_KILLED: State = ("Killed", "Marked for termination", "")
_STOP_S = 30.0
_LONGEST_LINE = 1 << 20  # characters

log = logging.getLogger("gridcwl.backends.dirac")


@dataclass(slots=True)
class _Job:
    number: int
    jdl: str
    state: State = _HELD
    doomed: bool = False

    @property
    def processors(self) -> int:
        text = value(self.jdl, "NumberOfProcessors") or value(self.jdl, "MinNumberOfProcessors")
        return int(text) if text else 1


class LocalServer:
    """Implements ``gridcwl.backends.dirac.server.Server`` with ``Dirac().submitJob(job, mode="local")``.

    For many threads. DIRAC is loaded once, by a process of its own that ends with us, and so do the jobs.
    """

    survives = False

    def __init__(self, folder: Path | None, *, max_jobs: int | None = None, site: str = "") -> None:
        """Prepare; DIRAC begins to load.

        Args:
            folder: for what jobs bring and leave, in a new one below it. Without it, none can be run.
            max_jobs: at a time; by default, as many as there are processors for.
            site: what jobs take this machine for, as it says which storage elements are near.

        Raises:
            ConfigError: DIRAC is not installed.
        """
        imports.require("DIRAC", "DIRAC's local mode")
        self._folder = Path(os.devnull)
        self._site = site or SITE
        self._processors = len(os.sched_getaffinity(0))
        self._max_jobs = max_jobs or self._processors
        self._jobs: dict[int, _Job] = {}
        self._numbers = itertools.count(1)
        self._sandboxes = itertools.count(1)
        self._lock = threading.RLock()
        self._ready, self._unable = False, ""
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._listen, name="dirac-local", daemon=True)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="session-", dir=folder))
            self._process = self._launched()
            self._reader.start()

    def _launched(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gridcwl.backends.dirac.local_jobs", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "DIRACSITE": self._site},
            start_new_session=True,
        )

    def close(self) -> None:
        """Stop all jobs, and wait until they have stopped; what they brought and left goes."""
        if self._process is None or self._process.stdin is None:
            return
        with self._lock, contextlib.suppress(OSError):
            well = not self._unable
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if well:
            remove_tree(self._folder)

    # -- Server --------------------------------------------------------------------------------------------------------

    def most_jobs(self) -> int | None:
        """See ``Server``."""
        return None

    def limits(self) -> Limits:
        """See ``Server``. There is nobody to set any but this machine."""
        return Limits(processors=self._processors)

    def offers(self) -> Sequence[DiracSite]:
        """See ``Server``. Whatever site a job asks for, it comes here: none is listed, and none ruled out."""
        return ()

    def credential(self) -> Credential:
        """See ``Server``. None is needed."""
        return Credential(getpass.getuser(), "local", datetime.max.replace(tzinfo=UTC))

    def put_sandbox(self, files: Sequence[Path]) -> str:
        """See ``Server``."""
        name = str(next(self._sandboxes))
        place = self._folder / "sandboxes" / name
        place.mkdir(parents=True)
        for file in files:
            shutil.copy2(file, place / file.name)
        return f"SB:here|/{name}"

    def submit(self, jdl: str) -> list[int]:
        """See ``Server``."""
        with self._lock:
            self._see_that_it_lives()
            jobs = [_Job(next(self._numbers), text) for text in singles(jdl)]
            self._jobs.update((job.number, job) for job in jobs)
        return [job.number for job in jobs]

    def confirm(self, jobs: Sequence[int]) -> None:
        """See ``Server``."""
        with self._lock:
            for number in jobs:
                self._jobs[number].state = _WAITING
            self._start_what_fits()

    def states(self, jobs: Collection[int]) -> Mapping[int, State]:
        """See ``Server``."""
        with self._lock:
            self._see_that_it_lives()
            return {number: self._jobs[number].state for number in jobs if number in self._jobs}

    def sites(self, jobs: Collection[int]) -> Mapping[int, str]:
        """See ``Server``."""
        return dict.fromkeys(jobs, self._site)

    def find(self, group: str) -> Sequence[FoundJob]:
        """See ``Server``."""
        with self._lock:
            return [
                FoundJob(JobStatus(job.number, *job.state, self._site), value(job.jdl, "JobName") or "")
                for job in self._jobs.values()
                if value(job.jdl, "JobGroup") == group
            ]

    def reports(self, jobs: Collection[int]) -> Mapping[int, str]:
        """See ``Server``. Nothing is kept but sandboxes, which are near."""
        del jobs
        return {}

    def sandbox(self, job: int) -> bytes | None:
        """See ``Server``."""
        folder = self._folder_of(job)
        kept = folder.with_suffix(".tar")
        if not kept.exists():
            with self._lock:
                wanted = values(self._jobs[job].jdl, "OutputSandbox")
            if not folder.exists():
                return None
            kept.write_bytes(_archive(folder, wanted))
            remove_tree(folder)
        return kept.read_bytes()

    def kill(self, jobs: Iterable[int]) -> None:
        """See ``Server``."""
        with self._lock:
            for job in [self._jobs[number] for number in jobs if number in self._jobs]:
                if job.state in (_HELD, _WAITING):
                    job.state = _KILLED
                elif job.state == _RUNNING and not job.doomed:
                    job.doomed = True
                    self._order({"stop": job.number})

    def parameters(self, job: int) -> Mapping[str, str]:
        """See ``Server``. There are none: all output comes with the sandbox."""
        del job
        return {}

    # -- the process that runs them ------------------------------------------------------------------------------------

    def _folder_of(self, number: int) -> Path:
        return self._folder / "jobs" / str(number)

    def _start_what_fits(self) -> None:
        if not self._ready:
            return
        running = [job for job in self._jobs.values() if job.state == _RUNNING]
        free = self._processors - sum(job.processors for job in running)
        places = self._max_jobs - len(running)
        for job in self._jobs.values():
            if places < 1:
                return
            if job.state == _WAITING and (job.processors <= free or free == self._processors):
                self._start(job)
                free -= job.processors
                places -= 1

    def _start(self, job: _Job) -> None:
        folder = self._folder_of(job.number)
        folder.mkdir(parents=True)
        names: list[str] = []
        for sandbox in values(job.jdl, "InputSandbox"):
            for file in (self._folder / "sandboxes" / sandbox.rpartition("/")[2]).iterdir():
                (folder / file.name).symlink_to(file)  # DIRAC copies it to where the job runs
                names.append(file.name)
        # JobWrapper sets these on the grid
        environment = {"JOBID": str(job.number), "DIRAC_PROCESSORS": str(job.processors)}
        described = with_list(job.jdl, "InputSandbox", names)
        self._order({"start": job.number, "folder": str(folder), "jdl": described, "environment": environment})
        job.state = _RUNNING

    def _order(self, order: dict[str, Any]) -> None:
        try:
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._gone() from error

    def _listen(self) -> None:
        why = "the process that runs them has ended"
        try:
            self._hear()
        except Exception as error:
            log.debug("the process of DIRAC's local mode cannot be understood", exc_info=True)
            why = f"the process that runs them sent an invalid message: {error}"
        with self._lock:
            self._unable = self._unable or why

    def _hear(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_LONGEST_LINE):
            heard = json.loads(line)
            with self._lock:
                if "ready" in heard:
                    self._ready = True
                    self._start_what_fits()
                elif "unable" in heard:
                    self._unable = heard["unable"]
                elif "ended" in heard:
                    self._end(self._jobs[heard["ended"]], heard["problem"])

    def _end(self, job: _Job, problem: str | None) -> None:
        if job.doomed:
            job.state = _KILLED
        else:
            job.state = _DONE if problem is None else ("Failed", "Application Finished With Errors", problem)
        stdin = self._process.stdin if self._process is not None else None
        if stdin is not None and not stdin.closed:
            self._start_what_fits()

    def _see_that_it_lives(self) -> None:
        if self._unable:
            raise self._gone()

    def _gone(self) -> DiracRefused:
        return DiracRefused(
            f"DIRAC's local mode cannot run jobs: {self._unable or 'its process has ended'}",
            remedy=f"{self._folder / DIRAC_LOG} has DIRAC's messages.",
        )


def _archive(folder: Path, wanted: Sequence[str]) -> bytes:
    """The files of an output sandbox as an archive, out of the folder that DIRAC made for the job."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name in wanted:
            for path in folder.glob(f"Local_*_JobDir/{name}"):
                # DIRAC prints what the payload writes, and leaves these two empty.
                log = folder / DIRAC_LOG
                archive.add(log if name == language.STDOUT and log.exists() else path, name, recursive=False)
    return made.getvalue()
