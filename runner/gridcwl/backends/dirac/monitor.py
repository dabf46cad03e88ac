"""Monitors active DIRAC jobs until they end: polls their states in bulk, kills in bulk, fetches results.

The meaning of states is decided in ``states``, the meaning of sandboxes in ``results``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from gridcwl.backends.batch.active_jobs import ActiveJob, ActiveJobs
from gridcwl.backends.batch.poller import Poller
from gridcwl.backends.batch.retrying import Retrying
from gridcwl.backends.batch.states import Phase
from gridcwl.backends.dirac import results
from gridcwl.backends.dirac.events import Ended, Event, NotStarted
from gridcwl.backends.dirac.options import DiracOptions
from gridcwl.backends.dirac.reconcile import SEEN
from gridcwl.backends.dirac.server import Server, State
from gridcwl.backends.dirac.states import place_of
from gridcwl.errors import BackendError, LimitExceeded
from gridcwl.model import JobEvent, JobResult, Outcome

log = logging.getLogger("gridcwl.backends.dirac")

_NO_SANDBOX_TRIES = 5
_NO_SITE = ("", "ANY", "Multiple")
_NO_REPORTS_S = 60.0
_SETTLE_S = 3.0
"""What was killed may have been on its way to a node: it then says so once more."""
_KILL_AGAIN_S = 30.0
_SITES_EVERY_S = 5.0
"""How often it is asked where jobs run: that is for people."""


class JobMonitor:
    """Monitors active jobs. All state belongs to the event loop."""

    def __init__(
        self,
        server: Server,
        call: Retrying,
        options: DiracOptions,
        *,
        active: ActiveJobs,
        poller: Poller,
        events: asyncio.Queue[Event],
    ) -> None:
        """Prepare; nothing is queried yet.

        Args:
            server: DIRAC, or a stand-in for it.
            call: calls it.
            options: of the backend.
            active: the jobs to monitor; those that have ended are removed.
            poller: when to query them.
            events: jobs whose state or site has changed, that have ended, or that have not started are put there.
        """
        self._server, self._call, self._options = server, call, options
        self._active, self._poller, self._events = active, poller, events
        self._fetching: asyncio.TaskGroup
        self._sites_asked = -_SITES_EVERY_S
        self._reports_from = 0.0
        """Until then DIRAC is not queried for reports."""

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as self._fetching:
            while True:
                numbers = await self._poller.due()
                states = await self._call(self._server.states, numbers)
                self._poller.answered()
                changed = await self._see([self._active[number] for number in numbers], states)
                self._poller.polled(changed=changed)

    async def _see(self, watched: Sequence[ActiveJob], states: Mapping[int, State]) -> bool:
        now = time.monotonic()
        moved = [active for active in watched if active.tracked.see(states.get(active.number), now)]
        for active in moved:
            if active.phase is Phase.WAITING:
                active.tracked.site = ""  # rescheduled: it may come to another one
        moved += await self._located(watched, now)
        for number in dict.fromkeys(active.number for active in moved):
            self._report_state(self._active[number])
        await self._kill_unwanted(watched)
        await self._widen(watched, now)
        verdicts = [(active, active.tracked.verdict(now, patience_s=self._options.stalled_s)) for active in watched]
        ended = [o for o, verdict in verdicts if verdict in (Phase.ENDED, Phase.GONE) and not _unsettled(o, now)]
        for active in ended:
            active.fetching = True
        if ended:
            lost = {active.number for active, verdict in verdicts if verdict is Phase.GONE}
            self._fetching.create_task(self._bring_home(ended, lost))
        return bool(moved)

    def _report_state(self, active: ActiveJob) -> None:
        if (seen := SEEN.get(active.phase)) is not None:
            detail = f"{active.tracked.status}: {active.tracked.minor}"
            for job_id in active.jobs:
                self._events.put_nowait(JobEvent(job_id, seen, site=active.tracked.site, detail=detail))

    async def _located(self, watched: Iterable[ActiveJob], now: float) -> list[ActiveJob]:
        """Query where jobs run, if it is time to; returns those whose site is known now."""
        if now - self._sites_asked < min(_SITES_EVERY_S, 5 * self._options.poll_first_s):
            return []
        homeless = [active for active in watched if not active.tracked.site and active.phase is not Phase.WAITING]
        if not homeless:
            return []
        self._sites_asked = now
        return await self._ask_for_sites(homeless)

    async def _ask_for_sites(self, homeless: Sequence[ActiveJob]) -> list[ActiveJob]:
        sites = await self._call(self._server.sites, [active.number for active in homeless])
        found = []
        for active in homeless:
            site = sites.get(active.number, "")
            if site not in _NO_SITE:
                active.tracked.site = site
                found.append(active)
        return found

    async def _kill_unwanted(self, watched: Iterable[ActiveJob]) -> None:
        """What was cancelled and lives all the same: DIRAC cannot kill a job that is between two states."""
        spared = [
            active.number
            for active in watched
            if self._active.unwanted(active) and active.phase in (Phase.WAITING, Phase.RUNNING)
        ]
        if spared:
            await self._call(self._server.kill, spared)

    async def _widen(self, watched: Iterable[ActiveJob], now: float) -> None:
        """Kill what has long not started near its inputs: another one is submitted when it is dead."""
        patience_s = self._options.wishes.local_wait_s
        late = [
            active
            for active in watched
            if active.near and active.tracked.waited(now) > patience_s and now - (active.widened or 0) > _KILL_AGAIN_S
        ]
        if late:
            log.info("%d DIRAC job(s) have not started near their inputs and may run anywhere now", len(late))
            await self._call(self._server.kill, [active.number for active in late])
            for active in late:
                active.widened = now

    # -- results -------------------------------------------------------------------------------------------------------

    async def _bring_home(self, ended: Sequence[ActiveJob], lost: Collection[int]) -> None:
        """Report the results of jobs that have ended: small ones come in one call, others from their sandboxes."""
        done = [active for active in ended if active.tracked.status == "Done"]
        contents = await self._reported(done)
        near = [active for active in done if active.number in contents]
        if near:
            for active, found in zip(near, await self._call.once(self._read_all, near, contents), strict=True):
                self._report(active, found)
        far = [active for active in ended if active.number not in contents]
        if homeless := [active for active in far if not active.tracked.site]:
            with contextlib.suppress(BackendError):
                await self._ask_for_sites(homeless)
        for active in far:
            self._fetching.create_task(self._fetch(active, gone=active.number in lost))

    async def _reported(self, done: Sequence[ActiveJob]) -> dict[int, results.SandboxContents]:
        """Reports of jobs that hold whole results, by number; sites are updated from them."""
        if not done or time.monotonic() < self._reports_from:
            return {}
        try:
            texts = await self._call.once(self._server.reports, [active.number for active in done])
        except BackendError:
            # Job parameters are kept by a service of their own, which not every DIRAC has: sandboxes do as well.
            self._reports_from = time.monotonic() + _NO_REPORTS_S
            return {}
        found: dict[int, results.SandboxContents] = {}
        for active in done:
            report = results.reported(texts.get(active.number, ""), active.jobs)
            # A job that was rescheduled may have a report of another site, from before.
            if report is None or report.site != (active.tracked.site or report.site):
                continue
            active.tracked.site = report.site
            found[active.number] = report.contents
        return found

    async def _fetch(self, active: ActiveJob, *, gone: bool) -> None:
        """Fetch an ended job's sandbox, and report its results."""
        content: bytes | None = None
        contents: results.SandboxContents | None = None
        if gone:
            await self._call(self._server.kill, [active.number])  # should it come to life again, nobody would listen
        else:
            for left in reversed(range(_NO_SANDBOX_TRIES if active.tracked.status == "Done" else 1)):
                try:
                    content = await self._call(self._server.sandbox, active.number)
                except LimitExceeded as problem:
                    contents = results.SandboxContents(problem=problem)
                    break
                if content is not None or not left:
                    break
                await asyncio.sleep(1)
        if contents is None:
            contents = await self._call.once(results.opened, content, self._options.folder)
        if active.widened is not None and active.tracked.status != "Done" and not self._active.unwanted(active):
            self._active.forget(active)
            for job in active.jobs.values():
                self._events.put_nowait(NotStarted(job))
            return
        self._report(active, await self._call.once(self._read, active, contents))

    def _report(self, active: ActiveJob, found: Sequence[JobResult]) -> None:
        jobs = list(active.jobs.values())
        self._active.forget(active)
        for job, result in zip(jobs, found, strict=True):
            self._events.put_nowait(Ended(job, result, active.tracked.site))

    def _read_all(
        self, near: Sequence[ActiveJob], contents: Mapping[int, results.SandboxContents]
    ) -> list[list[JobResult]]:
        return [self._read(active, contents[active.number]) for active in near]

    def _read(self, active: ActiveJob, contents: results.SandboxContents) -> list[JobResult]:
        """In a thread: results out of what a job left, with their logs on this machine's disk."""
        found: list[JobResult] = []
        for job in active.jobs.values():
            result = results.result_of(
                job, contents, place_of(active), self._options.folder / f"{job.id}-{job.attempt}"
            )
            if job.id in self._active.cancelled:
                result = replace(result, outcome=Outcome.CANCELLED, reason="It was cancelled.", files=())
            found.append(result)
        return found


def _unsettled(active: ActiveJob, now: float) -> bool:
    return active.widened is not None and active.tracked.status == "Killed" and now - active.widened < _SETTLE_S
