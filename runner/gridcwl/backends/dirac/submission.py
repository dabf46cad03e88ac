"""Submission to DIRAC: jobs are gathered for a moment, packed, and submitted in as few calls as the server allows.

A job is submitted once, whatever the network does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gridcwl.backends.batch import names, packing
from gridcwl.backends.batch.active_jobs import ActiveJobs
from gridcwl.backends.batch.poller import Poller
from gridcwl.backends.batch.retrying import Retrying
from gridcwl.backends.dirac import jdl, matching, sandbox
from gridcwl.backends.dirac.archives import ImageArchives
from gridcwl.backends.dirac.events import Ended, Event
from gridcwl.backends.dirac.matching import JobRequirements, Limits
from gridcwl.backends.dirac.options import DiracOptions
from gridcwl.backends.dirac.problems import DiracCredential, DiracRefused, DiracUnreachable, TooManyJobs
from gridcwl.backends.dirac.server import Server
from gridcwl.backends.dirac.sites import DiracSite
from gridcwl.backends.dirac.states import active_job
from gridcwl.errors import BackendError, ConfigError, GridCWLError, UnsupportedError
from gridcwl.model import Job, JobId, JobResult, Outcome, RunId

log = logging.getLogger("gridcwl.backends.dirac")

LINGER_S = 0.05
"""Jobs that become ready together are submitted together."""
MOST_JOBS = 1000
"""Jobs of one submission, where the server would take more: they begin to run while the next ones are submitted."""


@dataclass(frozen=True, slots=True)
class SubmissionKind:
    """What jobs of one submission have in common."""

    needs: JobRequirements
    prefix: str
    attempt: int


class Submitter:
    """Submits jobs. All state belongs to the event loop."""

    def __init__(
        self,
        server: Server,
        call: Retrying,
        options: DiracOptions,
        *,
        run: RunId,
        active: ActiveJobs,
        durations: packing.Durations,
        poller: Poller,
        events: asyncio.Queue[Event],
    ) -> None:
        """Prepare; nothing is submitted yet.

        Args:
            server: DIRAC, or a stand-in for it.
            call: calls it.
            options: of the backend.
            run: the run whose jobs these are.
            active: jobs are added here once they have a number.
            durations: what jobs of each step took.
            poller: woken when jobs were submitted.
            events: jobs that DIRAC does not accept are put there, as permanent failures.
        """
        self._server, self._call, self._options, self._run = server, call, options, run
        self._active, self._durations = active, durations
        self._poller, self._events = poller, events
        self.most: int | None = None
        """How many jobs the server takes in one submission; None if unknown."""
        self.offers: Sequence[DiracSite] = ()
        """Of the sites, as far as they are known."""
        self.limits = Limits()
        """Of the server."""
        self.archives = ImageArchives(options.sites)
        self._due: dict[SubmissionKind, list[Job]] = {}
        self._now, self._idle = asyncio.Event(), asyncio.Event()
        self._under_way = False
        self._warned_of_end = False

    @property
    def busy(self) -> bool:
        """Whether there are jobs that have no number yet."""
        return self._under_way or bool(self._due)

    def add(self, kind: SubmissionKind, job: Job) -> None:
        """One more job, to be submitted with others of its kind."""
        self._due.setdefault(kind, []).append(job)
        self._idle.clear()
        self._now.set()

    def withdraw(self, wanted: Collection[JobId]) -> list[JobId]:
        """Take jobs back that have not been submitted; returns which."""
        taken: list[JobId] = []
        for kind, jobs in list(self._due.items()):
            for job in [job for job in jobs if job.id in wanted]:
                jobs.remove(job)
                taken.append(job.id)
            if not jobs:
                del self._due[kind]
        return taken

    async def settled(self) -> None:
        """Wait until all jobs that were added are submitted."""
        if self.busy:
            await self._idle.wait()

    async def run(self) -> None:
        """Submit what is due, for ever."""
        while True:
            await self._now.wait()
            self._now.clear()
            await asyncio.sleep(LINGER_S)
            while self._due:
                self._under_way = True
                kind, jobs = next(iter(self._due.items()))
                del self._due[kind]
                await self._submit_kind(kind, jobs)
            self._under_way = False
            self._idle.set()

    async def _submit_kind(self, kind: SubmissionKind, jobs: list[Job]) -> None:
        self._look_at_the_clock(jobs)
        needs, waiting = self._packed(kind, jobs)
        while waiting:
            some = waiting[: min(self.most or MOST_JOBS, MOST_JOBS)]
            try:
                done = await self._send(kind, needs, some)
            except TooManyJobs as error:
                log.info("DIRAC takes %d jobs in one submission", error.limit)
                self.most = error.limit
                if len(some) > error.limit:
                    continue
                done = self._give_up(some, error)
            except (DiracRefused, ConfigError, UnsupportedError) as error:
                done = self._give_up(some, error)
            waiting = waiting[done:]

    def _packed(self, kind: SubmissionKind, jobs: Sequence[Job]) -> tuple[JobRequirements, list[packing.BatchPart]]:
        expected = self._durations.expected(jobs)
        # A guess at how many of them could run at a time.
        slots = 4 * max(1, len(matching.fitting(kind.needs, self.offers)))
        size = packing.size_of(self._options.pack, sum(expected) / len(expected), len(jobs), slots)
        if size <= 1:
            return kind.needs, _parts(jobs, 1, kind.needs.processors, expected)
        ram_mib = max(job.resources.ram_mib for job in jobs)
        room = matching.room_for(kind.needs, ram_mib, self.offers)
        size, needs = matching.together(kind.needs, size, room, self.limits)
        return needs, _parts(jobs, size, needs.processors, expected)

    async def _send(self, kind: SubmissionKind, needs: JobRequirements, parts: Sequence[packing.BatchPart]) -> int:
        """Submit parts, as many as fit into one sandbox; returns how many did."""
        sites = self.archives.settings_for(job for part in parts for job in part.jobs)
        self._options.folder.mkdir(parents=True, exist_ok=True)
        # In the run's own folder: that of a client that is killed here goes with the run.
        with tempfile.TemporaryDirectory(prefix="gridcwl-sandbox-", dir=self._options.folder) as folder:
            files, held = await self._call.once(sandbox.write, Path(folder), parts, sites)
            place = await self._call(self._server.put_sandbox, files)
        parts = parts[:held]
        spans = tuple(part.span for part in parts)
        text = jdl.text(jdl.Batch(self._run, kind.prefix, spans, names.suffix(kind.attempt), needs, place))
        called = [kind.prefix + word + names.suffix(kind.attempt) for word in spans]
        numbers = await self._numbered(text, called)
        for number, part in zip(numbers, parts, strict=True):
            self._active.add(active_job(number, {job.id: job for job in part.jobs}, near=needs.near))
        await self._confirmed(numbers)
        self._poller.wake()
        return len(parts)

    async def _numbered(self, text: str, called: Sequence[str]) -> list[int]:
        """Submit a description once, whatever the network does: a call without an answer may have been heard."""
        begun = time.monotonic()
        wait = 1.0
        while True:
            try:
                return await self._call.once(self._server.submit, text)
            except (DiracUnreachable, DiracCredential) as error:
                await self._call.pause(error, begun, wait)
                wait = min(30.0, 2 * wait)
            wanted = set(called)
            mine = {
                found.name: found.place.number
                for found in await self._call(self._server.find, self._run)
                if found.name in wanted
                and found.place.status == "Submitting"
                and found.place.number not in self._active
            }
            if mine.keys() == wanted:
                return [mine[name] for name in called]
            if mine:
                await self._call(self._server.kill, list(mine.values()))

    async def _confirmed(self, numbers: Sequence[int]) -> None:
        try:
            await self._call(self._server.confirm, numbers)
        except DiracRefused:
            # An earlier try may have been heard, and the jobs may be well on their way.
            states = await self._call(self._server.states, numbers)
            if any(states.get(number, ("Submitting",))[0] == "Submitting" for number in numbers):
                raise

    def _give_up(self, parts: Sequence[packing.BatchPart], error: GridCWLError) -> int:
        for job in (job for part in parts for job in part.jobs):
            if (active := self._active.holding(job.id)) is not None:
                self._active.forget(active)
            reason = f"{error.message}. {error.remedy}".strip()
            self._events.put_nowait(Ended(job, JobResult(job.id, Outcome.PERMANENT_FAILURE, reason=reason)))
        return len(parts)

    def _look_at_the_clock(self, jobs: Iterable[Job]) -> None:
        """Warn, once, of a credential that ends before the jobs can be expected to."""
        if self._warned_of_end:
            return
        with contextlib.suppress(BackendError):
            ours = self._server.credential()
            needed = max(job.resources.time_limit_s or 3600 for job in jobs)
            if ours.ends < datetime.now(UTC) + timedelta(seconds=needed):
                self._warned_of_end = True
                log.warning(
                    "%s ends at %s, perhaps before these jobs do; renew it in time with %s: "
                    "the run then continues, and no work is lost",
                    ours.name,
                    f"{ours.ends:%Y-%m-%d %H:%M} UTC",
                    ours.renewal,
                )


def _parts(jobs: Sequence[Job], size: int, processors: int, expected: Sequence[float]) -> list[packing.BatchPart]:
    return packing.parts(jobs, size, processors, expected, longest_name=jdl.LONGEST_NAME)
