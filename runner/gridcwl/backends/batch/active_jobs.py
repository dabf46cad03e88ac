"""The batch jobs of a session that have not ended, and the gridcwl jobs that each of them holds. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from gridcwl.backends.batch.states import Phase, Tracked
from gridcwl.model import Job, JobId


@dataclass(slots=True)
class ActiveJob:
    """A batch job that has not ended, with the gridcwl jobs that it holds."""

    number: int
    jobs: dict[JobId, Job]
    tracked: Tracked
    near: bool = False
    """It keeps to sites that hold its inputs, and need not."""
    widened: float | None = None
    """When it was killed so that another one may run anywhere (monotonic seconds)."""
    fetching: bool = False
    """It has ended, and its results are being fetched."""

    @property
    def phase(self) -> Phase:
        """Where it is in its life, by its last known status."""
        return self.tracked.phase


@dataclass(slots=True)
class ActiveJobs:
    """All active jobs, by their numbers and by the jobs that they hold."""

    _active: dict[int, ActiveJob] = field(default_factory=dict)
    _number_of: dict[JobId, int] = field(default_factory=dict)
    cancelled: set[JobId] = field(default_factory=set)
    """Jobs that were cancelled."""

    def __bool__(self) -> bool:
        return bool(self._active)

    def __contains__(self, number: int) -> bool:
        return number in self._active

    def __getitem__(self, number: int) -> ActiveJob:
        return self._active[number]

    def add(self, active: ActiveJob) -> None:
        """Add a batch job, or one that holds more jobs than before."""
        self._active[active.number] = active
        self._number_of.update(dict.fromkeys(active.jobs, active.number))

    def get(self, number: int) -> ActiveJob | None:
        """The batch job with this number, if it is active."""
        return self._active.get(number)

    def forget(self, active: ActiveJob) -> None:
        """Remove a batch job that has ended, with all jobs that it held."""
        if self._active.get(active.number) is not active:
            return  # another object has its number: jobs of an earlier session, adopted one after the other
        del self._active[active.number]
        for job_id in active.jobs:
            if self._number_of.get(job_id) == active.number:
                del self._number_of[job_id]
            self.cancelled.discard(job_id)

    def holding(self, job: JobId) -> ActiveJob | None:
        """The batch job that holds this job, if there is one."""
        return self._active.get(self._number_of.get(job, -1))

    def followed(self) -> list[int]:
        """The numbers of the batch jobs that have not ended."""
        return [number for number, active in self._active.items() if not active.fetching]

    def held_by(self, wanted: Collection[JobId]) -> Iterator[ActiveJob]:
        """The batch jobs that hold jobs of these and no others."""
        wanted = set(wanted)
        for number in {self._number_of[job_id] for job_id in wanted & self._number_of.keys()}:
            active = self._active[number]
            if active.jobs.keys() <= wanted:
                yield active

    def unwanted(self, active: ActiveJob) -> bool:
        """Whether all jobs that it holds are cancelled."""
        return active.jobs.keys() <= self.cancelled
