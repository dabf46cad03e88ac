"""Whether a failed attempt is followed by another, and when. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from gridcwl.model import Job, JobResult, Outcome

_FIRST_S = 1.0
_LONGEST_S = 120.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and after what.

    A failure that the tool's ``temporaryFailCodes`` name, or that is the place's and may pass, is worth another try.
    One that ran out of memory or time would do so again, and an exit code that is not named as temporary is the tool's
    last word: these are tried again only with ``everything``. What ``permanentFailCodes`` name never is.
    """

    most: int = 0
    everything: bool = False

    def wanted(self, job: Job, result: JobResult) -> bool:
        """Whether this attempt is to be followed by another."""
        if job.attempt > self.most:
            return False
        if result.outcome is Outcome.TEMPORARY_FAILURE:
            return True
        if not self.everything or result.outcome in (Outcome.SUCCESS, Outcome.CANCELLED):
            return False
        return result.exit_code not in job.exit_codes.permanent_failure


def pause(attempt: int, chance: float) -> float:
    """Seconds to wait after an attempt (the first is 1): twice as long each time, and never the same for all.

    Args:
        attempt: the one that failed.
        chance: evenly between 0 and 1, so that jobs that failed together do not come back together.
    """
    return min(_LONGEST_S, _FIRST_S * 2.0 ** min(attempt - 1, 16)) * (0.5 + chance)
