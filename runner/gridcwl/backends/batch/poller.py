"""Queries the states of all active jobs in bulk: often while things happen, seldom while nothing does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gridcwl.backends.batch.states import State


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
    """The polling loop. It sleeps while no job is active, until :meth:`wake` is called."""

    def __init__(
        self,
        pace: Pace,
        active: Callable[[], Sequence[int]],
        query: Callable[[Sequence[int]], Awaitable[Mapping[int, State]]],
        update: Callable[[Sequence[int], Mapping[int, State]], Awaitable[bool]],
        *,
        linger_s: float,
    ) -> None:
        """Prepare.

        Args:
            pace: the intervals.
            active: the numbers of the jobs to query.
            query: the states of these jobs, in one call; those that are unknown are left out.
            update: takes in the states; whether any of them is new.
            linger_s: wait so long after :meth:`wake`: jobs are seldom submitted alone.
        """
        self._pace, self._active, self._query, self._update = pace, active, query, update
        self._linger_s = linger_s
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Query now, without waiting for the interval to pass."""
        self._awake.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        wait = self._pace.first_s
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), wait if self._active() else None)
            woken = self._awake.is_set()
            self._awake.clear()
            if woken:
                await asyncio.sleep(self._linger_s)
            begun = time.monotonic()
            numbers = self._active()
            if not numbers:
                wait = self._pace.first_s
                continue
            states = await self._query(numbers)
            took_s = time.monotonic() - begun
            changed = await self._update(numbers, states)
            wait = self._pace.next(changed=changed or woken, took_s=took_s)
