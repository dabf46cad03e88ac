"""Plain values that all layers share: Job, JobResult, JobState, Resources. No I/O, no CWL."""

from gridcwl.model.files import FileInfo, FileRef, NewFile, Site, StagePlan
from gridcwl.model.job import (
    ExitCodes,
    Image,
    Job,
    JobDirectories,
    JobId,
    OutputRules,
    Placement,
    Process,
    Resources,
    RunId,
    StagedFile,
    Storage,
    StorageElement,
)
from gridcwl.model.result import JobEvent, JobResult, JobState, Outcome, ProcessResult, ProducedFile, Usage

__all__ = [
    "ExitCodes",
    "FileInfo",
    "FileRef",
    "Image",
    "Job",
    "JobDirectories",
    "JobEvent",
    "JobId",
    "JobResult",
    "JobState",
    "NewFile",
    "Outcome",
    "OutputRules",
    "Placement",
    "Process",
    "ProcessResult",
    "ProducedFile",
    "Resources",
    "RunId",
    "Site",
    "StagePlan",
    "StagedFile",
    "Storage",
    "StorageElement",
    "Usage",
]
