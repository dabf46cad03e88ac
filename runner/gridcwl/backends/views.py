"""What commands show of a backend: its batch jobs, and where the jobs of a plan could run. Plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gridcwl.model import Image, Job, JobId, Resources


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


# -- plans ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepJobs:
    """The jobs of a step that is planned."""

    sample: Job
    """Stands for all of them: with the resources and hints that are known."""
    jobs: tuple[Job, ...] = ()
    """Those that are known before any job has run."""
    number: int | None = None
    """How many there will be; None if that is unknown."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Where the jobs of a step could run."""

    problem: str = ""
    """Why they could run nowhere, whatever the site; nothing else is known then."""
    request: str = ""
    """What is requested for each job: "2 processor(s), 4000 MiB"."""
    sites: tuple[str, ...] = ()
    """Those that can run them."""
    excluded: tuple[tuple[str, str], ...] = ()
    """The other sites, each with a reason; without these and without ``sites``, nobody knows which sites there are."""
    to_move: tuple[int, int] = (0, 0)
    """Bytes of all inputs that are not near the site where their job runs: at the best and at the worst of them."""
    notes: tuple[str, ...] = ()
    """Requests that are not honoured, a sentence each."""
    submissions: int | None = None
    description: str = ""
    """A job as the batch system is given it."""

    @property
    def is_possible(self) -> bool:
        """Whether the jobs could run anywhere."""
        return not self.problem and bool(self.sites or not self.excluded)


class Planner(Protocol):
    """``gridcwl plan`` of a backend with sites: what the function ``open_planner`` of its module gives."""

    @property
    def language(self) -> str:
        """What job descriptions are written in: "JDL"."""

    @property
    def outputs(self) -> str:
        """Where outputs are without a store that carries files: "DIRAC's output sandboxes"."""

    def plan(self, steps: Iterable[StepJobs]) -> Iterator[StepPlan]:
        """Where the jobs of each step could run.

        Raises:
            BackendError: the batch system does not answer.
            ConfigError: a description would hold a name that the batch system does not accept.
        """

    def credential(self) -> str:
        """As whom jobs are submitted, and until when.

        Raises:
            BackendError: there is no valid credential.
        """


@dataclass(frozen=True, slots=True)
class Presence:
    """How an image stands.

    Attributes:
        state: "present", "to be pulled", "to be built", "to be loaded" or "unavailable".
        size: in bytes; as it is on disk if present, compressed if it is to be pulled; None if unknown.
        problem: why it is not known or not available.
    """

    state: str
    size: int | None = None
    problem: str = ""


class MachinePlanner(Protocol):
    """``gridcwl plan`` of a backend with one machine: what the function ``machine_planner`` of its module gives."""

    @property
    def largest(self) -> Resources:
        """The most that one job can get: all that the machine has."""

    def problem(self, jobs: Sequence[Job]) -> str:
        """Why one of these jobs could never start; empty if all could."""

    def at_a_time(self, job: Job, most: int) -> int:
        """How many jobs like this one could run at a time, of so many."""

    def images(self, engine: str, images: Sequence[Image]) -> Mapping[str, Presence]:
        """Which images are on the machine, by their names."""
