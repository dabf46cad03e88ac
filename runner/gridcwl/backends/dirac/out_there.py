"""The DIRAC jobs of a session that are out there, and which of ours each of them holds. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from gridcwl.backends.dirac.following import Phase, Watched, phase
from gridcwl.backends.dirac.results import Place
from gridcwl.model import Job, JobId


@dataclass(slots=True)
class Out:
    """A DIRAC job that is out there, with those of ours that it holds."""

    number: int
    jobs: dict[JobId, Job]
    near: bool = False
    """It keeps to sites that hold its inputs, and need not."""
    watched: Watched = field(default_factory=Watched)
    widened: float | None = None
    """When it was told to end, so that another one may run anywhere (monotonic seconds)."""
    fetching: bool = False
    """It has ended, and its results are on their way."""

    @property
    def place(self) -> Place:
        """What DIRAC said of it last."""
        seen = self.watched
        return Place(self.number, seen.status, seen.minor, seen.application, seen.site)

    @property
    def phase(self) -> Phase:
        """Where it is in its life, as DIRAC said last."""
        return phase(self.watched.status)


@dataclass(slots=True)
class OutThere:
    """All of them, by their numbers and by the jobs that they hold."""

    _out: dict[int, Out] = field(default_factory=dict)
    _number_of: dict[JobId, int] = field(default_factory=dict)
    cancelled: set[JobId] = field(default_factory=set)
    """Jobs that nobody wants any more."""

    def __bool__(self) -> bool:
        return bool(self._out)

    def __contains__(self, number: int) -> bool:
        return number in self._out

    def __getitem__(self, number: int) -> Out:
        return self._out[number]

    def add(self, out: Out) -> None:
        """One more; or one that holds more of ours than before."""
        self._out[out.number] = out
        self._number_of.update(dict.fromkeys(out.jobs, out.number))

    def get(self, number: int) -> Out | None:
        """The one with this number, if it is there."""
        return self._out.get(number)

    def forget(self, out: Out) -> None:
        """It has ended, and so have all that it held."""
        if self._out.get(out.number) is not out:
            return  # another has its number: jobs of an earlier session, asked for one after the other
        del self._out[out.number]
        for job_id in out.jobs:
            if self._number_of.get(job_id) == out.number:
                del self._number_of[job_id]
            self.cancelled.discard(job_id)

    def holding(self, job: JobId) -> Out | None:
        """The one that holds this job of ours, if it is out there."""
        return self._out.get(self._number_of.get(job, -1))

    def followed(self) -> list[int]:
        """The numbers of those that have not ended."""
        return [number for number, out in self._out.items() if not out.fetching]

    def held_by(self, wanted: Collection[JobId]) -> Iterator[Out]:
        """Those that hold jobs of these and no others."""
        wanted = set(wanted)
        for number in {self._number_of[job_id] for job_id in wanted & self._number_of.keys()}:
            out = self._out[number]
            if out.jobs.keys() <= wanted:
                yield out

    def unwanted(self, out: Out) -> bool:
        """Whether all that it holds is cancelled."""
        return out.jobs.keys() <= self.cancelled
