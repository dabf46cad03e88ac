"""The DIRAC backend: jobs go out in bulk, are followed in bulk, and come home; they outlive the client.

Decisions are pure functions elsewhere (``matching``, ``packing``, ``following``, ``results``); ``submitting`` brings
jobs out there, ``watching`` follows them. Here is what the run is told, and what it may ask for. All state belongs to
the event loop; blocking calls run in the threads of ``Asking``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Self

from gridcwl.backends.base import Capabilities
from gridcwl.backends.dirac import matching, names, packing
from gridcwl.backends.dirac.asking import Asking
from gridcwl.backends.dirac.following import Phase
from gridcwl.backends.dirac.leftovers import SEEN, alive, sorted_out, state_of
from gridcwl.backends.dirac.options import DiracOptions
from gridcwl.backends.dirac.out_there import Out, OutThere
from gridcwl.backends.dirac.problems import DiracRefused
from gridcwl.backends.dirac.server import Found, Server
from gridcwl.backends.dirac.submitting import SUBMISSION, Kind, Submitting
from gridcwl.backends.dirac.watching import Watching
from gridcwl.errors import BackendError, GridCWLError, UnsupportedError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.model.codec import to_plain

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
        reveal: Callable[[Any], Any] | None = None,
        keep: Callable[[Job, JobResult], None] | None = None,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            server: DIRAC, or what stands for it.
            options: see there.
            run: the run whose jobs these are.
            reveal: puts secrets in place of their stand-ins: jobs that have any are refused, as they would leave here.
            keep: told of every result before anybody else.
        """
        self._server = server
        self._options = options
        self._run = run
        self._reveal = reveal
        self._keep = keep
        self._ask = Asking(server.credential)
        self._out = OutThere()
        self._left: dict[JobId, Found] = {}
        """Jobs of earlier sessions that are out there and that nobody has asked for yet."""
        self._failed_at: dict[JobId, list[str]] = {}
        self._widened: set[JobId] = set()
        """Jobs that have not started near their inputs: they may run anywhere."""
        self._durations = packing.Durations()
        self._events: asyncio.Queue[JobEvent | Exception | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self._watching = Watching(
            server, self._ask, options, out=self._out, moved=self._moved, ended=self._ended, again=self._anywhere
        )
        self._submitting = Submitting(
            server, self._ask, options, run=run, out=self._out, durations=self._durations,
            submitted=self._watching.look, refused=self._refused,
        )  # fmt: skip
        self.capabilities = Capabilities(
            containers=True,
            survives_client=server.survives,
            batch_size=SUBMISSION,
            window=options.window,
            sees_files=False,
        )

    async def __aenter__(self) -> Self:
        self._ask.patience_s = _AT_START_S
        try:
            credential = await self._ask.once(self._server.credential)
            log.info("at DIRAC as %s, group %s, until %s", credential.user, credential.group, credential.ends)
            self._submitting.most = await self._ask(self._server.most_jobs)
            self._submitting.limits = await self._ask.once(self._server.limits)
            self._submitting.offers = await self._ask(self._server.offers)
        except BaseException:
            self._ask.close()
            raise
        self._ask.patience_s = None
        for work in (self._submitting.run(), self._watching.run()):
            task = asyncio.create_task(work)
            task.add_done_callback(self._task_ended)
            self._tasks.append(task)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def check(self, samples: Sequence[Job]) -> None:
        """See ``Backend.check``."""
        offers = self._submitting.offers
        for job in samples:
            matching.refuse_homeless(
                job, matching.needs_of(job, self._options.wishes, self._submitting.limits, offers), offers
            )

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
                self._submitting.add(kind, job)

    async def results(self) -> AsyncIterator[JobEvent]:
        """See ``Backend.results``."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """See ``Backend.cancel``. What waits at DIRAC is killed there, in bulk."""
        for job_id in self._submitting.withdraw(set(job_ids)):
            result = JobResult(job_id, Outcome.CANCELLED, reason="cancelled before it was submitted")
            self._events.put_nowait(JobEvent(job_id, JobState.CANCELLED, result))
        doomed = [out for out in self._out.held_by(job_ids) if running or out.phase is Phase.WAITING]
        for out in doomed:
            self._out.cancelled |= out.jobs.keys()
        if doomed:
            await self._ask(self._server.kill, [out.number for out in doomed])
            self._watching.look()

    async def recover(self, run: RunId) -> Mapping[JobId, JobState]:
        """What earlier sessions of the run left at DIRAC: still on its way, or ended with nobody to see it.

        A job of these that is submitted again is not: it is followed. Those that nobody asks for end with the session.
        """
        found = await self._ask(self._server.find, run)
        self._left, superfluous = sorted_out(found, run)
        if superfluous:
            await self._ask(self._server.kill, superfluous)
        return {job_id: state_of(left) for job_id, left in self._left.items()}

    async def settled(self) -> None:
        """Wait until all that was given to :meth:`submit` is at DIRAC.

        Raises:
            GridCWLError: what submits or follows jobs has ended, so that it will never be.
        """
        settled = asyncio.ensure_future(self._submitting.settled())
        try:
            await asyncio.wait({settled, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            settled.cancel()
        if not settled.done():
            raise next((_reason(task) for task in self._tasks if task.done()), BackendError("Submission has ended"))

    async def close(self) -> None:
        """See ``Backend.close``. Jobs are killed, unless they are to go on."""
        if self._closed:
            return
        self._closed = True
        interrupted = self._submitting.busy or bool(self._left)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._options.leave and (self._out or interrupted):
            self._ask.patience_s = _AT_END_S
            await self._kill_all()
        self._ask.close()
        self._events.put_nowait(None)

    # -- what becomes of jobs ------------------------------------------------------------------------------------------

    def _kind(self, job: Job) -> Kind:
        if self._reveal is not None:
            plain = to_plain(job)
            if self._reveal(plain) != plain:
                raise UnsupportedError(
                    f"{job.name} has a secret among its inputs, and secrets do not leave this machine",
                    remedy="Run it here (--backend local), or let the tool take the secret from where it runs.",
                )
        wishes, offers = self._options.wishes, self._submitting.offers
        needs = matching.needs_of(job, wishes, self._submitting.limits, offers)
        matching.refuse_homeless(job, needs, offers)
        needs = matching.placed(
            job, needs, wishes, offers, failed=self._failed_at.get(job.id, ()), anywhere=job.id in self._widened
        )
        return Kind(needs, names.split(job.id)[0], job.attempt)

    def _adopt(self, job: Job, kind: Kind, left: Found) -> None:
        """Follow a job that an earlier session submitted."""
        out = self._out.get(left.place.number)
        if out is None or out.fetching:
            out = Out(left.place.number, {}, kind.needs.near)
        out.jobs[job.id] = job
        self._out.add(out)
        self._watching.look()

    def _anywhere(self, job: Job) -> None:
        self._widened.add(job.id)
        self._submitting.add(self._kind(job), job)

    def _moved(self, out: Out) -> None:
        if (seen := SEEN.get(out.phase)) is not None:
            detail = f"{out.watched.status}: {out.watched.minor}"
            for job_id in out.jobs:
                self._events.put_nowait(JobEvent(job_id, seen, site=out.watched.site, detail=detail))

    def _refused(self, job: Job, error: GridCWLError) -> None:
        reason = f"{error.message}. {error.remedy}".strip()
        self._ended(job, JobResult(job.id, Outcome.PERMANENT_FAILURE, reason=reason), "")

    def _ended(self, job: Job, result: JobResult, site: str) -> None:
        self._durations.add(job, result)
        self._widened.discard(job.id)
        if result.outcome is Outcome.TEMPORARY_FAILURE and site:
            self._failed_at.setdefault(job.id, []).append(site)
        else:
            self._failed_at.pop(job.id, None)
        if self._keep is not None:
            self._keep(job, result)
        state = _STATES.get(result.outcome, JobState.FAILED)
        self._events.put_nowait(JobEvent(job.id, state, result, site))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _kill_all(self) -> None:
        """Kill what is left of the run at DIRAC, and see that it is so."""
        begun = time.monotonic()
        try:
            while numbers := [f.place.number for f in await self._ask(self._server.find, self._run) if alive(f)]:
                if time.monotonic() - begun > _AT_END_S:
                    raise DiracRefused(f"{len(numbers)} jobs are still at DIRAC after they were killed.")
                log.info("killing %d DIRAC job(s)", len(numbers))
                await self._ask(self._server.kill, numbers)
                await asyncio.sleep(self._options.poll_first_s)
        except BackendError as error:
            log.warning("%s Jobs may be left at DIRAC: gridcwl cancel %s stops them.", error.message, self._run)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not self._closed:
            self._events.put_nowait(_reason(task))


def _reason(task: asyncio.Task[None]) -> Exception:
    """Why a task that was to run until the backend is closed has ended."""
    error = None if task.cancelled() else task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Exception):
        return error
    return BackendError("What submits and follows DIRAC jobs has ended")


__all__ = ["DiracBackend", "DiracOptions"]
