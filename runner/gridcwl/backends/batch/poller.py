"""Queries the states of all active jobs in bulk: often while things happen, seldom while nothing does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from gridcwl.backends.batch.active_jobs import ActiveJobs


@dataclass(slots=True)
class Pace:
    """How long to wait before the next query: short while things happen, longer while nothing does.

    Never so short that queries take more than a twentieth of the time: that much load on the server is enough.
    """

    first_s: float = 1.0
    top_s: float = 30.0
    growth: float = 1.5
    _wait_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._wait_s = self.first_s

    def next(self, *, changed: bool, took_s: float) -> float:
        """Seconds to wait after a query that took so long and showed something new or not."""
        self._wait_s = self.first_s if changed else min(self.top_s, self._wait_s * self.growth)
        return max(self._wait_s, min(self.top_s, 20 * took_s))


class Poller:
    """When to query the active jobs, and which. It sleeps while none is active, until :meth:`wake` is called.

    ::

        while True:
            states = await query(await poller.due())
            poller.answered()
            poller.polled(changed=update(states))
    """

    def __init__(self, pace: Pace, active: ActiveJobs, *, linger_s: float) -> None:
        """Prepare.

        Args:
            pace: the intervals.
            active: the jobs to query.
            linger_s: wait so long after :meth:`wake`: jobs are seldom submitted alone.
        """
        self._pace, self._active, self._linger_s = pace, active, linger_s
        self._wait_s = pace.first_s
        self._awake = asyncio.Event()
        self._woken = False
        self._begun = self._took_s = 0.0

    def wake(self) -> None:
        """Query now, without waiting for the interval to pass."""
        self._awake.set()

    async def due(self) -> list[int]:
        """Wait for the next query; returns the numbers of the jobs to query, one at least."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), self._wait_s if self._active.followed() else None)
            self._woken = self._awake.is_set()
            self._awake.clear()
            if self._woken:
                await asyncio.sleep(self._linger_s)
            if numbers := self._active.followed():
                self._begun = time.monotonic()
                return numbers
            self._wait_s = self._pace.first_s

    def answered(self) -> None:
        """The states are here: what is done with them does not count as load on the server."""
        self._took_s = time.monotonic() - self._begun

    def polled(self, *, changed: bool) -> None:
        """Choose the next interval; ``changed``: a state is new."""
        self._wait_s = self._pace.next(changed=changed or self._woken, took_s=self._took_s)
