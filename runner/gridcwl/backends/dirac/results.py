"""What comes back from DIRAC: output sandboxes to results, and a state without a sandbox to a failure that says why."""

from __future__ import annotations

import base64
import gzip
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import msgspec

from gridcwl.backends.dirac import jdl
from gridcwl.model import Job, JobId, JobResult, Outcome, ProducedFile
from gridcwl.model.codec import result_from_json

IN_SANDBOX = "sandbox:"
REPORT = "gridcwl-results"
"""How the last line begins that a worker writes: its site and its archive, in base64, where that is small."""
_REPORT = re.compile(rf"^{REPORT} (\S*) ([A-Za-z0-9+/]+=*)$", re.MULTILINE)
_TAIL = 8192
_TAIL_LINES = 20
_MOST = 64 * 1024 * 1024
"""Bytes that are unpacked of one file: what is larger is no result of ours."""


@dataclass(frozen=True, slots=True)
class Said:
    """An output sandbox, opened.

    Attributes:
        members: the files of the results' archive by their names; empty if there is none.
        stdout, stderr: what the start script and the worker wrote.
    """

    members: Mapping[str, bytes]
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker said in its last line: all that it left, and where it was."""

    site: str
    said: Said


@dataclass(frozen=True, slots=True)
class Place:
    """What DIRAC says of a job of its own."""

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


def opened(sandbox: bytes | None) -> Said:
    """Read an output sandbox; what is damaged is as if it were not there."""
    if sandbox is None:
        return Said({})
    outer = dict(_files(sandbox))
    inner = outer.get(jdl.RESULTS)
    members = dict(_files(inner)) if inner is not None else {}
    return Said(members, outer.get(jdl.STDOUT, b""), outer.get(jdl.STDERR, b""))


def reported(text: str, jobs: Iterable[JobId]) -> Report | None:
    """Read the last line of what a worker wrote; None if it is not there, damaged, or not about all of these jobs."""
    found = _REPORT.findall(text)
    if not found:
        return None
    site, archive = found[-1]
    try:
        members = dict(_files(gzip.decompress(base64.b64decode(archive, validate=True))))
    except (ValueError, OSError, EOFError, zlib.error):
        return None
    if any(f"{job}/result.json" not in members for job in jobs):
        return None
    return Report(site, Said(members))


def without_report(text: str) -> str:
    """What a worker wrote, for people: without the line that is for us."""
    return _REPORT.sub("", text)


def result_of(job: Job, said: Said, place: Place, folder: Path) -> JobResult:
    """The result of a job, from the sandbox of the DIRAC job that held it. Its logs are written into ``folder``."""
    text = said.members.get(f"{job.id}/result.json")
    try:
        result = result_from_json(text) if text is not None else None
    except (msgspec.ValidationError, ValueError):
        result = None
    if result is None or result.id != job.id:
        return lost(job, place, said, folder)
    logs = {stream: _log(said, job.id, stream, folder) for stream in ("stdout", "stderr")}
    usage = result.usage and replace(result.usage, site=place.site)
    result = replace(result, stdout_log=logs["stdout"], stderr_log=logs["stderr"], usage=usage)
    if result.outcome is Outcome.SUCCESS:
        return _with_outputs(result, said, folder)
    if result.outcome is Outcome.CANCELLED:
        # Nobody here asked for it: the site's batch system or DIRAC did.
        result = replace(result, outcome=Outcome.TEMPORARY_FAILURE)
    reason = result.reason or f"It ended with exit code {result.exit_code}."
    return replace(result, reason=f"{reason} [{place}]")


def lost(job: Job, place: Place, said: Said, folder: Path) -> JobResult:
    """The result of a job that left none: the place failed, and that may pass."""
    written = {"stdout": said.stdout, "stderr": said.stderr}
    logs = {name: _written(folder / f"{name}.log", content) if content else None for name, content in written.items()}
    tail = b"".join((said.stderr or said.stdout)[-_TAIL:].splitlines(keepends=True)[-_TAIL_LINES:])
    meant = place.status in ("Killed", "Deleted")  # a person's decision: to run it again would not be obeying
    return JobResult(
        job.id,
        Outcome.PERMANENT_FAILURE if meant else Outcome.TEMPORARY_FAILURE,
        reason=f"The job left no result. {place}. {what_to_do(place)}",
        stdout_log=logs["stdout"],
        stderr_log=logs["stderr"],
        stderr_tail=tail.decode("utf-8", "replace"),
    )


def what_to_do(place: Place) -> str:
    """A sentence on what a state without a result means."""
    words = f"{place.status} {place.minor} {place.application}".lower()
    for sign, advice in _ADVICE:
        if sign in words:
            return advice
    return f"dirac-wms-job-logging-info {place.number} shows what DIRAC did with it."


_ADVICE = (
    ("input sandbox", "The node could not get its input sandbox: is DIRAC's SandboxStore up?"),
    ("proxy", "The job's proxy was not to be had: upload one with dirac-proxy-init -U."),
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


def _with_outputs(result: JobResult, said: Said, folder: Path) -> JobResult:
    """The result with what came in the sandbox written to this machine."""
    if not any(file.location.startswith(IN_SANDBOX) for file in result.files) and result.outdir != IN_SANDBOX:
        return result
    out = folder / "out"
    for name, content in said.members.items():
        relative = name.removeprefix(f"{result.id}/out/")
        if relative != name and ".." not in relative.split("/"):
            path = out / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    out.mkdir(parents=True, exist_ok=True)
    for file in result.files:
        if file.kind == "directory" and file.location.startswith(IN_SANDBOX):
            (out / file.path).mkdir(parents=True, exist_ok=True)
    return replace(
        result,
        files=tuple(_placed(file, out) for file in result.files),
        outdir=_url(out) if result.outdir == IN_SANDBOX else result.outdir,
    )


def _placed(file: ProducedFile, out: Path) -> ProducedFile:
    if not file.location.startswith(IN_SANDBOX):
        return file
    return replace(file, location=_url(out / file.location.removeprefix(IN_SANDBOX)))


def _url(path: Path) -> str:
    return "file://" + quote(os.fsencode(path))


def _log(said: Said, job: JobId, stream: str, folder: Path) -> str | None:
    content = said.members.get(f"{job}/{stream}.log")
    return _written(folder / f"{stream}.log", content) if content else None


def _written(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def _files(archive: bytes) -> Iterable[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in members:
                if member.isfile() and member.size <= _MOST and (content := members.extractfile(member)) is not None:
                    yield member.name.removeprefix("./"), content.read()
    except (tarfile.TarError, EOFError, OSError):
        return
