"""Names of batch jobs: a name says which jobs of the run it holds, and which attempt, and can be read back.

A job id ends with a number. ``20260102-030405-abcdef-1-17`` is the job with the number 17 of the run's first session,
``...-17.2`` its second attempt, and ``...-17:20_25`` one batch job that holds five jobs. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gridcwl.errors import BackendError
from gridcwl.model import Job, JobId

_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*-)(0|[1-9][0-9]{0,11})\Z")
_NAME = re.compile(
    r"(?P<prefix>[A-Za-z0-9][A-Za-z0-9._-]*-[0-9]+-)(?P<span>[0-9]+(?::[0-9]+)?(?:_[0-9]+(?::[0-9]+)?)*)"
    r"(?:\.(?P<attempt>[0-9]+))?\Z"
)


class Held(NamedTuple):
    """The jobs that a batch job holds, by its name."""

    jobs: tuple[JobId, ...]
    attempt: int


def split(job_id: JobId) -> tuple[str, int]:
    """What all jobs of a session have in common, and the number of this one.

    Raises:
        BackendError: the id has no such form.
    """
    found = _ID.match(job_id)
    if found is None:
        raise BackendError(f"The job id {job_id!r} cannot name a batch job: it has to end with - and a number")
    return found[1], int(found[2])


def span(numbers: Iterable[int]) -> str:
    """Numbers as one word: ``17:20_25``."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return "_".join(str(first) if first == last else f"{first}:{last}" for first, last in ranges)


def numbers(word: str) -> list[int]:
    """The numbers of a span."""
    found: list[int] = []
    for part in word.split("_"):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


def name_of(jobs: Sequence[Job]) -> str:
    """The name of the batch job that holds these, which are of one session and one attempt."""
    prefix, _ = split(jobs[0].id)
    word = span(split(job.id)[1] for job in jobs)
    return prefix + word + suffix(jobs[0].attempt)


def suffix(attempt: int) -> str:
    """The end of the name of a job's later attempts."""
    return "" if attempt == 1 else f".{attempt}"


def jobs_in_name(name: str, run: str) -> Held | None:
    """The jobs that a batch job of this run holds; None if the name is not of this form."""
    found = _NAME.match(name)
    if found is None or not found["prefix"].startswith(run + "-"):
        return None
    jobs = tuple(JobId(f"{found['prefix']}{number}") for number in numbers(found["span"]))
    return Held(jobs, int(found["attempt"] or 1))
