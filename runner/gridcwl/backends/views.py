"""What commands show of a backend: its batch jobs, and where the jobs of a plan could run. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gridcwl.model import JobId


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A job of a batch system, which holds one job of a run or several."""

    id: str
    state: str
    """For people: "DIRAC job 17: Running, at LCG.Lyon.fr"."""
    is_active: bool
    """It waits, runs, or may run again."""


class BatchJobs(Protocol):
    """The batch jobs of a run: what the function ``open_batch_jobs`` of a backend's module gives."""

    def jobs(self) -> Mapping[JobId, BatchJob]:
        """The batch job of each job, the latest where there are several.

        Raises:
            BackendError: the batch system does not answer.
        """

    def texts(self, batch_job: str) -> Mapping[str, str]:
        """What a batch job has written, as far as the batch system shows it while it runs: by names that people read.

        Raises:
            BackendError: the batch system does not answer.
        """
