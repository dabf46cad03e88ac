"""Any backend with any store: what is staged before a job is submitted, and what becomes of its result.

The run's loop knows nothing of it: a job goes in with names, and its result comes out when the journal has it and the
store knows its files. ``runs.lifecycle`` is the table of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, cast

from gridcwl.backends.base import Backend, Recovered, StoreImages
from gridcwl.errors import ConfigError, StoreError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.runs.lifecycle import Stages, Transition
from gridcwl.runs.literals import Literals
from gridcwl.tasks import TaskScope, deadline, give_up_threads, stop

if TYPE_CHECKING:
    from gridcwl.stores.base import StoreSession

log = logging.getLogger("gridcwl.runs")

_MOST = 500
"""Results that are recorded and committed together; what comes meanwhile waits for the next time."""
LAST_RESULTS_S = 60.0
"""How long a backend that was closed may take to give the rest of its results."""

CLOSE_S = 300.0
"""How long a backend may take to close: it stops the jobs of a run, and a server may have to be reached for that."""
CLOSE_NOTICE_S = 20.0
"""After this the wait is reported."""
GRACE_S = 60.0
"""How long after these two limits the process ends, if the backend blocks it or ignores that it is cancelled."""

_BLOCKED = (
    "The backend does not close, and cannot be interrupted. Finished jobs are recorded: gridcwl resume RUN continues. "
    "Report this to the backend's authors."
)

Ended: TypeAlias = tuple[Job, JobResult]
_Arrived: TypeAlias = JobEvent | Exception | None


class ResultLog(Protocol):
    """Where results are recorded: ``runs.record.recorder.Recorder``."""

    async def record(self, ended: Sequence[Ended]) -> None:
        """Attempts ended. When this returns, that will not be forgotten."""

    def committed(self, batches: Iterable[str]) -> None:
        """The store knows the files of these results."""

    def is_committed(self, batch: str) -> bool:
        """Whether an earlier session has recorded that."""


class StagingBackend:
    """Implements ``gridcwl.backends.Backend`` around another one."""

    def __init__(
        self,
        inner: AbstractAsyncContextManager[Backend],
        store: StoreSession,
        results: ResultLog,
        tasks: TaskScope,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            inner: runs the jobs.
            store: of the run.
            results: records them.
            tasks: of the run.
        """
        self.stages = Stages()
        """Where each job is in its life."""
        self._opening = inner
        self._inner: Backend
        self._store = store
        self._log = results
        self._tasks = tasks
        self._jobs: dict[JobId, Job] = {}
        """Those whose results are not committed yet, as they were submitted."""
        self._found: set[JobId] = set()
        """Those of which an earlier session has recorded a success, and has not committed it."""
        self._arrived: asyncio.Queue[_Arrived] = asyncio.Queue()
        """Events, and what ended a task of ours; None when there will be no more."""
        self._received: list[JobEvent | None] = []
        """Events whose results are not recorded yet; None when there will be no more."""
        self._has_received = asyncio.Event()
        self._over = False
        """The backend has no more events."""
        self._unrecorded: dict[JobId, Ended] = {}
        self._literals = Literals()
        self._working: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._inner = await self._opening.__aenter__()
        self.capabilities = self._inner.capabilities
        if self._store.between_jobs and self.capabilities.batch_size < _MOST:
            # Where jobs are submitted one by one, the store is asked for many of them together.
            self.capabilities = replace(self.capabilities, batch_size=min(_MOST, self.capabilities.window))
        works = [self._receive, self._record_received]
        if self._store.between_jobs:
            works.append(self._store.keep_alive)
        self._working = [self._tasks.start(self._guarded(work)) for work in works]
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the backend. What ended until then is recorded; a resumed run commits it."""
        with deadline(CLOSE_S + LAST_RESULTS_S + GRACE_S, _BLOCKED):
            try:
                await stop(self._working)
                self._literals.close()
                await self._close(*error)
            finally:
                await self._record_rest()

    async def _close(self, *error: object) -> None:
        """Close the backend. The run ends without one that does not close in time: its outcome is known."""
        notice = asyncio.get_running_loop().call_later(
            CLOSE_NOTICE_S, log.warning, "Waiting for the backend to close, %g s at most ...", CLOSE_S
        )
        try:
            async with asyncio.timeout(CLOSE_S) as limit:
                await self._opening.__aexit__(*error)  # type: ignore[arg-type]
        except TimeoutError:
            if not limit.expired():
                raise
            give_up_threads()
            log.warning(
                "The backend has not closed within %g s and is not waited for. Jobs may still be active: "
                "gridcwl cancel RUN stops them. Report this to the backend's authors.",
                CLOSE_S,
            )
        finally:
            notice.cancel()

    async def check(self, samples: Sequence[Job]) -> None:
        """See ``Backend.check``.

        Raises:
            ConfigError: container images are to come from a store that the run does not use.
        """
        if (places := self.capabilities.image_places) and not self._store.between_jobs:
            raise ConfigError(
                f"The images of {places[0]} are in a store, and the run does not use it",
                remedy=f"Choose --store {places[0].partition(':')[0]}, or take the place out of the table of images.",
            )
        await self._inner.check(samples)

    async def submit(self, jobs: Sequence[Job]) -> None:
        """See ``Backend.submit``. Of a job that has an input without a replica the result is that.

        Raises:
            StoreError: the store does not answer.
        """
        upload = self._store.between_jobs and not self._inner.capabilities.sees_files
        if upload:
            jobs = self._literals.as_files(jobs)
        ready = []
        for job in await self._store.stage(jobs, upload=upload):
            self._jobs[job.id] = job
            if lacking := self._store.lacking(job):
                await self._fail(job, lacking)
            else:
                self.stages.move(job.id, Transition.SUBMIT)
                ready.append(job)
        if not ready:
            return
        try:
            await self._look_up_images(ready)
            await self._inner.submit(ready)
        except Exception:
            for job in ready:
                del self._jobs[job.id]
                self.stages.move(job.id, Transition.DECLINE)
            raise

    async def _look_up_images(self, jobs: Sequence[Job]) -> None:
        """Give the backend what the store has of the jobs' images, if its sites fetch images from there."""
        if self.capabilities.image_places:
            images = cast(StoreImages, self._inner)
            if names := images.missing_images(jobs):
                images.add_images(await self._store.archives(names))

    def reuse(self, job: Job, result: JobResult) -> bool:
        """An earlier session has recorded this success of a job.

        Returns:
            Whether it can be delivered now. If not, that session's client ended before the store knew its files: the
            result comes as an event as soon as it does.
        """
        self._store.note(job, result)
        batch = self._store.batch_of(result) if result.element else ""
        if not batch or self._log.is_committed(batch):
            self.stages.move(job.id, Transition.FIND_COMMITTED)
            return True
        self.stages.move(job.id, Transition.FIND)
        self._jobs[job.id] = self._store.first_made(job, result)
        self._found.add(job.id)
        self._arrived.put_nowait(JobEvent(job.id, JobState.DONE, result))
        return False

    async def results(self) -> AsyncIterator[JobEvent]:
        """See ``Backend.results``. Results come when they are recorded and committed, all that there are at a time."""
        while True:
            batch = [await self._arrived.get()]
            while len(batch) < _MOST and not self._arrived.empty():
                batch.append(self._arrived.get_nowait())
            for event in await self._committed([event for event in batch if isinstance(event, JobEvent)]):
                yield event
            for error in batch:
                if isinstance(error, Exception):
                    raise error
            if None in batch:
                return

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """See ``Backend.cancel``."""
        await self._inner.cancel(job_ids, running=running)

    async def recover(self, run: RunId) -> Mapping[JobId, Recovered]:
        """See ``Backend.recover``."""
        return await self._inner.recover(run)

    async def settled(self) -> None:
        """See ``Backend.settled``."""
        await self._inner.settled()

    async def close(self) -> None:
        """See ``Backend.close``."""
        await self._inner.close()

    async def _fail(self, job: Job, lacking: Sequence[str]) -> None:
        more = f", and of {len(lacking) - 1} more" if len(lacking) > 1 else ""
        reason = f"{self._store.title} knows no replica of the input {lacking[0]}{more} that could be read."
        result = JobResult(job.id, Outcome.TEMPORARY_FAILURE, reason=reason)
        self.stages.move(job.id, Transition.FAIL)
        await self._record([(job, result)])
        self._arrived.put_nowait(JobEvent(job.id, JobState.FAILED, result))

    # -- results -------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        """Take each event as it comes, whether or not the store answers."""
        async for event in self._inner.results():
            if self._is_next(event):
                if event.result is not None:
                    self._unrecorded[event.id] = (self._jobs[event.id], event.result)
                self._received.append(event)
                self._has_received.set()
        self._over = True
        self._received.append(None)
        self._has_received.set()

    async def _record_received(self) -> None:
        """Record the results that have been received, all that there are at a time: one transaction for all of them."""
        while True:
            await self._has_received.wait()
            self._has_received.clear()
            batch, self._received = self._received, []
            ended = [(self._jobs[event.id], event.result) for event in batch if event is not None and event.result]
            if ended:
                await self._record(ended)
            for event in batch:
                self._arrived.put_nowait(event)
                if event is None:
                    return

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """What a task dies of is raised where results are waited for."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001  as it says
            self._arrived.put_nowait(error)

    def _is_next(self, event: JobEvent) -> bool:
        """Take the step that an event means. One that means nothing now is left out: a result may come twice."""
        if event.result is None:
            step = Transition.START if event.state is JobState.RUNNING else Transition.WAIT
        else:
            step = Transition.FINISH if event.result.outcome is Outcome.SUCCESS else Transition.FAIL
        if event.id not in self._jobs or not self.stages.can(event.id, step):
            log.debug("an event of %s means nothing: it is %s", event.id, self.stages.at(event.id))
            return False
        self.stages.move(event.id, step)
        return True

    async def _record(self, ended: Sequence[Ended]) -> None:
        self._unrecorded |= {job.id: (job, result) for job, result in ended}
        await self._log.record(ended)
        for job, _ in ended:
            del self._unrecorded[job.id]
            self.stages.move(job.id, Transition.RECORD)

    async def _committed(self, events: Sequence[JobEvent]) -> Sequence[JobEvent]:
        """The events, after the store knows the files of results; what it refuses is a failure of its job."""
        made = {e.id: (self._jobs[e.id], e.result) for e in events if e.result is not None and e.result.element}
        refused: Mapping[str, str] = {}
        if made and self._store.between_jobs:
            refused = await self._store.register(list(made.values()))
            batches = [self._store.batch_of(result) for job, result in made.values() if job.id not in refused]
            self._log.committed(filter(None, batches))
        settled, failed = [], []
        for event in events:
            if (result := event.result) is None:
                settled.append(event)
                continue
            job, found = self._jobs.pop(event.id), event.id in self._found
            self._found.discard(event.id)
            success = result.outcome is Outcome.SUCCESS
            if success and job.id in refused:
                self.stages.move(event.id, Transition.REFUSE)
                result = _failure(result, refused[job.id])
                event = replace(event, state=JobState.FAILED, result=result)  # noqa: PLW2901  it is another one now
                if not found:  # else it was recorded for another job, which the run knows
                    failed.append((job, result))
            elif success:
                self.stages.move(event.id, Transition.COMMIT)
            settled.append(event)
        if failed:
            await self._record(failed)
        return settled

    async def _record_rest(self) -> None:
        """Record what has ended, and was not taken before the backend was closed."""
        ended = list(self._unrecorded.values())
        with contextlib.suppress(Exception):  # the run has ended as it has
            async for event in self._last_events():
                if self._is_next(event) and event.result is not None:
                    ended.append((self._jobs[event.id], event.result))
        if ended:
            with contextlib.suppress(StoreError):  # the journal says why, where it is closed
                await self._log.record(ended)

    async def _last_events(self) -> AsyncIterator[JobEvent]:
        """What the closed backend still has. One that does not end is not waited for: the run ends without it."""
        if self._over:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + LAST_RESULTS_S
        events = aiter(self._inner.results())
        while (left := until - loop.time()) > 0:
            coming = asyncio.ensure_future(anext(events, None))
            await asyncio.wait({coming}, timeout=left)
            if not coming.done():
                coming.cancel()  # not waited for either: a backend may not care
                break
            if (event := coming.result()) is None:
                return
            yield event
        log.warning(
            "The backend has not ended its results within %g s after it was closed. "
            "Jobs whose results are missing run again when the run is resumed. Report this to the backend's authors.",
            LAST_RESULTS_S,
        )


def _failure(result: JobResult, reason: str) -> JobResult:
    return replace(result, outcome=Outcome.PERMANENT_FAILURE, files=(), reason=f"Its output {reason}")
