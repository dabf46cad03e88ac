"""The local backend: runs each job with the worker's own code, as many at a time as cores and memory allow."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from gridcwl import imports
from gridcwl.backends.base import Capabilities, JobOptions, Recovered
from gridcwl.backends.local.machine import Ledger, Turn, shared_machine
from gridcwl.backends.local.plugin import LocalSettings
from gridcwl.backends.local.process import WorkerProcesses, accepted_here
from gridcwl.errors import BackendError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.model.codec import result_from_plain, to_plain, with_secrets
from gridcwl.model.job import folder_name
from gridcwl.tasks import TaskScope
from gridcwl.worker.control import Control
from gridcwl.worker.engine import ContainerSettings, Engine
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.recycle import Recycler

log = logging.getLogger("gridcwl.backends.local")

_LOOK_AHEAD = 64
"""How many waiting jobs are tried for a free place when the first does not fit."""
_PATIENCE = 256
"""How often a job may be overtaken by smaller ones before nothing overtakes it any more."""
_HEARD_S = 0.02
"""After a failure nothing is started for so long: whoever hears of it may not want the jobs that wait."""
_TURN_S = 0.005
"""So long runs of other threads may be the first to take what a job has left, before its own run does."""

_STATES = {Outcome.SUCCESS: JobState.DONE, Outcome.CANCELLED: JobState.CANCELLED}


class LocalBackend:
    """Implements ``gridcwl.backends.Backend`` on this machine. The jobs end with the client."""

    def __init__(
        self,
        folder: Path,
        options: JobOptions | None = None,
        settings: LocalSettings | None = None,
        *,
        ledger: Ledger | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            folder: each job gets a folder of its own below.
            options: how jobs run, whatever the backend.
            settings: how they run in containers.
            ledger: what the machine has; None shares it with all runs of this process.
            secrets: by their stand-ins, which they replace in memory, at the last moment.
        """
        options, settings = options or JobOptions(), settings or LocalSettings()
        self._folder = folder
        self._options = options
        self._reuse_containers = settings.reuse_containers and options.engine == "docker"
        self._ledger = ledger or shared_machine()
        self._turn = Turn(self._start_what_fits)
        self._secrets = {} if secrets is None else secrets
        self._slots = min(options.max_jobs or 64, 64, max(1, int(self._ledger.cores * 4)))
        self._waiting: deque[Job] = deque()
        self._overtaken = 0
        self._running: dict[JobId, tuple[Job, Control | None]] = {}
        """With the stop button of those that run in a thread here; None for those of the worker process."""
        self._events: asyncio.Queue[JobEvent | Exception | None] = asyncio.Queue()
        """With what makes it impossible to continue, as an exception."""
        self._pool = ThreadPoolExecutor(max_workers=self._slots, thread_name_prefix="job")
        limits = {
            "limit_cores": settings.strict_cpu_limit,
            "limit_ram": settings.strict_memory_limit,
            "collect_failed": True,  # it costs nothing here, and what a failed tool left may tell why
        }
        self._recycled = "" if options.keep_folders else str(folder / "recycled")
        processes = max(1, min(int(self._ledger.cores), self._slots))
        shared = {**limits, "recycle": self._recycled}
        self._tasks = TaskScope()
        self._processes = WorkerProcesses(processes, self._slots, str(folder), shared, self._secrets, self._tasks)
        self._worker_options = self._in_containers(limits)
        self._bare: set[asyncio.Task[None]] = set()
        """Those that wait for jobs of the worker processes."""
        self._engine_lock = threading.Lock()
        self._container_engine: Engine | None = None
        self._closed = False
        self.capabilities = Capabilities(
            containers=True,
            survives_client=False,
            batch_size=1,
            window=2 * self._slots + 4,
            largest=self._ledger.largest,
        )

    def _in_containers(self, limits: dict[str, Any]) -> WorkerOptions:
        return WorkerOptions(
            recycler=Recycler(self._recycled) if self._recycled else None,
            max_mounts=0 if self._reuse_containers else WorkerOptions.max_mounts,
            capabilities=self._options.capabilities,
            processes=self._options.processes,
            **limits,
        )

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._tasks.close_after(self.close)

    async def check(self, samples: Sequence[Job]) -> None:
        """See ``Backend.check``."""
        for job in samples:
            self._ledger.refuse_giants(job)

    async def submit(self, jobs: Sequence[Job]) -> None:
        """Queue the jobs; see ``Backend.submit``."""
        if self._closed:
            raise BackendError("The local backend is closed")
        for job in jobs:
            self._ledger.refuse_giants(job)
        self._turn.loop = asyncio.get_running_loop()
        self._waiting.extend(jobs)
        self._start_what_fits()

    async def results(self) -> AsyncIterator[JobEvent]:
        """See ``Backend.results``."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """See ``Backend.cancel``."""
        wanted = set(job_ids)
        for job in [job for job in self._waiting if job.id in wanted]:
            self._waiting.remove(job)
            result = JobResult(job.id, Outcome.CANCELLED, reason="cancelled before it started")
            self._events.put_nowait(JobEvent(job.id, JobState.CANCELLED, result))
        if not self._waiting:
            self._ledger.leave(self._turn)
        for job_id in wanted & self._running.keys() if running else ():
            self._stop(job_id, "cancelled")

    async def recover(self, run: RunId) -> Mapping[JobId, Recovered]:  # noqa: ARG002
        """Nothing outlives the client here."""
        return {}

    async def settled(self) -> None:
        """Nothing outlives the client here."""

    async def close(self) -> None:
        """Stop what runs, wait until it has stopped, and remove what is left of it."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._ledger.leave(self._turn)
        try:
            for job_id in list(self._running):
                self._stop(job_id, "the run was stopped")
            await self._processes.close()
            if self._bare:
                await asyncio.wait(self._bare)
            await asyncio.to_thread(self._pool.shutdown, wait=True)
        finally:  # of jobs that no result is known of: other runs may wait for what they had
            for job, _ in self._running.values():
                self._ledger.give_back(job)
            self._running.clear()
            self._ledger.wake_others(self._turn)
        engine = self._container_engine
        if engine is not None and (close := getattr(engine, "close", None)):
            await asyncio.to_thread(close)
        self._events.put_nowait(None)

    def _start_what_fits(self) -> None:
        """First come, first served; a job that does not fit now lets smaller ones pass for a while."""
        if self._closed:
            return
        passed, short, started = 0, False, False
        while passed < len(self._waiting) and passed < _LOOK_AHEAD and len(self._running) < self._slots:
            job = self._waiting[passed]
            if not self._ledger.take(job, self._turn):
                short = True
                if self._overtaken >= _PATIENCE:
                    break
                passed += 1
                continue
            started = True
            del self._waiting[passed]
            self._overtaken = self._overtaken + 1 if passed else 0
            self._start(job)
        if not short:
            self._ledger.leave(self._turn)
        elif started:
            self._ledger.to_the_end(self._turn)

    def _stop(self, job_id: JobId, reason: str) -> None:
        control = self._running[job_id][1]
        if control is None:
            self._processes.stop(job_id, reason)
        else:
            control.stop(reason)

    def _start(self, job: Job) -> None:
        """Bare commands in the worker process; containers in a thread, where the engine's client is."""
        if job.image is None:
            self._running[job.id] = (job, None)
            self._events.put_nowait(JobEvent(job.id, JobState.RUNNING))
            task = self._tasks.start(self._run_bare(job))
            self._bare.add(task)
            task.add_done_callback(self._bare.discard)
            return
        control = Control()
        self._running[job.id] = (job, control)
        self._events.put_nowait(JobEvent(job.id, JobState.RUNNING))
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                ended = functools.partial(self._ended, job, self._run(job, control))
            except BaseException as error:  # noqa: BLE001  raised again where the run waits
                ended = functools.partial(self._broken, error)
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits for this any more
                loop.call_soon_threadsafe(ended)

        self._pool.submit(run)

    async def _run_bare(self, job: Job) -> None:
        try:
            self._ended(job, await self._processes.run(job, str(self._folder / folder_name(job))))
        except Exception as error:  # noqa: BLE001  raised again where the run waits
            self._broken(error)

    def _broken(self, error: BaseException) -> None:
        """Results can no longer be received or kept: the run has to fail, as it would wait for ever."""
        log.debug("the local backend cannot continue", exc_info=error)
        self._events.put_nowait(
            error if isinstance(error, Exception) else BackendError(f"The client failed: {error!r}")
        )

    def _ended(self, job: Job, result: JobResult) -> None:
        if self._running.pop(job.id, None) is None:
            return  # the backend is closed
        self._ledger.give_back(job)
        others = self._ledger.wake_others(self._turn)
        state = _STATES.get(result.outcome, JobState.FAILED)
        self._events.put_nowait(JobEvent(job.id, state, result))
        loop = asyncio.get_running_loop()
        if state is JobState.FAILED:
            loop.call_later(_HEARD_S, self._start_what_fits)
        elif any(other.loop is not loop for other in others):
            loop.call_later(_TURN_S, self._start_what_fits)
        elif others:
            loop.call_soon(self._start_what_fits)
        else:
            self._start_what_fits()

    def _run(self, job: Job, control: Control) -> JobResult:
        """In a thread of the pool: all of a job's life."""
        from gridcwl.worker.job import run_job

        try:
            plain = to_plain(job)
            if self._secrets:
                plain = with_secrets(plain, self._secrets)
            engine = self._engine()
            folder = str(self._folder / folder_name(job))
            result = result_from_plain(run_job(plain, folder, engine, control, options=self._worker_options))
            result = accepted_here(result, job, folder, self._recycled)
        except Exception as error:
            log.exception("the worker failed on %s", job.name)
            result = JobResult(job.id, Outcome.PERMANENT_FAILURE, reason=f"gridcwl itself failed: {error!r}")
        return result

    def _engine(self) -> Engine:
        with self._engine_lock:
            if self._container_engine is None:
                reused = self._folder if self._reuse_containers else None
                self._container_engine = make_engine(self._options.engine, reused, self._options.containers)
            return self._container_engine


def make_engine(name: str, reused: Path | None = None, settings: ContainerSettings | None = None) -> Engine:
    """The container engine of this name; imported here, for a run without containers needs none of it.

    Args:
        name: docker, podman, apptainer, singularity or udocker.
        reused: the folder of the run whose jobs are to share docker's containers; None gives each one of its own.
        settings: how containers are run, whatever the job.
    """
    settings = settings or ContainerSettings()
    if name == "docker":
        imports.load("docker")
    if name == "docker" and reused is not None:
        from gridcwl.backends.local.docker_reuse import ReusingDockerEngine

        reusing: Engine = ReusingDockerEngine(reused, settings)
        return reusing
    if name == "docker":
        from gridcwl.backends.local.docker_engine import DockerEngine

        engine: Engine = DockerEngine(settings)
        return engine
    from gridcwl.worker.cli_engines import CommandLineEngine

    command_line: Engine = CommandLineEngine(name, settings.program, settings=settings)
    return command_line
