"""The plain values that travel through the house: Job, JobResult, JobState, Resources. No I/O, no CWL."""

from gridcwl.model.job import (
    ExitCodes,
    Image,
    Job,
    JobDirectories,
    JobId,
    OutputRules,
    Resources,
    RunId,
    StagedFile,
)
from gridcwl.model.result import JobEvent, JobResult, JobState, Outcome, ProducedFile, Usage

__all__ = [
    "ExitCodes",
    "Image",
    "Job",
    "JobDirectories",
    "JobEvent",
    "JobId",
    "JobResult",
    "JobState",
    "Outcome",
    "OutputRules",
    "ProducedFile",
    "Resources",
    "RunId",
    "StagedFile",
    "Usage",
]
