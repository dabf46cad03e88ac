"""What comes back from a job: its result, and the states that it went through."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from gridcwl.model.job import JobId

RESULT_FORMAT: Literal["gridcwl-result/1"] = "gridcwl-result/1"


class JobState(enum.StrEnum):
    """Where a job is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Outcome(enum.StrEnum):
    """How a job ended."""

    SUCCESS = "success"
    TEMPORARY_FAILURE = "temporary-failure"
    """The tool ended with one of its ``temporaryFailCodes``, or the place failed in a way that may pass."""
    PERMANENT_FAILURE = "permanent-failure"
    TIME_LIMIT = "time-limit"
    OUT_OF_MEMORY = "out-of-memory"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ProducedFile:
    """One entry of the output directory after the tool ended."""

    path: str
    """Relative to the output directory, ``/`` between its parts. Bytes that are not UTF-8 are surrogate-escaped."""
    kind: Literal["file", "directory"]
    location: str
    """The URL of the bytes."""
    size: int = 0
    sha1: str | None = None
    """Hexadecimal; None for a directory, and for a staged input that was passed through."""
    adler32: str | None = None
    contents: str | None = None
    """Base64 of the first bytes, at most 64 KiB, where the job's rules asked for them; ``cwl.output.json`` whole."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a job cost."""

    started: str
    """UTC, ISO 8601."""
    wall_s: float
    """From before inputs were staged until outputs were collected and stored."""
    cpu_s: float | None = None
    """CPU time of all processes of the tool, user and system; None if it was not measured, as for all that follows."""
    max_rss_mib: float | None = None
    """The most memory that the tool's processes had at a time, without the cache of files."""
    read_bytes: int | None = None
    """Bytes that the tool read by system calls, from files, pipes and the network; of a container at least those that
    came from disks."""
    written_bytes: int | None = None
    """As ``read_bytes``."""
    disk_bytes: int | None = None
    """Bytes in the job's output and temporary directories when the tool had ended, without inputs."""
    fetched_bytes: int | None = None
    """Bytes of inputs that were transferred to the job's disk, each counted once; 0 if all were read in place."""
    host: str = ""
    site: str = ""
    """Where on the grid that was; empty for this machine."""
    batch_job: str = ""
    """The id that a batch system gave it: the number of the DIRAC job."""


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How one of a job's processes ended."""

    exit_code: int
    started: str
    """UTC, ISO 8601."""
    ended: str
    stdout: str = ""
    """The last lines of the stream, wherever it was written to."""
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came back from one attempt of a job."""

    id: JobId
    outcome: Outcome
    exit_code: int | None = None
    """What the tool returned; minus the signal's number if a signal ended it; None if it never ran."""
    reason: str = ""
    """Why it failed, one sentence, where the exit code does not say it all."""
    files: tuple[ProducedFile, ...] = ()
    escaped: tuple[str, ...] = ()
    """Paths, as in ``files``, of symbolic links that lead out of the output directory; they were not followed."""
    left: tuple[str, ...] = ()
    """What is in the output directory, folders with ``/``, if one of the job's globs matched nothing; cut if long."""
    outdir: str = ""
    """The URL of the output directory itself; empty if it is kept nowhere as a whole."""
    stdout_log: str | None = None
    """Where the stream was kept, for people."""
    stderr_log: str | None = None
    stderr_tail: str = ""
    """The last lines of the tool's stderr; filled when the job failed."""
    usage: Usage | None = None
    element: str = ""
    """The storage element that holds the files that the job has put into the store; empty if it has put none."""
    image: str = ""
    """The digest of the image that the tool ran in, as the engine there had it: ``debian@sha256:...``, ``sha256:...``;
    empty for the bare command, and where an engine keeps none."""
    fetched: tuple[str, ...] = ()
    """The URLs that inputs were in fact read from, where a job had a choice."""
    tool_outdirs: tuple[str, ...] = ()
    """The paths by which a tool without a container knew its output directory, where an ``outputEval`` may meet them.
    They only ever lead to ``files``."""
    processes: tuple[ProcessResult, ...] = ()
    """Of a job with several processes: those that ran."""
    format: Literal["gridcwl-result/1"] = RESULT_FORMAT


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job changed its state; the event that ends it brings its result."""

    id: JobId
    state: JobState
    result: JobResult | None = None
    site: str = ""
    detail: str = ""
    """What the place itself says of the state: ``Waiting: Pilot Agent Submission``."""
