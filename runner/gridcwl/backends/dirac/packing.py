"""Several short jobs in one DIRAC job, so that each does not pay for a pilot of its own. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gridcwl.backends.dirac.matching import step_of
from gridcwl.backends.dirac.names import LONGEST, span, split, suffix
from gridcwl.backends.dirac.sandbox import Part
from gridcwl.model import Job, JobResult

Pack: TypeAlias = int | Literal["auto"]

_WORTH_S = 600.0
"""A DIRAC job that takes so long is worth its pilot."""
_GUESS_S = 60.0
"""For a job of which nothing is known."""
_MOST = 50


@dataclass(slots=True)
class Durations:
    """How long the jobs of each step took, in the mean."""

    _sums: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, job: Job, result: JobResult) -> None:
        """A job ended."""
        if result.usage is not None:
            seconds, number = self._sums.get(step_of(job.name), (0.0, 0))
            self._sums[step_of(job.name)] = (seconds + result.usage.wall_s, number + 1)

    def expected(self, job: Job) -> float:
        """Seconds; a guess as long as none of its kind has ended."""
        seconds, number = self._sums.get(step_of(job.name), (0.0, 0))
        if number:
            return seconds / number
        limit = job.resources.time_limit_s
        return min(_GUESS_S, limit) if limit else _GUESS_S


def size_of(pack: Pack, expected_s: float, waiting: int, slots: int) -> int:
    """How many jobs go into one DIRAC job.

    Args:
        pack: what the user wants; ``auto`` makes DIRAC jobs of about ten minutes, but rather many than long ones.
        expected_s: for one job.
        waiting: jobs that could be packed together.
        slots: DIRAC jobs that could run at a time.
    """
    if pack != "auto":
        return max(1, pack)
    worth = int(_WORTH_S / max(expected_s, 0.1))
    spread = -(-waiting // max(1, slots))
    return max(1, min(worth, spread, _MOST))


def parts(jobs: Sequence[Job], size: int, processors: int) -> list[Part]:
    """The jobs, which are of one session and attempt, in parts of at most this size whose names are not too long."""
    if size <= 1:
        return [Part(str(split(job.id)[1]), (job,), processors) for job in jobs]
    made: list[Part] = []
    current: list[Job] = []
    for job in sorted(jobs, key=lambda job: split(job.id)[1]):
        if len(current) == size or (current and len(_name([*current, job])) > LONGEST):
            made.append(_part(current, processors))
            current = []
        current.append(job)
    if current:
        made.append(_part(current, processors))
    return made


def _part(jobs: Sequence[Job], processors: int) -> Part:
    return Part(span(split(job.id)[1] for job in jobs), tuple(jobs), processors)


def _name(jobs: Sequence[Job]) -> str:
    return split(jobs[0].id)[0] + span(split(job.id)[1] for job in jobs) + suffix(jobs[0].attempt)
