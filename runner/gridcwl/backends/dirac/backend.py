"""The DIRAC backend: jobs are submitted and monitored in bulk; they outlive the client.

Decisions are pure functions elsewhere (``matching``, ``packing``, ``states``, ``results``); ``submission`` submits
jobs, ``monitor`` monitors them. All state belongs to the event loop; blocking calls run in the threads of ``Retrying``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Self

from gridcwl.backends.base import Capabilities, Recovered
from gridcwl.backends.batch import names, packing
from gridcwl.backends.batch.active_jobs import ActiveJobs
from gridcwl.backends.batch.poller import Pace, Poller
from gridcwl.backends.batch.retrying import Retrying
from gridcwl.backends.batch.states import Phase
from gridcwl.backends.dirac import matching
from gridcwl.backends.dirac.events import Ended, Event, NotStarted
from gridcwl.backends.dirac.monitor import JobMonitor
from gridcwl.backends.dirac.options import DiracOptions
from gridcwl.backends.dirac.problems import DiracRefused
from gridcwl.backends.dirac.reconcile import alive, reconciled, recovered
from gridcwl.backends.dirac.server import FoundJob, Server
from gridcwl.backends.dirac.states import active_job
from gridcwl.backends.dirac.submission import LINGER_S, MOST_JOBS, SubmissionKind, Submitter
from gridcwl.errors import BackendError, UnsupportedError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.model.codec import to_plain, with_secrets
from gridcwl.tasks import TaskScope, stop

log = logging.getLogger("gridcwl.backends.dirac")

_AT_START_S = 30.0
_AT_END_S = 60.0
_STATES = {Outcome.SUCCESS: JobState.DONE, Outcome.CANCELLED: JobState.CANCELLED}


class DiracBackend:
    """Implements ``gridcwl.backends.Backend``."""

    capabilities: Capabilities

    def __init__(
        self,
        server: Server,
        options: DiracOptions,
        *,
        run: RunId,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is queried yet.

        Args:
            server: DIRAC, or a stand-in for it.
            options: see there.
            run: the run whose jobs these are.
            secrets: by their stand-ins: jobs that have any are refused, as they would leave here.
        """
        self._server = server
        self._options = options
        self._run = run
        self._secrets = {} if secrets is None else secrets
        self._call = Retrying("DIRAC", server.credential)
        self._active = ActiveJobs()
        self._left: dict[JobId, FoundJob] = {}
        """Jobs of earlier sessions at DIRAC that were not submitted again yet."""
        self._failed_at: dict[JobId, list[str]] = {}
        self._widened: set[JobId] = set()
        """Jobs that have not started near their inputs: they may run anywhere."""
        self._durations = packing.Durations()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._tasks = TaskScope()
        self._working: list[asyncio.Task[None]] = []
        self._over: Exception | None = None
        """Why a task that was to run until the backend is closed has ended."""
        self._closed = False
        self._poller = Poller(Pace(options.poll_first_s, options.poll_top_s), self._active, linger_s=LINGER_S)
        self._monitor = JobMonitor(
            server, self._call, options, active=self._active, poller=self._poller, events=self._events
        )
        self._submission = Submitter(
            server, self._call, options, run=run, active=self._active, durations=self._durations,
            poller=self._poller, events=self._events,
        )  # fmt: skip
        self.capabilities = Capabilities(
            containers=True,
            survives_client=server.survives,
            batch_size=MOST_JOBS,
            window=options.window,
            sees_files=False,
            image_places=tuple(self._submission.archives.templates),
        )

    async def __aenter__(self) -> Self:
        self._call.patience_s = _AT_START_S
        try:
            credential = await self._call.once(self._server.credential)
            log.info("at DIRAC as %s, group %s, until %s", credential.user, credential.group, credential.ends)
            self._submission.most = await self._call(self._server.most_jobs)
            self._submission.limits = await self._call.once(self._server.limits)
            self._submission.offers = await self._call(self._server.offers)
        except BaseException:
            self._call.close()
            raise
        self._call.patience_s = None
        await self._tasks.__aenter__()
        self._working = [self._tasks.start(self._work(run)) for run in (self._submission.run, self._monitor.run)]
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._tasks.close_after(self.close)

    async def check(self, samples: Sequence[Job]) -> None:
        """See ``Backend.check``."""
        offers = self._submission.offers
        for job in samples:
            matching.refuse_homeless(
                job, matching.needs_of(job, self._options.wishes, self._submission.limits, offers), offers
            )

    def missing_images(self, jobs: Sequence[Job]) -> Sequence[str]:
        """See ``StoreImages.missing_images``."""
        return self._submission.archives.missing(jobs)

    def add_images(self, found: Mapping[str, Any]) -> None:
        """See ``StoreImages.add_images``."""
        self._submission.archives.add(found)

    async def submit(self, jobs: Sequence[Job]) -> None:
        """Check the jobs, and queue them for the next submission; see ``Backend.submit``.

        Raises:
            UnsupportedError: a job has a secret in it.
            BackendError: no site can run one of them. None of the batch is taken.
        """
        if self._closed:
            raise BackendError("The DIRAC backend is closed")
        kinds = [(job, self._kind(job)) for job in jobs]
        for job, kind in kinds:
            if job.id in self._left:
                self._adopt(job, kind, self._left.pop(job.id))
            else:
                self._submission.add(kind, job)

    async def results(self) -> AsyncIterator[JobEvent]:
        """See ``Backend.results``."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            if isinstance(event, NotStarted):
                self._anywhere(event.job)
            else:
                yield self._ended(event) if isinstance(event, Ended) else event

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """See ``Backend.cancel``. What waits at DIRAC is killed there, in bulk."""
        for job_id in self._submission.withdraw(set(job_ids)):
            result = JobResult(job_id, Outcome.CANCELLED, reason="cancelled before it was submitted")
            self._events.put_nowait(JobEvent(job_id, JobState.CANCELLED, result))
        doomed = [active for active in self._active.held_by(job_ids) if running or active.phase is Phase.WAITING]
        for active in doomed:
            self._active.cancelled |= active.jobs.keys()
        if doomed:
            await self._call(self._server.kill, [active.number for active in doomed])
            self._poller.wake()

    async def recover(self, run: RunId) -> Mapping[JobId, Recovered]:
        """What earlier sessions of the run left at DIRAC: still on its way, or ended with nobody to see it.

        A job of these that is submitted again is not: it is followed. Those that nobody asks for end with the session.
        """
        found = await self._call(self._server.find, run)
        self._left, superfluous = reconciled(found, run)
        if superfluous:
            await self._call(self._server.kill, superfluous)
        return {job_id: recovered(left, run) for job_id, left in self._left.items()}

    async def settled(self) -> None:
        """Wait until all that was given to :meth:`submit` is at DIRAC.

        Raises:
            GridCWLError: what submits or follows jobs has ended, so that it will never be.
        """
        settled = self._tasks.start(self._submission.settled())
        try:
            await asyncio.wait({settled, *self._working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()
        if not settled.done():
            raise self._over or BackendError("Submission has ended")

    async def close(self) -> None:
        """See ``Backend.close``. Jobs are killed, unless the run is detached."""
        if self._closed:
            return
        self._closed = True
        interrupted = self._submission.busy or bool(self._left)
        await stop(self._working)
        if not self._options.leave and (self._active or interrupted):
            self._call.patience_s = _AT_END_S
            await self._kill_all()
        self._call.close()
        self._events.put_nowait(None)

    # -- what becomes of jobs ------------------------------------------------------------------------------------------

    def _kind(self, job: Job) -> SubmissionKind:
        if self._secrets and with_secrets(plain := to_plain(job), self._secrets) != plain:
            raise UnsupportedError(
                f"{job.name} has a secret among its inputs, and secrets do not leave this machine",
                remedy="Run it here (--backend local), or let the tool take the secret from where it runs.",
            )
        wishes, offers = self._options.wishes, self._submission.offers
        needs = matching.needs_of(job, wishes, self._submission.limits, offers)
        matching.refuse_homeless(job, needs, offers)
        needs = matching.placed(
            job, needs, wishes, offers, failed=self._failed_at.get(job.id, ()), anywhere=job.id in self._widened
        )
        return SubmissionKind(needs, names.split(job.id)[0], job.attempt)

    def _adopt(self, job: Job, kind: SubmissionKind, left: FoundJob) -> None:
        """Follow a job that an earlier session submitted."""
        active = self._active.get(left.place.number)
        if active is None or active.fetching:
            active = active_job(left.place.number, {}, near=kind.needs.near)
        active.jobs[job.id] = job
        self._active.add(active)
        self._poller.wake()

    def _anywhere(self, job: Job) -> None:
        self._widened.add(job.id)
        self._submission.add(self._kind(job), job)

    def _ended(self, event: Ended) -> JobEvent:
        job, result, site = event.job, event.result, event.site
        self._durations.add(job, result)
        self._widened.discard(job.id)
        if result.outcome is Outcome.TEMPORARY_FAILURE and site:
            self._failed_at.setdefault(job.id, []).append(site)
        else:
            self._failed_at.pop(job.id, None)
        state = _STATES.get(result.outcome, JobState.FAILED)
        return JobEvent(job.id, state, result, site)

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _kill_all(self) -> None:
        """Kill what is left of the run at DIRAC, and see that it is so."""
        begun = time.monotonic()
        try:
            while numbers := [f.place.number for f in await self._call(self._server.find, self._run) if alive(f)]:
                if time.monotonic() - begun > _AT_END_S:
                    raise DiracRefused(f"{len(numbers)} jobs are still at DIRAC after they were killed.")
                log.info("killing %d DIRAC job(s)", len(numbers))
                await self._call(self._server.kill, numbers)
                await asyncio.sleep(self._options.poll_first_s)
        except BackendError as error:
            log.warning("%s Jobs may be left at DIRAC: gridcwl cancel %s stops them.", error.message, self._run)

    async def _work(self, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """What ends a task is raised where results are waited for."""
        error: BaseException = BackendError("The task that submits and polls DIRAC jobs has stopped")
        try:
            await run()
        except Exception as raised:  # noqa: BLE001  as it says
            error = raised
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if not self._closed and isinstance(error, Exception):
            self._over = error
            self._events.put_nowait(error)


__all__ = ["DiracBackend", "DiracOptions"]
