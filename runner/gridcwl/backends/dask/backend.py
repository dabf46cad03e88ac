"""The Dask backend: each job is a task that sends it to gridcwl's worker beside the Dask worker.

Nothing is lost and nothing done twice: a task's key is the job's id and attempt; Dask holds tasks without a client
until they have run (``fire_and_forget``); answers are events of the scheduler, which are there for a client that comes
back; and on the workers' side a witness keeps the answer of an attempt from being made again (see
``gridcwl.worker.witness``).
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cloudpickle
import distributed
from distributed import Client, Future

from gridcwl.backends.base import Capabilities, Recovered
from gridcwl.backends.dask import remote
from gridcwl.backends.dask.answers import lost_result, write_log
from gridcwl.backends.dask.answers import result_of as read_answer
from gridcwl.backends.dask.clusters import workers_of
from gridcwl.backends.dask.tasks import TaskOptions, demands, job_of, key_of, messages_of, refuse_giant, task_of, topic
from gridcwl.errors import BackendError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.tasks import TaskScope, stop
from gridcwl.worker.zipapp import worker_zipapp

log = logging.getLogger("gridcwl.backends.dask")

_STATES = {Outcome.SUCCESS: JobState.DONE, Outcome.CANCELLED: JobState.CANCELLED}
_CONNECT_S = 30
_AT_END_S = 30.0
_AGAIN_S = 2.0
_LOOK_S = 0.5
_GIVEN_UP = "Dask gave the task up, as its workers were lost again and again"

cloudpickle.register_pickle_by_value(remote)  # so that workers need no gridcwl


@dataclass(slots=True, eq=False)
class _Active:
    """A job that has not ended."""

    job: Job
    task: dict[str, Any]
    future: Any = None
    worker: str = ""
    """Where it runs, once it does."""
    cancelled: bool = False


class DaskBackend:
    """Implements ``gridcwl.backends.Backend``."""

    capabilities: Capabilities

    def __init__(
        self,
        cluster: Any,
        options: TaskOptions,
        *,
        run: RunId,
        security: Any = None,
        secrets: Mapping[str, str] | None = None,
        survives: bool = False,
        leave: bool = False,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            cluster: what Dask's client connects to: an address, or a cluster.
            options: what all tasks have in common.
            run: the run whose jobs these are.
            security: certificates, for TLS.
            secrets: by their stand-ins, for jobs that stay on this machine.
            survives: the cluster outlives the client.
            leave: on closing, let the jobs run.
        """
        self._cluster, self._options, self._run = cluster, options, run
        self._security = security
        self._secrets = {} if secrets is None else secrets
        self._leave = leave
        self._active: dict[str, _Active] = {}
        self._answers: dict[str, Mapping[str, Any]] = {}
        """Of jobs that an earlier session submitted, and that ended meanwhile."""
        self._left: dict[str, JobId] = {}
        """By key: jobs of earlier sessions that have not ended, and were not submitted again yet."""
        self._workers: dict[str, Mapping[str, float]] = {}
        self._warned: set[str] = set()
        """Images that jobs name and do not get."""
        self._events: asyncio.Queue[JobEvent | Exception | None] = asyncio.Queue()
        self._scope = TaskScope()
        self._working: list[asyncio.Task[None]] = []
        self._disconnected = asyncio.Event()
        self._at_rest = asyncio.Event()
        """Set whenever a job has ended."""
        self._closed = False
        self._plugin = _plugin()
        self.capabilities = Capabilities(
            containers=True,
            survives_client=survives,
            batch_size=100,
            window=2000,
            sees_files=options.shared,
        )

    async def __aenter__(self) -> Self:
        try:
            self._client = await self._connected()
        except (OSError, TimeoutError, ValueError) as error:
            raise BackendError(
                f"The Dask cluster {_shown(self._cluster)} does not answer: {error}",
                remedy="Start it (dask scheduler), or correct address and TLS files in the table [dask].",
            ) from error
        await self._scope.__aenter__()
        self._working = [self._scope.start(self._reconnect()), self._scope.start(self._look())]
        return self

    async def __aexit__(self, *_error: object) -> None:
        try:
            await self.close()
        finally:
            await self._scope.__aexit__(None, None, None)

    async def check(self, samples: Sequence[Job]) -> None:
        """See ``Backend.check``."""
        for job in samples:
            await self._refuse_giant(job)

    async def submit(self, jobs: Sequence[Job]) -> None:
        """See ``Backend.submit``. A job that the scheduler has already is followed, not started again."""
        if self._closed:
            raise BackendError("The Dask backend is closed")
        for job in jobs:
            await self._refuse_giant(job)
        self._warn_of_images(jobs)
        new = [_Active(job, task_of(job, self._options, self._secrets)) for job in jobs]
        for active in new:
            self._active[active.task["key"]] = active
        await self._start(new)

    async def results(self) -> AsyncIterator[JobEvent]:
        """See ``Backend.results``."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """See ``Backend.cancel``."""
        wanted = set(job_ids)
        doomed = [one for one in self._active.values() if one.job.id in wanted and (running or not one.worker)]
        for one in doomed:
            one.cancelled = True
        waiting = [one for one in doomed if not one.worker]
        futures = [one.future for one in waiting if one.future is not None]
        if futures:
            await self._client.cancel(futures, force=True, reason="cancelled", msg="by gridcwl")
        await self._stop_running([one.job.id for one in doomed], "The job was cancelled.")
        for one in waiting:  # also one that was just about to begin: it has been stopped
            if self._active.get(one.task["key"]) is one:
                self._end(one, JobResult(one.job.id, Outcome.CANCELLED, reason="cancelled before it started"))

    async def recover(self, run: RunId) -> Mapping[JobId, Recovered]:
        """What earlier sessions of the run left at the scheduler."""
        found: dict[JobId, Recovered] = {}
        logged = await self._logged()
        begun = {str(message.get("key")) for message in logged if message["state"] != "submitted"}
        self._answers = {str(message.get("key")): message for message in logged if message["state"] == "ended"}
        listed = [key for message in logged if message["state"] == "submitted" for key in message.get("keys", ())]
        for key in dict.fromkeys([*map(str, listed), *begun]):
            known = job_of(key, run)
            if known is None or (known[0] in found and found[known[0]].attempt > known[1]):
                continue
            found[known[0]] = Recovered(JobState.RUNNING if key in begun else JobState.WAITING, known[1])
            if key not in self._answers:
                self._left[key] = known[0]
        return found

    @property
    def left(self) -> int:
        """How many jobs of earlier sessions have not ended, and were not submitted again."""
        return len(self._left)

    async def settled(self) -> None:
        """Wait until the scheduler has all that was submitted: it handles what a client sends in its order."""
        await self._client.scheduler.identity(n_workers=0)

    async def close(self) -> None:
        """See ``Backend.close``. Jobs are stopped, unless the run is detached."""
        if self._closed:
            return
        self._closed = True
        await stop(self._working)
        try:
            if (self._active or self._left) and not self._leave:
                async with asyncio.timeout(_AT_END_S):
                    await self._stop_all()
            elif self._active:
                await self._client.scheduler.identity(n_workers=0)
        except (OSError, TimeoutError, distributed.comm.CommClosedError) as error:
            log.warning("Jobs may be left at the Dask cluster, which does not answer: %s", error)
        await self._client.close()
        self._events.put_nowait(None)

    # -- the cluster ---------------------------------------------------------------------------------------------------

    async def _connected(self) -> Client:
        client = Client(
            self._cluster,
            asynchronous=True,
            set_as_default=False,
            security=self._security,
            timeout=_CONNECT_S,
            name="gridcwl",
        )
        await client
        try:
            await client.register_plugin(self._plugin, name=self._plugin.name)
            client.subscribe_topic(topic(self._run), self._heard)
            self._workers = workers_of(await client.scheduler.identity())
        except BaseException:
            await client.close()
            raise
        return client

    async def _reconnect(self) -> None:
        """Connect again whenever the scheduler was lost, and submit what has not ended."""
        while True:
            await self._disconnected.wait()
            log.warning("The Dask scheduler is gone; the run continues when it answers again")
            await self._client.close()
            while True:
                try:
                    self._client = await self._connected()
                    break
                except Exception as error:
                    log.debug("the Dask scheduler cannot be reached", exc_info=error)
                    await asyncio.sleep(_AGAIN_S)
            for active in self._active.values():
                active.future = None  # of the client that was closed
            self._disconnected.clear()
            log.warning("The Dask scheduler answers again; the run continues")
            for message in await self._logged():
                self._take(message)
            await self._start(list(self._active.values()))

    async def _logged(self) -> list[Mapping[str, Any]]:
        """The run's events that the scheduler keeps."""
        events = await self._client.get_events(topic(self._run))
        return [message for _, event in events or () for message in messages_of(event)]

    def _warn_of_images(self, jobs: Sequence[Job]) -> None:
        """Workers that are in a container start no others."""
        for image in {job.image.pull or job.image.id for job in jobs if job.image} if self._options.image else ():
            if image not in (self._options.image, *self._warned):
                self._warned.add(image)
                log.warning(
                    "Jobs that name the image %s run in that of the pool, %s, which has to have their tools",
                    image,
                    self._options.image,
                )

    async def _refuse_giant(self, job: Job) -> None:
        try:
            refuse_giant(job, self._workers)
        except BackendError:  # others may have come since
            self._workers = workers_of(await self._client.scheduler.identity())
            refuse_giant(job, self._workers)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    async def _start(self, jobs: Sequence[_Active]) -> None:
        """Submit these; of those that ended while nobody was here, take the answers."""
        groups: dict[tuple[tuple[str, float], ...], list[_Active]] = {}
        for active in jobs:
            active.worker = ""
            self._left.pop(active.task["key"], None)
            answer = self._answers.pop(active.task["key"], None)
            if answer is not None:
                self._take(answer)
                continue
            groups.setdefault(tuple(demands(active.job.resources).items()), []).append(active)
        client = self._client
        for needs, group in groups.items():
            keys = [active.task["key"] for active in group]
            futures = client.map(
                remote.run_job,
                [self._plugin.name] * len(group),
                [active.task for active in group],
                key=keys,
                resources=dict(needs),
                pure=False,
                retries=0,
            )
            if self.capabilities.survives_client:
                distributed.fire_and_forget(futures)
            for active, future in zip(group, futures, strict=True):
                active.future = future
            if self.capabilities.survives_client:  # for a client that comes back; the tasks are on their way meanwhile
                await client.log_event(topic(self._run), {"messages": [{"state": "submitted", "keys": keys}]})

    def _heard(self, event: tuple[float, Any]) -> None:
        """An event of the scheduler: a worker reports something of a job."""
        try:
            for message in messages_of(event[1]):
                self._take(message)
        except Exception as error:  # noqa: BLE001  Dask would only log it, and the run would wait for ever
            self._events.put_nowait(error)

    def _take(self, message: Mapping[str, Any]) -> None:
        active = self._active.get(str(message.get("key", "")))
        state = message.get("state")
        if active is None:
            return
        if state == "running":
            active.worker = str(message.get("worker", ""))
            host = str(message.get("host", ""))[:256]
            self._events.put_nowait(JobEvent(active.job.id, JobState.RUNNING, site=self._options.site, detail=host))
        elif state == "wrote":
            write_log(active.job, message, self._options)
        elif state == "ended":
            self._end(active, read_answer(active.job, message, self._options))

    async def _look(self) -> None:
        """Look for tasks whose answer will never come; a callback of each would cost more than they all."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for active in list(self._active.values()):
                status = "pending" if active.future is None else active.future.status
                if status == "error":
                    self._end(active, lost_result(active.job, _GIVEN_UP))
                elif status == "cancelled" and not active.cancelled:
                    self._disconnected.set()

    def _end(self, active: _Active, result: JobResult) -> None:
        if self._active.pop(active.task["key"], None) is None:
            return
        self._at_rest.set()
        if result.outcome is Outcome.CANCELLED and not active.cancelled and not self._closed:
            # nobody here asked for it: the worker was stopped
            result = lost_result(active.job, result.reason or "its worker was stopped")
        future, active.future = active.future, None
        if future is not None:
            future.release()
        state = _STATES.get(result.outcome, JobState.FAILED)
        self._events.put_nowait(JobEvent(active.job.id, state, result, site=self._options.site))

    async def _stop_running(self, jobs: Sequence[JobId], reason: str) -> None:
        if jobs:
            await self._client.run(remote.stop_jobs, self._plugin.name, list(jobs), reason, on_error="ignore")

    async def _stop_all(self) -> None:
        """Stop all jobs, and wait for those that run: they are not to be at work when the backend is closed."""
        left = list(self._active.values())
        futures = [one.future for one in left if one.future is not None and not one.worker]
        futures += [Future(key, self._client) for key in self._left]
        for one in left:
            one.cancelled = True
        if futures:
            await self._client.cancel(futures, force=True, reason="cancelled", msg="by gridcwl")
        await self._stop_running([*self._left.values(), *(one.job.id for one in left)], "The run was stopped.")
        self._at_rest.set()
        while any(one.worker for one in self._active.values()):
            self._at_rest.clear()
            await self._at_rest.wait()
        self._active.clear()


@functools.cache
def _plugin() -> remote.JobPlugin:
    """The plugin for workers, named by what is in it: another version's is another plugin."""
    zipapp = worker_zipapp().read_bytes()
    code = Path(remote.__file__).read_bytes()  # pickled, it would be another one in each process
    return remote.JobPlugin(f"gridcwl-{hashlib.sha256(zipapp + code).hexdigest()[:16]}", zipapp)


def _shown(cluster: Any) -> str:
    return cluster if isinstance(cluster, str) else "of this run"


__all__ = ["DaskBackend", "key_of"]
