"""What a backend is: it moves a Job to a machine and a JobResult back. No CWL here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gridcwl.model import Job, JobEvent, JobId, JobState, Resources, RunId


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, so that the run need not guess."""

    containers: bool
    """Jobs can run in container images."""
    survives_client: bool
    """Jobs go on when the client dies, and ``recover`` finds them."""
    batch_size: int
    """How many jobs one ``submit`` should carry."""
    window: int
    """How many jobs may be under way or waiting in the backend before the run holds back the rest."""
    largest: Resources | None = None
    """The most that one job can be given; None where only the server knows."""
    sees_files: bool = True
    """Jobs can read the files of this machine."""


class Backend(Protocol):
    """Where jobs run. Used as an asynchronous context manager: leaving it stops and removes what still runs here."""

    capabilities: Capabilities

    async def check(self, samples: Sequence[Job]) -> None:
        """Refuse what could never run here, before anything is submitted.

        Args:
            samples: stand for jobs that will come for certain; only their resources and placement say anything.

        Raises:
            BackendError: one of them cannot run; naming the requirement.
        """

    async def submit(self, jobs: Sequence[Job]) -> None:
        """Take the jobs; returns when they are accepted, not when they ran.

        Raises:
            ResourcesExceeded: a job asks for more than the place can ever give; none of the batch is taken.
            BackendError: the place does not answer.
        """

    def results(self) -> AsyncIterator[JobEvent]:
        """State changes and results as they happen, in any order; ends when the backend is closed."""

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """Stop these jobs; each still ends with an event. Jobs that have ended are ignored.

        Args:
            job_ids: which.
            running: those that run, too; if False, only those that have not begun.
        """

    async def recover(self, run: RunId) -> Mapping[JobId, JobState]:
        """After a restart: the run's jobs that are already out there.

        One of these that is submitted again is not started again: its result comes as if it had just been submitted.
        """

    async def settled(self) -> None:
        """Wait until all jobs that were submitted are where they can outlive us, if they can."""

    async def close(self) -> None:
        """Stop everything that runs and release what is held; safe to call twice."""
