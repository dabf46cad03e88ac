"""The fake DIRAC's jobs: what is known of one, and how its payload runs as a local process."""

from __future__ import annotations

import contextlib
import datetime
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from gridcwl.testbed.fakes.dirac_sandboxes import SandboxStore
from gridcwl.testbed.fakes.jdl import ParsedJdl

_KILL_AFTER_S = 2.0
_LAST_LINES = 20
_HEADER = "Last lines of application output from JobWrapper"


def _now() -> datetime.datetime:
    """UTC without a word of it, as DIRAC has it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None, microsecond=0)


@dataclass
class FakeJob:
    """One job; changed with its DIRAC's lock held."""

    number: int
    description: ParsedJdl
    status: str = "Received"
    minor: str = "Job accepted"
    application: str = "Unknown"
    site: str = "ANY"
    reschedulings: int = 0
    again: bool = False
    """It is to run once more when what runs has been killed."""
    payload: JobPayload | None = None
    """What runs now."""
    parameters: dict[str, str] = field(default_factory=dict)
    submitted: datetime.datetime = field(default_factory=_now)
    updated: datetime.datetime = field(default_factory=_now)

    @property
    def processors(self) -> int:
        """How many it needs."""
        asked = self.description
        return asked.number("NumberOfProcessors", asked.number("MinNumberOfProcessors", 1))

    def say(self, status: str, minor: str, application: str | None = None) -> None:
        """It stands otherwise now."""
        self.status, self.minor = status, minor
        self.application = self.application if application is None else application
        self.updated = _now()

    def kill(self) -> None:
        """Killed at once; when its payload has ended, Failed."""
        self.again = False
        if self.status not in {"Done", "Failed", "Deleted"}:
            self.say("Killed", "Marked for termination")
        if self.payload is not None:
            self.payload.kill()

    def delete(self) -> None:
        """Deleted; it must not run."""
        self.say("Deleted", "Checking accounting")


@dataclass(frozen=True, slots=True)
class JobPlace:
    """Where a job runs."""

    site: str
    folder: Path
    """Its working directory is made in it."""
    sandboxes: SandboxStore
    environment: Mapping[str, str] | None = None
    """What payloads see beside what is added; this process's environment by default."""


@dataclass(frozen=True, slots=True)
class PayloadOutcome:
    """How a payload ended, in DIRAC's words."""

    status: str
    minor: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class JobPayload:
    """A payload that runs, and can be killed before it has begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.killed = False

    def kill(self) -> None:
        """End its process group: asked first, killed soon after."""
        with self._lock:
            self.killed = True
            if self._process is not None:
                _signal(self._process, signal.SIGTERM)

    def run(self, command: str, folder: Path, environment: Mapping[str, str], out: str, err: str) -> int | None:
        """Run a shell's command to its end; returns its exit code, or None if it was killed."""
        with (folder / out).open("wb") as stdout, (folder / err).open("wb") as stderr:
            with self._lock:
                if self.killed:
                    return None
                self._process = subprocess.Popen(  # noqa: S602  a shell, as in the JobWrapper
                    command,
                    shell=True,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            code = self._attend(self._process)
        return None if self.killed else code

    def _attend(self, process: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                code = process.wait(_KILL_AFTER_S)
            except subprocess.TimeoutExpired:
                code = None
            if self.killed:
                _signal(process, signal.SIGKILL)  # what of its group did not care to go
            if code is not None:
                return code


def start(job: FakeJob, place: JobPlace, ended: Callable[[PayloadOutcome], None]) -> JobPayload:
    """Run a job in the background, and call ``ended`` in the end, from another thread."""
    payload = JobPayload()
    threading.Thread(
        target=lambda: ended(_run(job, place, payload)), name=f"fake-dirac-{job.number}", daemon=True
    ).start()
    return payload


def _run(job: FakeJob, place: JobPlace, payload: JobPayload) -> PayloadOutcome:
    folder = place.folder / str(job.number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for location in job.description.list("InputSandbox"):
            if location.startswith("SB:"):
                archive = place.sandboxes.archive(location)
                if archive is None:
                    return PayloadOutcome("Failed", "Input Sandbox Download Failed")
                place.sandboxes.unpack(archive, folder)
        command = _command(job.description, folder)
        if command is None:
            return PayloadOutcome("Failed", "Application not found")
        out, err = job.description.text("StdOutput", "std.out"), job.description.text("StdError", "std.err")
        code = payload.run(command, folder, _environment(job, place), out, err)
        parameters = _last_lines(folder / out, folder / err)
        if missing := _deliver(job, place, folder):
            parameters["OutputSandboxMissingFiles"] = ", ".join(missing)
        if code is None:
            return PayloadOutcome("Failed", "Received Kill signal", parameters)
        if code:
            return PayloadOutcome("Failed", "Application Finished With Errors", parameters)
        return PayloadOutcome("Done", "Execution Complete", parameters)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _last_lines(*streams: Path) -> dict[str, str]:
    """As JobWrapper.__sendFinalStdOut has it, but stderr's lines come last."""
    lines = [line for stream in streams for line in stream.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]]
    return {"StandardOutput": "\n".join([_HEADER, *lines])} if lines else {}


def _command(job: ParsedJdl, folder: Path) -> str | None:
    """As DIRAC's JobWrapper.__prepareCommand has it; None if there is no such program."""
    named = os.path.expandvars(job.text("Executable"))
    executable = folder / (named if "/" in named else shutil.which(named) or named)
    if not executable.is_file():
        return None
    if not os.access(executable, os.X_OK):
        executable.chmod(0o775)
    return f"{shlex.quote(str(executable))} {job.text('Arguments')}".strip()


def _environment(job: FakeJob, place: JobPlace) -> dict[str, str]:
    assigned = (each.partition("=") for each in job.description.list("ExecutionEnvironment"))
    return {
        **(os.environ if place.environment is None else place.environment),
        "JOBID": str(job.number),
        "DIRACSITE": place.site,
        "DIRAC_PROCESSORS": "1",
        "DIRAC_WHOLENODE": "False",
        "DIRAC_JOB_PROCESSORS": str(job.processors),
        **{name: unquote(value) for name, _, value in assigned},
    }


def _deliver(job: FakeJob, place: JobPlace, folder: Path) -> list[str]:
    """Keep the output sandbox; returns the patterns that nothing fits."""
    files, missing = set(), []
    for pattern in job.description.list("OutputSandbox"):
        found = set(folder.glob(pattern))
        files |= found
        if not found:
            missing.append(pattern)
    if files:
        location, _ = place.sandboxes.put(sorted(files))
        place.sandboxes.assign(job.number, "Output", location)
    return missing


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
