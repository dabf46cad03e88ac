"""The phases of a batch job's life, and what is known of one job. Pure; a backend supplies what its states mean."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

State: TypeAlias = tuple[str, str, str]
"""A job's status, with two levels of detail; empty where the batch system has none."""


class Phase(enum.Enum):
    """Where a batch job is in its life, as far as gridcwl acts on it."""

    WAITING = "waiting"
    RUNNING = "running"
    STALLED = "stalled"
    """It gives no sign of life; it may again."""
    ENDED = "ended"
    """Its results can be fetched."""
    GONE = "gone"
    """The batch system does not know it any more."""


@dataclass(slots=True)
class Tracked:
    """What is known of one batch job."""

    phase_of: Callable[[str | None], Phase]
    """The meaning of a status; None is for a job that the batch system does not know."""
    status: str
    minor: str = ""
    application: str = ""
    site: str = ""
    unknown: int = 0
    """How often in a row the batch system did not know it."""
    stalled_since: float | None = None
    waiting_since: float | None = None

    @property
    def phase(self) -> Phase:
        """Where it is in its life, by its last known status."""
        return self.phase_of(self.status)

    def see(self, state: State | None, now: float) -> bool:
        """Take in a reported state; None if none was reported.

        Returns:
            Whether it differs from the last one.
        """
        if state is None:
            self.unknown += 1
            return False
        phase = self.phase_of(state[0])
        if phase is not Phase.WAITING:
            self.waiting_since = None
        elif self.waiting_since is None:
            self.waiting_since = now
        self.unknown = 0
        changed = state != (self.status, self.minor, self.application)
        self.status, self.minor, self.application = state
        if phase is not Phase.STALLED:
            self.stalled_since = None
        elif self.stalled_since is None:
            self.stalled_since = now
        return changed

    def waited(self, now: float) -> float:
        """For how many seconds it has not started."""
        return 0.0 if self.waiting_since is None else now - self.waiting_since

    def verdict(self, now: float, *, patience_s: float, misses: int = 3) -> Phase:
        """The phase, with jobs that are given up as GONE: unknown for long, or stalled for long."""
        if self.unknown >= misses:
            return Phase.GONE
        phase = self.phase
        if phase is Phase.STALLED and self.stalled_since is not None and now - self.stalled_since > patience_s:
            return Phase.GONE
        return phase
