"""Several short jobs in one batch job, so that each does not pay for a slot of its own. Pure functions."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gridcwl.backends.batch.names import span, split, suffix
from gridcwl.model import Job, JobResult

Pack: TypeAlias = int | Literal["auto"]

_WORTH_S = 600.0
"""A batch job that takes so long is worth its slot."""
_GUESS_S = 60.0
"""The guess for a job of which nothing is known."""
_MOST = 50
_ALIKE = 1.5
"""Jobs whose expected times differ by no more than this factor are taken in the order of their numbers."""
_BY_SIZE = (0.1, 10.0)
"""How far the size of a job's inputs may move what is expected of it, against the mean of its step."""


@dataclass(frozen=True, slots=True)
class BatchPart:
    """The jobs that one batch job runs: one, or several that share its cores."""

    span: str
    jobs: tuple[Job, ...]
    processors: int = 1
    """What the batch job requests; it may be given more."""


@dataclass(slots=True)
class _Seen:
    number: int = 0
    seconds: float = 0.0
    bytes: int = 0


@dataclass(slots=True)
class Durations:
    """How long the jobs of each step took, in the mean, and how much they read."""

    _seen: dict[str, _Seen] = field(default_factory=dict)

    def add(self, job: Job, result: JobResult) -> None:
        """A job ended."""
        if result.usage is not None:
            seen = self._seen.setdefault(step_of(job.name), _Seen())
            seen.number += 1
            seen.seconds += result.usage.wall_s
            seen.bytes += input_bytes(job)

    def expected(self, jobs: Sequence[Job]) -> list[float]:
        """Seconds for each of these jobs.

        What the jobs of its step took, in proportion to the size of its inputs; as long as none has ended, the tool's
        time limit, or else a guess in proportion to what the others here read.
        """
        sizes = [input_bytes(job) for job in jobs]
        usual = sum(sizes) / len(sizes) if sizes else 0.0
        return [self._expected(job, size, usual) for job, size in zip(jobs, sizes, strict=True)]

    def _expected(self, job: Job, size: int, usual: float) -> float:
        seen = self._seen.get(step_of(job.name))
        if seen is not None:
            return seen.seconds / seen.number * _scale(size, seen.bytes / seen.number)
        limit = job.resources.time_limit_s
        return min(_GUESS_S, limit) if limit else _GUESS_S * _scale(size, usual)


def _scale(size: int, usual: float) -> float:
    return min(max(size / usual, _BY_SIZE[0]), _BY_SIZE[1]) if usual else 1.0


def size_of(pack: Pack, expected_s: float, waiting: int, slots: int) -> int:
    """How many jobs go into one batch job.

    Args:
        pack: what the user wants; ``auto`` makes batch jobs of about ten minutes, but rather many than long ones.
        expected_s: for one job.
        waiting: jobs that could be packed together.
        slots: batch jobs that could run at a time.
    """
    if pack != "auto":
        return max(1, pack)
    worth = int(_WORTH_S / max(expected_s, 0.1))
    spread = -(-waiting // max(1, slots))
    return max(1, min(worth, spread, _MOST))


def parts(
    jobs: Sequence[Job], size: int, processors: int, expected_s: Sequence[float], *, longest_name: int
) -> list[BatchPart]:
    """The jobs in parts of at most this size, whose names are not too long.

    Jobs that take about the same time are taken in the order of their numbers. Others are dealt out by time, the
    longest first to the part that has least to do: parts take about the same time, and in each the longest come first,
    so that the node's cores end together.

    Args:
        jobs: of one session and one attempt.
        size: most jobs of a part.
        processors: that each batch job requests.
        expected_s: seconds for each job.
        longest_name: characters of a batch job's name that the batch system keeps.
    """
    if size <= 1:
        return [_part([job], processors) for job in jobs]
    timed = sorted(zip(jobs, expected_s, strict=True), key=lambda each: split(each[0].id)[1])
    if max(expected_s) <= _ALIKE * min(expected_s):
        return [_part(some, processors) for some in _in_order([job for job, _ in timed], size, longest_name)]
    return [_part(some, processors) for some in _dealt(timed, size, longest_name)]


def _in_order(jobs: Sequence[Job], size: int, longest_name: int) -> list[list[Job]]:
    made: list[list[Job]] = []
    for job in jobs:
        if made and len(made[-1]) < size and _is_short([*made[-1], job], longest_name):
            made[-1].append(job)
        else:
            made.append([job])
    return made


def _dealt(timed: Sequence[tuple[Job, float]], size: int, longest_name: int) -> list[list[Job]]:
    size = min(size, _fit_a_name([job for job, _ in timed], longest_name))
    made: list[list[Job]] = [[] for _ in range(-(-len(timed) // size))]
    least = [(0.0, number) for number in range(len(made))]  # a heap: what each part that has room has to do
    for job, seconds in sorted(timed, key=lambda each: -each[1]):
        load, number = heapq.heappop(least)
        made[number].append(job)
        if len(made[number]) < size:
            heapq.heappush(least, (load + seconds, number))
    return made


def _part(jobs: Sequence[Job], processors: int) -> BatchPart:
    return BatchPart(span(split(job.id)[1] for job in jobs), tuple(jobs), processors)


def _fit_a_name(jobs: Sequence[Job], longest: int) -> int:
    """How many of these jobs have room in a name, however far apart their numbers are."""
    prefix, _ = split(jobs[0].id)
    digits = max(len(str(split(job.id)[1])) for job in jobs)
    return max(1, (longest - len(prefix) - len(suffix(jobs[0].attempt)) + 1) // (digits + 1))


def _is_short(jobs: Sequence[Job], longest: int) -> bool:
    """Whether the batch system keeps the whole name of a job that holds these."""
    return len(split(jobs[0].id)[0] + span(split(job.id)[1] for job in jobs) + suffix(jobs[0].attempt)) <= longest


def step_of(name: str) -> str:
    """The step that a job's name says, whatever the shard: ``align/sort[3]`` is of ``align/sort``."""
    return "/".join(part.partition("[")[0] for part in name.split("/"))


def input_bytes(job: Job) -> int:
    """The size of all inputs that have to be fetched, as far as it is known."""
    return sum(entry.size or 0 for entry in job.staged if entry.sources)
