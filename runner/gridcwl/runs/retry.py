"""Whether a failed attempt is followed by another, and when. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gridcwl.model import Job, JobResult, Outcome, Resources

_FIRST_S = 1.0
_LONGEST_S = 120.0
_MEMORY_TRIES = 4
"""Further attempts with more memory: with a factor of 2, up to 16 times as much."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and after what.

    A failure that the tool's ``temporaryFailCodes`` name, or that is the place's and may pass, is worth another try.
    One that ran out of memory or time would do so again, and an exit code that is not named as temporary is the tool's
    last word: these are tried again only with ``everything``. What ``permanentFailCodes`` name never is.
    """

    most: int = 0
    everything: bool = False
    memory_factor: float | None = None
    """A job that ran out of memory gets so many times as much, whatever ``most`` is: a few times, as far as the place
    has it."""

    def wanted(self, job: Job, result: JobResult) -> bool:
        """Whether this attempt is to be followed by another."""
        if job.attempt > self.most:
            return False
        if result.outcome is Outcome.TEMPORARY_FAILURE:
            return True
        if not self.everything or result.outcome in (Outcome.SUCCESS, Outcome.CANCELLED):
            return False
        return result.exit_code not in job.exit_codes.permanent_failure

    def more_memory(self, job: Job, result: JobResult, largest: Resources | None) -> int | None:
        """MiB for the next attempt of a job that ran out of memory; None if it is not to have another.

        Args:
            job: with what it had.
            result: of its last attempt.
            largest: what the place has for one job; None if that is not known.
        """
        if self.memory_factor is None or result.outcome is not Outcome.OUT_OF_MEMORY or job.attempt > _MEMORY_TRIES:
            return None
        wanted = math.ceil(job.resources.ram_mib * self.memory_factor)
        wanted = wanted if largest is None else min(wanted, largest.ram_mib)
        return wanted if wanted > job.resources.ram_mib else None


def pause(attempt: int, chance: float) -> float:
    """Seconds to wait after an attempt (the first is 1): twice as long each time, and never the same for all.

    Args:
        attempt: the one that failed.
        chance: evenly between 0 and 1, so that jobs that failed together do not come back together.
    """
    return min(_LONGEST_S, _FIRST_S * 2.0 ** min(attempt - 1, 16)) * (0.5 + chance)
