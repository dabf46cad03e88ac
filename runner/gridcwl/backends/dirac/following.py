"""What DIRAC's states mean for us, and when to ask again. Pure decisions; asking is the backend's business.

The states are those of DIRAC's ``JobStatus``: a job that failed may come back by itself (Rescheduled), one that is
Stalled may go on, one that is Killed may still run for a moment.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

_WAITING = {"Submitting", "Received", "Checking", "Staging", "Scouting", "Waiting", "Rescheduled", "Matched"}
_RUNNING = {"Running", "Completing", "Completed"}
_ENDED = {"Done", "Failed", "Killed"}
_GONE = {"Deleted", "Removed"}


class Phase(enum.Enum):
    """Where a DIRAC job is in its life, as far as we act on it."""

    WAITING = "waiting"
    RUNNING = "running"
    STALLED = "stalled"
    """It gives no sign of life; it may again."""
    ENDED = "ended"
    """Its sandbox can be fetched."""
    GONE = "gone"
    """DIRAC knows nothing of it any more."""


def phase(status: str | None) -> Phase:
    """The phase of a state; None is for a job that DIRAC does not know."""
    if status is None or status in _GONE:
        return Phase.GONE
    if status in _ENDED:
        return Phase.ENDED
    if status == "Stalled":
        return Phase.STALLED
    return Phase.RUNNING if status in _RUNNING else Phase.WAITING


@dataclass(slots=True)
class Watched:
    """What is known of one DIRAC job."""

    status: str = "Submitting"
    minor: str = ""
    application: str = ""
    site: str = ""
    unknown: int = 0
    """How often in a row DIRAC did not know it."""
    stalled_since: float | None = None
    waiting_since: float | None = None

    def see(self, state: tuple[str, str, str] | None, now: float) -> bool:
        """Take in what DIRAC says (status, minor and application status; None if it says nothing).

        Returns:
            Whether that is anything new.
        """
        if state is None:
            self.unknown += 1
            return False
        if phase(state[0]) is not Phase.WAITING:
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = now
        self.unknown = 0
        changed = state != (self.status, self.minor, self.application)
        self.status, self.minor, self.application = state
        if phase(self.status) is not Phase.STALLED:
            self.stalled_since = None
        elif self.stalled_since is None:
            self.stalled_since = now
        return changed

    def waited(self, now: float) -> float:
        """For how many seconds it has not started."""
        return 0.0 if self.waiting_since is None else now - self.waiting_since

    def verdict(self, now: float, *, patience_s: float, misses: int = 3) -> Phase:
        """The phase, with those that are given up as GONE: unknown for long, or stalled for long."""
        if self.unknown >= misses:
            return Phase.GONE
        found = phase(self.status)
        if found is Phase.STALLED and self.stalled_since is not None and now - self.stalled_since > patience_s:
            return Phase.GONE
        return found


@dataclass(slots=True)
class Pace:
    """How long to wait before asking again: short while things happen, longer while nothing does.

    Never so short that asking takes more than a twentieth of the time: that much load on the server is enough.
    """

    first_s: float = 1.0
    top_s: float = 30.0
    growth: float = 1.5
    _wait_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._wait_s = self.first_s

    def next(self, *, changed: bool, took_s: float) -> float:
        """Seconds to wait after a look that showed something new or not, and took so long."""
        self._wait_s = self.first_s if changed else min(self.top_s, self._wait_s * self.growth)
        return max(self._wait_s, min(self.top_s, 20 * took_s))
