"""What comes back from DIRAC: output sandboxes to results, and a state without a sandbox to a failure that says why."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gridcwl.backends.batch import unpacking
from gridcwl.backends.batch.outputs import log_of, with_outputs, written
from gridcwl.backends.batch.unpacking import Archive
from gridcwl.backends.dirac import jdl
from gridcwl.errors import GridCWLError, LimitExceeded, ResultError
from gridcwl.model import Job, JobId, JobResult, Outcome, limits
from gridcwl.model.acceptance import refused
from gridcwl.model.codec import result_from_json

REPORT = "gridcwl-results"
"""How the last line begins that a worker writes: its site and its archive, in base64, where that is small."""
_REPORT = re.compile(rf"^{REPORT} (\S*) ([A-Za-z0-9+/]+=*)$", re.MULTILINE)
_OUTER = frozenset({jdl.RESULTS, jdl.STDOUT, jdl.STDERR})
"""Members of an output sandbox that are read."""
_TAIL = 8192
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class SandboxContents:
    """An output sandbox, opened.

    Attributes:
        members: the results' archive; an empty one if there is none.
        stdout, stderr: what the start script and the worker wrote.
        problem: why the archive could not be read.
    """

    members: Archive = field(default_factory=Archive)
    stdout: bytes = b""
    stderr: bytes = b""
    problem: GridCWLError | None = None


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """The last line of a worker: the results archive, and its site."""

    site: str
    contents: SandboxContents


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A DIRAC job as DIRAC reports it."""

    number: int
    status: str
    minor: str = ""
    application: str = ""
    site: str = ""

    def __str__(self) -> str:
        words = f"DIRAC job {self.number}: {self.status}"
        if self.minor and self.minor != "Unknown":
            words += f", {self.minor}"
        if self.application not in ("", "Unknown"):
            words += f" ({self.application})"
        return words + (f", at {self.site}" if self.site not in ("", "ANY", "Multiple") else "")


def opened(sandbox: bytes | None, scratch: Path | None = None) -> SandboxContents:
    """Read an output sandbox.

    Args:
        sandbox: the archive that DIRAC keeps; None if there is none.
        scratch: a folder for what is too large for memory.
    """
    if sandbox is None:
        return SandboxContents()
    try:
        limits.check(len(sandbox), limits.SANDBOX_BYTES, "The output sandbox")
        outer = unpacking.read_archive(io.BytesIO(sandbox), "The output sandbox", scratch=scratch, only=_OUTER)
    except (LimitExceeded, ResultError) as problem:
        return SandboxContents(problem=problem)
    stdout, stderr = (outer.end(name, limits.LOG_BYTES) for name in (jdl.STDOUT, jdl.STDERR))
    try:
        return SandboxContents(outer.inner(jdl.RESULTS, "The results archive", scratch), stdout, stderr)
    except GridCWLError as problem:
        return SandboxContents(Archive(), stdout, stderr, problem)


def reported(text: str, jobs: Iterable[JobId]) -> WorkerReport | None:
    """Read the last line of what a worker wrote; None if it is not there, damaged, or not about all of these jobs."""
    found = _REPORT.findall(text) if len(text) <= limits.REPORT_TEXT else []
    if not found:
        return None
    site, archive = found[-1]
    try:
        content = io.BytesIO(base64.b64decode(archive, validate=True))
        members = unpacking.read_archive(content, "The job's report", limits.REPORT_BYTES)
    except (ValueError, GridCWLError):
        return None
    if any(f"{job}/result.json" not in members for job in jobs):
        return None
    return WorkerReport(site, SandboxContents(members))


def without_report(text: str) -> str:
    """What a worker wrote, for people: without the line that is for us."""
    return _REPORT.sub("", text)


def result_of(job: Job, contents: SandboxContents, place: JobStatus, folder: Path) -> JobResult:
    """The result of a job, from the sandbox of the DIRAC job that held it. Logs and outputs go into ``folder``."""
    try:
        if contents.problem is not None and not isinstance(contents.problem, ResultError):
            raise contents.problem
        text = contents.members.read(f"{job.id}/result.json", limits.RESULT_BYTES)
        if text is None:
            return lost(job, place, contents, folder)
        result = with_outputs(result_from_json(text), job, contents.members, folder)
    except GridCWLError as error:
        result = refused(job, error)
    if result.outcome is Outcome.CANCELLED:
        # Nobody here asked for it: the site's batch system or DIRAC did.
        result = replace(result, outcome=Outcome.TEMPORARY_FAILURE)
    logs = {stream: _log(contents, job.id, stream, folder) for stream in ("stdout", "stderr")}
    result = replace(result, stdout_log=logs["stdout"], stderr_log=logs["stderr"])
    if result.usage is not None:
        result = replace(result, usage=replace(result.usage, site=place.site, batch_job=str(place.number)))
    if result.outcome is Outcome.SUCCESS:
        return result
    reason = result.reason or f"It ended with exit code {result.exit_code}."
    return replace(result, reason=f"{reason} [{place}]")


def lost(job: Job, place: JobStatus, contents: SandboxContents, folder: Path) -> JobResult:
    """The result of a job that left none: the place failed, and that may pass, or stopped it."""
    streams = {"stdout": contents.stdout, "stderr": contents.stderr}
    logs = {name: written(folder / f"{name}.log", content) if content else None for name, content in streams.items()}
    tail = b"".join((contents.stderr or contents.stdout)[-_TAIL:].splitlines(keepends=True)[-_TAIL_LINES:])
    return JobResult(
        job.id,
        _outcome(place),
        reason=f"The job returned no result{_why(contents)}. {place}. {what_to_do(place)}",
        stdout_log=logs["stdout"],
        stderr_log=logs["stderr"],
        stderr_tail=tail.decode("utf-8", "replace"),
    )


def _why(contents: SandboxContents) -> str:
    return f" ({contents.problem.message})" if contents.problem is not None else ""


def _outcome(place: JobStatus) -> Outcome:
    if "memory" in f"{place.minor} {place.application}".lower():
        return Outcome.OUT_OF_MEMORY  # whoever has killed it for that
    if place.status in ("Killed", "Deleted"):  # a person's decision: to run it again would not be obeying
        return Outcome.PERMANENT_FAILURE
    return Outcome.TEMPORARY_FAILURE


def what_to_do(place: JobStatus) -> str:
    """A sentence on what a state without a result means."""
    words = f"{place.status} {place.minor} {place.application}".lower()
    for sign, advice in _ADVICE:
        if sign in words:
            return advice
    return f"dirac-wms-job-logging-info {place.number} shows what DIRAC did with it."


_ADVICE = (
    ("input sandbox", "The node could not get its input sandbox: is DIRAC's SandboxStore up?"),
    ("proxy", "The job's proxy was not available: upload one with dirac-proxy-init -U."),
    ("stalled", "The node stopped reporting: it died, or lost its network."),
    ("wall clock", "It needed more time than the site gave it: raise the tool's ToolTimeLimit."),
    ("cpu limit", "It needed more time than the site gave it: raise the tool's ToolTimeLimit."),
    ("time left", "It needed more time than the site gave it: raise the tool's ToolTimeLimit."),
    ("memory", "It needed more memory than the site gave it: raise the tool's ramMin."),
    ("reschedul", "DIRAC gave it up after several sites had failed."),
    ("kill", "Somebody killed it at DIRAC."),
    ("watchdog", "DIRAC's watchdog stopped it: too much time or memory, or no sign of life."),
    ("deleted", "Somebody deleted it at DIRAC."),
)


def _log(contents: SandboxContents, job: JobId, stream: str, folder: Path) -> str | None:
    """What the tool wrote; where that could not be read, what the worker wrote."""
    if contents.problem is None:
        return log_of(contents.members, job, stream, folder)
    content = contents.stdout if stream == "stdout" else contents.stderr
    return written(folder / f"{stream}.log", content) if content else None
