"""Summary of a run's jobs by site and state, for backends with a choice of sites."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gridcwl.model import JobEvent, JobId

_MOST = 12


@dataclass(slots=True)
class SiteSummary:
    """Jobs by site, and by their state there."""

    _jobs: dict[JobId, tuple[str, str]] = field(default_factory=dict)

    def moved(self, event: JobEvent) -> None:
        """A site reports the state of a job."""
        self._jobs[event.id] = (event.site, event.detail)

    def ended(self, job: JobId) -> None:
        """A job has ended."""
        self._jobs.pop(job, None)

    def rows(self) -> list[tuple[str, str, int]]:
        """Site, state and number of jobs; those without a site first; at most so many as can be read."""
        counted = Counter(self._jobs.values())
        rows = [(site, detail, number) for (site, detail), number in sorted(counted.items())]
        if len(rows) <= _MOST:
            return rows
        rest = sum(number for _, _, number in rows[_MOST - 1 :])
        return [*rows[: _MOST - 1], ("...", "", rest)]

    def line(self) -> str:
        """The same in one line; empty if there is nothing to say."""
        return "; ".join(
            f"{number} {detail}" + (f" at {site}" if site else "") for site, detail, number in self.rows() if number
        )
