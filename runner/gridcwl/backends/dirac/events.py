"""What the submitter and the monitor report to the backend, which reads it where results are waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gridcwl.model import Job, JobEvent, JobResult


@dataclass(frozen=True, slots=True)
class Ended:
    """A job has ended, or DIRAC does not accept it."""

    job: Job
    result: JobResult
    site: str = ""
    """Where it ran; empty if it did not."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """A job that was to run near its inputs has not started there, and was killed: it may run anywhere now."""

    job: Job


Event: TypeAlias = JobEvent | Ended | NotStarted | Exception | None
"""An exception ends the backend's work; None is the last event."""
