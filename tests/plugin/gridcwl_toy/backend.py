"""The toy backend: each job is a process of gridcwl's worker on this machine, without containers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from gridcwl.backends.base import BackendContext, Capabilities, QueueOffer, Recovered, SiteOffer
from gridcwl.errors import BackendError, GridCWLError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.model.acceptance import accepted, refused
from gridcwl.model.codec import result_from_json, to_plain, with_secrets
from gridcwl.worker.zipapp import worker_zipapp
from gridcwl_toy.plugin import ToySettings

MOST_CORES = 64
STATES = {Outcome.SUCCESS: JobState.DONE, Outcome.CANCELLED: JobState.CANCELLED}


@contextlib.asynccontextmanager
async def open_backend(settings: ToySettings, context: BackendContext) -> AsyncIterator[ToyBackend]:
    """The backend for one session of a run."""
    backend = ToyBackend(settings, context)
    try:
        yield backend
    finally:
        await backend.close()


def sites(_settings: ToySettings) -> list[SiteOffer]:
    """What ``gridcwl sites --backend toy`` lists."""
    return [SiteOffer("toy box", (QueueOffer("worker", MOST_CORES),))]


class ToyBackend:
    """Implements ``gridcwl.backends.base.Backend``."""

    capabilities = Capabilities(containers=False, survives_client=False, batch_size=100, window=1000)

    def __init__(self, settings: ToySettings, context: BackendContext) -> None:
        self._context = context
        self._slots = asyncio.Semaphore(settings.workers)
        self._tasks: dict[JobId, asyncio.Task[None]] = {}
        self._processes: dict[JobId, asyncio.subprocess.Process] = {}
        self._cancelled: set[JobId] = set()
        self._events: asyncio.Queue[JobEvent | Exception | None] = asyncio.Queue()
        self._closed = False

    async def check(self, samples: Sequence[Job]) -> None:
        """Refuse more cores than there are."""
        for job in samples:
            if job.resources.cores > MOST_CORES:
                raise BackendError(f"{job.name} asks for more than {MOST_CORES} cores", remedy="Lower its coresMin.")

    async def submit(self, jobs: Sequence[Job]) -> None:
        """Start the jobs as slots become free."""
        if self._closed:
            raise BackendError("The toy backend is closed")
        await self.check(jobs)
        for job in jobs:
            self._tasks[job.id] = asyncio.create_task(self._run(job))

    async def results(self) -> AsyncIterator[JobEvent]:
        """States and results, until the backend is closed."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """Stop the worker of each job; a job that has not started ends when its turn comes."""
        for job_id in job_ids:
            if job_id in self._processes and not running:
                continue
            if job_id in self._tasks:
                self._cancelled.add(job_id)
            self._stop(job_id)

    async def recover(self, run: RunId) -> Mapping[JobId, Recovered]:
        """Nothing: jobs end with their client."""
        return {}

    async def settled(self) -> None:
        """Nothing to wait for."""

    async def close(self) -> None:
        """Stop all jobs, and end the results."""
        if self._closed:
            return
        self._closed = True
        self._cancelled.update(self._tasks)
        for job_id in list(self._processes):
            self._stop(job_id)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._events.put_nowait(None)

    def _stop(self, job_id: JobId) -> None:
        if (process := self._processes.get(job_id)) is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    async def _run(self, job: Job) -> None:
        try:
            async with self._slots:
                result = await self._result(job)
        except Exception as error:  # noqa: BLE001  raised again where the run waits
            self._events.put_nowait(error)
            return
        finally:
            self._tasks.pop(job.id, None)
        self._cancelled.discard(job.id)
        self._events.put_nowait(JobEvent(job.id, STATES.get(result.outcome, JobState.FAILED), result))

    async def _result(self, job: Job) -> JobResult:
        if job.id in self._cancelled:
            return JobResult(job.id, Outcome.CANCELLED, reason="cancelled before it started")
        folder = self._context.folder / f"{job.id}-{job.attempt}"
        folder.mkdir(parents=True, exist_ok=True)
        described = folder / "job.json"
        described.touch(mode=0o600)  # it may hold secrets
        described.write_text(json.dumps(with_secrets(to_plain(job), self._context.secrets)), "utf-8")
        command = [sys.executable, str(worker_zipapp()), str(described), "--engine", "none"]
        with (folder / "worker.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        self._processes[job.id] = process
        self._events.put_nowait(JobEvent(job.id, JobState.RUNNING))
        try:
            await process.wait()
        finally:
            del self._processes[job.id]
            described.unlink()
        try:
            result = result_from_json((folder / "result.json").read_bytes())
            return accepted(result, job, roots=(f"{folder}/",))  # a tool may have written it
        except OSError:
            if job.id in self._cancelled:  # stopped before it could write anything
                return JobResult(job.id, Outcome.CANCELLED, reason="cancelled as it started")
            return JobResult(job.id, Outcome.TEMPORARY_FAILURE, reason="The worker left no result.")
        except GridCWLError as error:
            return refused(job, error)
