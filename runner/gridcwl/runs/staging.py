"""A backend whose jobs read their inputs from a store and write their outputs to it, whatever backend runs them.

The run's loop knows nothing of it: a job goes in with the store's names, and its result comes out when the store knows
its files.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from gridcwl.backends.base import Backend
from gridcwl.errors import StoreError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.runs.literals import Literals

if TYPE_CHECKING:
    from gridcwl.stores.base import StoreSession

log = logging.getLogger("gridcwl.runs")

_MOST = 500
"""Results that are registered together; what comes meanwhile waits for the next time."""

_Arrived = JobEvent | Exception | None


class StagingBackend:
    """Implements ``gridcwl.backends.Backend`` around another one."""

    def __init__(
        self,
        inner: AbstractAsyncContextManager[Backend],
        store: StoreSession,
        registered: Callable[[Sequence[tuple[Job, JobResult]]], Awaitable[None]] | None = None,
        earlier: Callable[[], Sequence[tuple[Job, JobResult]]] | None = None,
        refused: Callable[[Job, JobResult], None] | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            inner: runs the jobs.
            store: of the run.
            registered: receives the results whose files the store knows now.
            earlier: gives results of an earlier session that have been taken and are not registered yet.
            refused: receives the failure of a job whose files the store does not accept.
        """
        self._opening = inner
        self._inner: Backend
        self._store = store
        self._registered = registered or _nobody
        self._earlier = earlier or (lambda: ())
        self._refused = refused or (lambda _job, _result: None)
        self._jobs: dict[JobId, Job] = {}
        self._own: asyncio.Queue[JobEvent | Exception] = asyncio.Queue()
        """Events of jobs that never reached the backend, and what ended a task of ours."""
        self._literals = Literals()
        self._extending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._inner = await self._opening.__aenter__()
        self.capabilities = self._inner.capabilities
        if self.capabilities.batch_size < _MOST:  # where jobs are handed over one by one, where inputs are is asked so
            self.capabilities = replace(self.capabilities, batch_size=min(_MOST, self.capabilities.window))
        self._extending = asyncio.create_task(self._store.keep_alive())
        self._extending.add_done_callback(self._task_ended)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._extending is not None:
            self._extending.cancel()
        self._literals.close()
        await self._opening.__aexit__(*error)  # type: ignore[arg-type]

    async def check(self, samples: Sequence[Job]) -> None:
        """See ``Backend.check``."""
        await self._inner.check(samples)

    async def submit(self, jobs: Sequence[Job]) -> None:
        """See ``Backend.submit``. Of a job that has an input without a replica the result is that.

        Raises:
            StoreError: the store does not answer.
        """
        await self.catch_up()
        if not self._inner.capabilities.sees_files:
            jobs = self._literals.as_files(jobs)
        ready = []
        for job in await self._store.stage(jobs, upload=not self._inner.capabilities.sees_files):
            if lacking := self._store.lacking(job):
                self._own.put_nowait(self._without(job, lacking))
            else:
                self._jobs[job.id] = job
                ready.append(job)
        if ready:
            await self._inner.submit(ready)

    def adopt(self, jobs: Sequence[Job]) -> None:
        """These jobs run already, submitted by a client that has died; their results are registered as any other's."""
        self._jobs.update((job.id, self._store.equipped(job)) for job in jobs)

    async def catch_up(self) -> None:
        """Register what an earlier session had recorded, and its client had not lived to register.

        Raises:
            StoreError: the store does not answer, or refuses a file that the run uses already.
        """
        made = list(self._earlier())
        if made:
            refused = await self._store.register(made)
            await self._registered([(job, result) for job, result in made if job.id not in refused])
            for job, result in made:
                if job.id in refused:
                    self._refused(job, _failure(result, refused[job.id]))
            for reason in refused.values():
                raise StoreError(
                    f"{self._store.title} does not accept outputs of an earlier session: {reason.rstrip('.')}",
                    remedy="gridcwl resume makes it again, under another name.",
                )

    async def results(self) -> AsyncIterator[JobEvent]:
        """See ``Backend.results``. Results come when their files are registered, as many as there are at a time."""
        arrived: asyncio.Queue[_Arrived] = asyncio.Queue()
        pumps = [asyncio.create_task(self._pump(arrived)), asyncio.create_task(self._pump_own(arrived))]
        try:
            open_ = True
            while open_:
                batch = [await arrived.get()]
                while len(batch) < _MOST and not arrived.empty():
                    batch.append(arrived.get_nowait())
                events = [event for event in batch if isinstance(event, JobEvent)]
                for event in await self._made_known(events):
                    yield event
                for error in batch:
                    if isinstance(error, Exception):
                        raise error
                open_ = None not in batch
        finally:
            for pump in pumps:
                pump.cancel()

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """See ``Backend.cancel``."""
        await self._inner.cancel(job_ids, running=running)

    async def recover(self, run: RunId) -> Mapping[JobId, JobState]:
        """See ``Backend.recover``."""
        return await self._inner.recover(run)

    async def settled(self) -> None:
        """See ``Backend.settled``."""
        await self._inner.settled()

    async def close(self) -> None:
        """See ``Backend.close``."""
        await self._inner.close()

    def _without(self, job: Job, lacking: Sequence[str]) -> JobEvent:
        more = f", and of {len(lacking) - 1} more" if len(lacking) > 1 else ""
        reason = f"{self._store.title} knows no replica of the input {lacking[0]}{more} that could be read."
        return JobEvent(job.id, JobState.FAILED, JobResult(job.id, Outcome.TEMPORARY_FAILURE, reason=reason))

    async def _pump(self, arrived: asyncio.Queue[_Arrived]) -> None:
        try:
            async for event in self._inner.results():
                arrived.put_nowait(event)
            arrived.put_nowait(None)
        except Exception as error:  # noqa: BLE001  raised again where results are waited for
            arrived.put_nowait(error)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """What a task dies of is raised where results are waited for."""
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._own.put_nowait(error)

    async def _pump_own(self, arrived: asyncio.Queue[_Arrived]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                arrived.put_nowait(await self._own.get())

    async def _made_known(self, events: Sequence[JobEvent]) -> Sequence[JobEvent]:
        """The events, after what jobs have made is registered; what the store refuses is a failure of its job."""
        made = []
        for event in events:
            if (
                event.result is not None
                and (job := self._jobs.pop(event.id, None)) is not None
                and event.result.element
            ):
                made.append((job, event.result))
        if not made:
            return events
        refused = await self._store.register(made)
        await self._registered([(job, result) for job, result in made if job.id not in refused])
        for job, result in made:
            if job.id in refused:
                self._refused(job, _failure(result, refused[job.id]))
        return [
            replace(event, state=JobState.FAILED, result=_failure(event.result, refused[event.id]))
            if event.result and event.id in refused
            else event
            for event in events
        ]


async def _nobody(_made: Sequence[tuple[Job, JobResult]]) -> None:
    """Ignores what is reported."""


def _failure(result: JobResult, reason: str) -> JobResult:
    return replace(result, outcome=Outcome.PERMANENT_FAILURE, files=(), reason=f"Its output {reason}")
