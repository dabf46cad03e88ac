"""The DIRAC jobs that are out there, followed to their end: asked about in bulk, killed in bulk, their results fetched.

What states mean is decided in ``following``, what came back in ``results``; here is who asks for what, and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from gridcwl.backends.dirac import results
from gridcwl.backends.dirac.asking import Asking
from gridcwl.backends.dirac.following import Pace, Phase
from gridcwl.backends.dirac.options import DiracOptions
from gridcwl.backends.dirac.out_there import Out, OutThere
from gridcwl.backends.dirac.server import Server, State
from gridcwl.backends.dirac.submitting import LINGER_S
from gridcwl.errors import BackendError, LimitExceeded
from gridcwl.model import Job, JobResult, Outcome

log = logging.getLogger("gridcwl.backends.dirac")

_NO_SANDBOX_TRIES = 5
_NO_SITE = ("", "ANY", "Multiple")
_NO_REPORTS_S = 60.0
_SETTLE_S = 3.0
"""What was killed may have been on its way to a node: it then says so once more."""
_KILL_AGAIN_S = 30.0
_SITES_EVERY_S = 5.0
"""How often it is asked where jobs run: that is for people."""


class Watching:
    """Follows what is out there. All state belongs to the event loop."""

    def __init__(
        self,
        server: Server,
        ask: Asking,
        options: DiracOptions,
        *,
        out: OutThere,
        moved: Callable[[Out], None],
        ended: Callable[[Job, JobResult, str], None],
        again: Callable[[Job], None],
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            server: DIRAC, or what stands for it.
            ask: through which it is asked.
            options: of the backend.
            out: what is followed; those that have ended are taken away.
            moved: told of a DIRAC job whose state or site is another one.
            ended: told of a job of ours, with its result and where that was.
            again: told of a job of ours that has not begun near its inputs, and is to run anywhere.
        """
        self._server, self._ask, self._options = server, ask, options
        self._out, self._moved, self._ended, self._again = out, moved, ended, again
        self._now = asyncio.Event()
        self._fetching: asyncio.TaskGroup
        self._sites_asked = -_SITES_EVERY_S
        self._reports_from = 0.0
        """Until then DIRAC is not asked for what jobs said at their end."""

    def look(self) -> None:
        """Do not wait for the next time to look."""
        self._now.set()

    async def run(self) -> None:
        """Follow, for ever."""
        async with asyncio.TaskGroup() as self._fetching:
            await self._follow()

    async def _follow(self) -> None:
        pace = Pace(self._options.poll_first_s, self._options.poll_top_s)
        wait = pace.first_s
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), wait if self._out else None)
            fresh = self._now.is_set()
            self._now.clear()
            if fresh:
                await asyncio.sleep(LINGER_S)
            begun = time.monotonic()
            watched = self._out.followed()
            if not watched:
                wait = pace.first_s
                continue
            states = await self._ask(self._server.states, watched)
            took = time.monotonic() - begun
            changed = await self._see([self._out[number] for number in watched], states)
            wait = pace.next(changed=changed or fresh, took_s=took)

    async def _see(self, watched: Sequence[Out], states: Mapping[int, State]) -> bool:
        now = time.monotonic()
        moved = [out for out in watched if out.watched.see(states.get(out.number), now)]
        for out in moved:
            if out.phase is Phase.WAITING:
                out.watched.site = ""  # rescheduled: it may come to another one
        moved += await self._located(watched, now)
        for number in dict.fromkeys(out.number for out in moved):
            self._moved(self._out[number])
        await self._kill_unwanted(watched)
        await self._widen(watched, now)
        verdicts = [(out, out.watched.verdict(now, patience_s=self._options.stalled_s)) for out in watched]
        ended = [o for o, verdict in verdicts if verdict in (Phase.ENDED, Phase.GONE) and not _unsettled(o, now)]
        for out in ended:
            out.fetching = True
        if ended:
            lost = {out.number for out, verdict in verdicts if verdict is Phase.GONE}
            self._fetching.create_task(self._bring_home(ended, lost))
        return bool(moved)

    async def _located(self, watched: Iterable[Out], now: float) -> list[Out]:
        """Ask where jobs run, if it is time to; returns those of which that is known now."""
        if now - self._sites_asked < min(_SITES_EVERY_S, 5 * self._options.poll_first_s):
            return []
        homeless = [out for out in watched if not out.watched.site and out.phase is not Phase.WAITING]
        if not homeless:
            return []
        self._sites_asked = now
        return await self._ask_for_sites(homeless)

    async def _ask_for_sites(self, homeless: Sequence[Out]) -> list[Out]:
        sites = await self._ask(self._server.sites, [out.number for out in homeless])
        found = []
        for out in homeless:
            site = sites.get(out.number, "")
            if site not in _NO_SITE:
                out.watched.site = site
                found.append(out)
        return found

    async def _kill_unwanted(self, watched: Iterable[Out]) -> None:
        """What was cancelled and lives all the same: DIRAC cannot kill a job that is between two states."""
        spared = [
            out.number for out in watched if self._out.unwanted(out) and out.phase in (Phase.WAITING, Phase.RUNNING)
        ]
        if spared:
            await self._ask(self._server.kill, spared)

    async def _widen(self, watched: Iterable[Out], now: float) -> None:
        """Kill what has long not started near its inputs: another one is submitted when it is dead."""
        patience_s = self._options.wishes.local_wait_s
        late = [
            out
            for out in watched
            if out.near and out.watched.waited(now) > patience_s and now - (out.widened or 0) > _KILL_AGAIN_S
        ]
        if late:
            log.info("%d DIRAC job(s) have not started near their inputs and may run anywhere now", len(late))
            await self._ask(self._server.kill, [out.number for out in late])
            for out in late:
                out.widened = now

    # -- results -------------------------------------------------------------------------------------------------------

    async def _bring_home(self, ended: Sequence[Out], lost: Collection[int]) -> None:
        """Tell of the results of jobs that have ended: small ones are had in one call, others from their sandboxes."""
        done = [out for out in ended if out.watched.status == "Done"]
        said = await self._reported(done)
        near = [out for out in done if out.number in said]
        if near:
            for out, found in zip(near, await self._ask.once(self._read_all, near, said), strict=True):
                self._tell(out, found)
        far = [out for out in ended if out.number not in said]
        if homeless := [out for out in far if not out.watched.site]:
            with contextlib.suppress(BackendError):
                await self._ask_for_sites(homeless)
        for out in far:
            self._fetching.create_task(self._fetch(out, gone=out.number in lost))

    async def _reported(self, done: Sequence[Out]) -> dict[int, results.Said]:
        """What jobs said at their end, of those that said all; and where they run, from their own words."""
        if not done or time.monotonic() < self._reports_from:
            return {}
        try:
            texts = await self._ask.once(self._server.reports, [out.number for out in done])
        except BackendError:
            # Job parameters are kept by a service of their own, which not every DIRAC has: sandboxes do as well.
            self._reports_from = time.monotonic() + _NO_REPORTS_S
            return {}
        found: dict[int, results.Said] = {}
        for out in done:
            report = results.reported(texts.get(out.number, ""), out.jobs)
            # A job that was rescheduled may have said something at another site, before.
            if report is None or report.site != (out.watched.site or report.site):
                continue
            out.watched.site = report.site
            found[out.number] = report.said
        return found

    async def _fetch(self, out: Out, *, gone: bool) -> None:
        """Fetch an ended job's sandbox, and tell of its results."""
        content: bytes | None = None
        said: results.Said | None = None
        if gone:
            await self._ask(self._server.kill, [out.number])  # should it come to life again, nobody would listen
        else:
            for left in reversed(range(_NO_SANDBOX_TRIES if out.watched.status == "Done" else 1)):
                try:
                    content = await self._ask(self._server.sandbox, out.number)
                except LimitExceeded as problem:
                    said = results.Said(problem=problem)
                    break
                if content is not None or not left:
                    break
                await asyncio.sleep(1)
        if said is None:
            said = await self._ask.once(results.opened, content, self._options.folder)
        if out.widened is not None and out.watched.status != "Done" and not self._out.unwanted(out):
            self._out.forget(out)
            for job in out.jobs.values():
                self._again(job)
            return
        self._tell(out, await self._ask.once(self._read, out, said))

    def _tell(self, out: Out, found: Sequence[JobResult]) -> None:
        jobs = list(out.jobs.values())
        self._out.forget(out)
        for job, result in zip(jobs, found, strict=True):
            self._ended(job, result, out.watched.site)

    def _read_all(self, near: Sequence[Out], said: Mapping[int, results.Said]) -> list[list[JobResult]]:
        return [self._read(out, said[out.number]) for out in near]

    def _read(self, out: Out, said: results.Said) -> list[JobResult]:
        """In a thread: results out of what a job left, with their logs on this machine's disk."""
        found: list[JobResult] = []
        for job in out.jobs.values():
            result = results.result_of(job, said, out.place, self._options.folder / f"{job.id}-{job.attempt}")
            if job.id in self._out.cancelled:
                result = replace(result, outcome=Outcome.CANCELLED, reason="It was cancelled.", files=())
            found.append(result)
        return found


def _unsettled(out: Out, now: float) -> bool:
    return out.widened is not None and out.watched.status == "Killed" and now - out.widened < _SETTLE_S
